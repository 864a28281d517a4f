"""Model files as oracles: functions from rows of inputs to rows of outputs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from expand_and_cluster.cli.inputs import read_network
from expand_and_cluster.core.errors import FileFormatError, InvalidInputError
from expand_and_cluster.core.extras import need

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Model:
    """A model that can be asked.

    Attributes:
        function: Maps (n, d_in) to (n, d_out).
        input_size: Number of inputs d_in, or None if the file does not say.
    """

    function: Function
    input_size: int | None


def open_model(path: Path, activation: str | None = None) -> Model:
    """Open a model file for asking.

    Args:
        path: .safetensors (a network), .onnx, or .pt / .pt2 (TorchScript or exported program).
        activation: For a .safetensors file that does not name its activation.

    Raises:
        FileFormatError: The file is missing or not what its extension says.
        EacError: The package that reads it is missing.
    """
    openers = {".onnx": _open_onnx, ".pt": _open_torch, ".pt2": _open_torch}
    kind = path.suffix.lower()
    if not path.is_file():
        raise FileFormatError(f"there is no file {path}.")
    if kind == ".safetensors":
        network = read_network(path, activation)
        return Model(network, network.input_size)
    return openers[kind](path)


MODELS = (".onnx", ".pt", ".pt2", ".safetensors")


def _open_onnx(path: Path) -> Model:
    runtime = need("onnxruntime", "onnx", "this file")
    try:
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own kinds of errors share no base
        raise FileFormatError(f"{path} cannot be run as an ONNX model ({error}).") from error
    ports = session.get_inputs()
    if len(ports) != 1 or ports[0].type not in ("tensor(float)", "tensor(double)"):
        kinds = ", ".join(f"{port.name}: {port.type}" for port in ports)
        raise FileFormatError(f"{path} must take one array of floats; it takes {kinds}.")
    dtype = np.float32 if ports[0].type == "tensor(float)" else np.float64
    name = ports[0].name
    return _shaped(
        path,
        lambda rows: session.run(None, {name: rows})[0],
        [size if isinstance(size, int) else None for size in ports[0].shape],
        dtype,
    )


def _open_torch(path: Path) -> Model:
    torch = need("torch", "torch", "this file")
    module, shape = _load_torch(torch, path)
    parameters = list(module.parameters())
    double = any(parameter.dtype == torch.float64 for parameter in parameters)
    if shape is None:
        first = next((p for p in parameters if p.ndim == 2), None)
        shape = [None, None if first is None else first.shape[1]]

    def ask(rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(rows)).numpy()

    return _shaped(path, ask, shape, np.float64 if double else np.float32)


def _load_torch(torch: Any, path: Path) -> tuple[Any, list[int | None] | None]:
    try:
        return torch.jit.load(str(path), map_location="cpu").eval(), None
    except RuntimeError:
        pass  # not TorchScript
    try:
        program = torch.export.load(str(path))
    except Exception as error:  # whatever its reader stumbles over
        raise FileFormatError(
            f"{path} is neither TorchScript nor an exported program; write it with "
            "torch.jit.save or torch.export.save (a pickled model is not read: it could run "
            "any code)."
        ) from error
    names = program.graph_signature.user_inputs
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    if len(names) != 1 or values.get(names[0]) is None:
        raise FileFormatError(f"{path} must take one array; it takes {len(names)} inputs.")
    shape = [size if isinstance(size, int) else None for size in values[names[0]].shape]
    return program.module(), shape


def _shaped(path: Path, ask: Function, shape: list[int | None], dtype: type) -> Model:
    """Rows in and rows out, for a model that wants images or a fixed number of rows."""
    if len(shape) < 2:
        raise FileFormatError(f"{path} must take rows of inputs; its input has shape {shape}.")
    batch, sizes = shape[0], shape[1:]
    if len(sizes) > 1 and None in sizes:
        raise FileFormatError(f"{path} has an input of unknown shape {shape}; fix all but rows.")
    fixed = [size for size in sizes if size is not None]
    input_size = int(np.prod(fixed)) if fixed else None

    def one(rows: np.ndarray) -> np.ndarray:
        answer = np.asarray(ask(rows.reshape(len(rows), *fixed) if fixed else rows), np.float64)
        return answer.reshape(len(rows), -1)

    def function(inputs: np.ndarray) -> np.ndarray:
        rows = np.ascontiguousarray(inputs, dtype=dtype)
        if batch is None:
            return one(rows)
        padded = np.concatenate([rows, np.repeat(rows[-1:], -len(rows) % batch, axis=0)])
        parts = [one(padded[i : i + batch]) for i in range(0, len(padded), batch)]
        return np.concatenate(parts)[: len(rows)]

    return Model(function, input_size)


def size_of(model: Model, given: int | None, path: Path) -> int:
    """The number of inputs, from the file or from the user.

    Raises:
        InvalidInputError: Neither says it, or they disagree.
    """
    known = model.input_size
    if known is None and given is None:
        raise InvalidInputError(f"{path} does not say how many inputs it takes; give --input-size.")
    if known is not None and given not in (None, known):
        raise InvalidInputError(f"--input-size is {given}, but {path} takes {known} inputs.")
    return known if known is not None else int(given or 0)
