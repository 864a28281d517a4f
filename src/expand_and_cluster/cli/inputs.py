"""Reads the arrays, pairs and networks that people have as files."""

import csv
import glob
import hashlib
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expand_and_cluster.core.errors import FileFormatError, InvalidInputError

if TYPE_CHECKING:  # imported when needed: these pull in JAX
    from expand_and_cluster.core.network import Network
    from expand_and_cluster.queries.pairs import QueryPairs
    from expand_and_cluster.recovery import Recovery

ARRAYS = (".npy", ".npz", ".csv")


def read_pairs(
    source: Path | None, inputs: Path | None, outputs: Path | None, output_columns: int | None
) -> "QueryPairs":
    """Questions and answers from one file, or from one file each.

    Args:
        source: A .npz file with arrays `inputs` and `outputs`, or a .csv file.
        inputs: If there is no source: the questions.
        outputs: If there is no source: the answers.
        output_columns: How many of a .csv source's columns, counted from the right, are answers.
    """
    from expand_and_cluster.queries.pairs import QueryPairs

    if source is None:
        if inputs is None or outputs is None:
            given, missing = ("--inputs", "--outputs") if inputs else ("--outputs", "--inputs")
            raise FileFormatError(f"{given} needs {missing} beside it: questions and answers.")
        return QueryPairs(read_array(inputs), read_array(outputs))
    kind = source.suffix.lower()
    if kind == ".npz":
        return QueryPairs(read_array(source, "inputs"), read_array(source, "outputs"))
    if kind == ".csv":
        table = read_array(source)
        columns = table.shape[1]
        if output_columns is None or not 0 < output_columns < columns:
            raise FileFormatError(
                f"{source} has {columns} columns; say with --output-columns how many of the last "
                f"ones are answers (1 to {columns - 1})."
            )
        return QueryPairs(table[:, :-output_columns], table[:, -output_columns:])
    raise FileFormatError(
        f"{source} cannot hold both questions and answers; give a .npz file with arrays 'inputs' "
        "and 'outputs', a .csv file with --output-columns, or --inputs and --outputs."
    )


def read_array(path: Path, key: str | None = None) -> np.ndarray:
    """An array of numbers from a .npy, .npz or .csv file.

    Args:
        path: The file.
        key: Which array of a .npz file; None takes the only one.
    """
    _require(path)
    kind = path.suffix.lower()
    if kind == ".csv":
        return _read_csv(path)
    if kind not in ARRAYS:
        raise FileFormatError(
            f"{path} has the unknown extension {kind or '(none)'}; arrays are read from "
            f"{', '.join(ARRAYS)}."
        )
    try:
        loaded = np.load(path, allow_pickle=False)
        array = _member(path, loaded, key) if kind == ".npz" else loaded
    except FileFormatError:
        raise
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"{path} is not a readable {kind} file of numbers ({error}).") from (
            error
        )
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise FileFormatError(f"{path} does not hold real numbers.")
    return array


def read_recovered(path: Path, activation: str | None = None) -> "Network | Recovery":
    """A network file, or the recovery of a run folder."""
    if path.is_dir():
        from expand_and_cluster.recovery import load

        return load(path)
    return read_network(path, activation)


def read_network(path: Path, activation: str | None = None) -> "Network":
    """A network from a .safetensors file, or the one that a run folder holds.

    Args:
        path: The file or folder.
        activation: Used only if the file does not name its activation.
    """
    from expand_and_cluster.core.files import load_network

    if path.is_dir():
        path = path / "network.safetensors"
    _require(path)
    if path.suffix.lower() != ".safetensors":
        raise FileFormatError(
            f"{path} is not a .safetensors file; weights are read from those or from run folders."
        )
    try:
        return load_network(path)
    except InvalidInputError:
        if activation is None:
            raise
        return load_network(path, activation)


def digest(path: Path) -> str:
    """Fingerprint of a file's content, so that a run notices another file of the same name.

    A large ONNX model keeps its weights beside it, in files whose names begin with its own.
    """
    _require(path)
    parts = [path]
    if path.suffix.lower() == ".onnx":
        beside = path.parent.glob(f"{glob.escape(path.name)}?*")
        parts += sorted(part for part in beside if part.is_file())
    contents = []
    for part in parts:
        with part.open("rb") as file:
            contents.append(hashlib.file_digest(file, "sha256").hexdigest())
    whole = (
        contents[0] if len(contents) == 1 else hashlib.sha256(repr(contents).encode()).hexdigest()
    )
    return f"sha256:{whole[:16]}"


def _require(path: Path) -> None:
    if not path.exists():
        raise FileFormatError(f"there is no file {path}.")
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder; expected a file.")


def _member(path: Path, archive: np.lib.npyio.NpzFile, key: str | None) -> np.ndarray:
    with archive:
        names = archive.files
        if key is None and len(names) != 1:
            raise FileFormatError(
                f"{path} holds {len(names)} arrays ({', '.join(names)}); expected one."
            )
        key = key or names[0]
        if key not in names:
            raise FileFormatError(
                f"{path} has no array {key!r}; it holds {', '.join(names) or 'none'}."
            )
        return archive[key]


def _read_csv(path: Path) -> np.ndarray:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = next(csv.reader(file), [])
        header = bool(first) and not any(_is_number(cell) for cell in first)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # NumPy warns about a file without data
            return np.loadtxt(
                path, delimiter=",", skiprows=int(header), ndmin=2, encoding="utf-8-sig"
            )
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is not text in UTF-8 ({error.reason}).") from error
    except (ValueError, UserWarning) as error:
        raise FileFormatError(_what_is_wrong(path)) from error


def _what_is_wrong(path: Path) -> str:
    """The first fault of a .csv file, with its row and column; slow, so only after a failure."""
    columns = 0
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.reader(file), start=1):
            if not row or (number == 1 and not any(map(_is_number, row))):
                continue
            columns = columns or len(row)
            if len(row) != columns:
                return f"{path} is ragged: row {number} has {len(row)} columns, not {columns}."
            for place, cell in enumerate(row, start=1):
                if not _is_number(cell):
                    return (
                        f"{path}: row {number}, column {place} is {cell!r}, not a number; columns "
                        "are separated by commas."
                    )
    return f"{path} holds no rows of numbers."


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
