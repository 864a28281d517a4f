"""A folder of finished stages, written so that a killed process never leaves half a file."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from expand_and_cluster.core.errors import FileFormatError, InvalidInputError

Arrays = dict[str, np.ndarray]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or nothing.

    The bytes go to a temporary file of the same folder, are forced to disk and renamed over the
    target: a reader sees the old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile`, whose files nobody else may read: these become results that are shared.
    temporary = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def drop_half_line(path: Path) -> None:
    """Cut off a line that a killed process left unfinished."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        if content and not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)


class Checkpoint:
    """Named results of finished stages, kept in a folder.

    Args:
        folder: Where to keep them; None keeps nothing and remembers nothing.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        """Remember the folder; it is created by the first save."""
        self.folder = None if folder is None else Path(folder)

    def load(self, name: str) -> tuple[Arrays, dict[str, Any]] | None:
        """Arrays and metadata saved under a name, or None if there are none.

        Raises:
            FileFormatError: The file exists but is not one of ours.
        """
        if self.folder is None:
            return None
        path = self.folder / f"{name}.safetensors"
        try:
            arrays = load_tensors(path.read_bytes())
            meta = json.loads(bytes(arrays.pop("__meta__")).decode())
        except FileNotFoundError:
            return None
        except (SafetensorError, KeyError, ValueError) as error:
            raise FileFormatError(
                f"{path} is not a checkpoint of this library ({error}); remove it to start this "
                "stage again."
            ) from error
        return arrays, meta

    def claim(self, mine: Mapping[str, Any]) -> None:
        """Mark the folder as the recovery's that these JSON-ready settings describe.

        Raises:
            InvalidInputError: It holds a recovery with other settings.
        """
        saved = self.load("request")
        if saved is None:
            self.save("request", {}, mine)
            return
        for name, value in mine.items():
            if saved[1].get(name) != value:
                raise InvalidInputError(
                    f"checkpoint={self.folder} holds a recovery with "
                    f"{name}={saved[1].get(name)!r}, not {value!r}; give another folder, or the "
                    "same arguments to resume."
                )

    def save(self, name: str, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        """Keep arrays and JSON-ready metadata under a name, in one atomic write."""
        if self.folder is None:
            return
        text = np.frombuffer(json.dumps(dict(meta)).encode(), dtype=np.uint8)
        tensors = {key: np.array(value, order="C") for key, value in arrays.items()}
        tensors["__meta__"] = text
        write_atomically(self.folder / f"{name}.safetensors", save_tensors(tensors))
