"""The IDX files in which MNIST and its relatives come."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from expand_and_cluster.core.errors import FileFormatError

Part = tuple[np.ndarray, np.ndarray]
PARTS = ("train", "t10k")
UNSIGNED_BYTE = 0x08


def find_idx(folder: Path) -> tuple[Part, Part] | None:
    """(images, labels) of the training and test part in a folder, or None if it lacks a file.

    Files may be plain or gzipped, under the names the collections use.

    Raises:
        FileFormatError: A file is there but is no IDX file of bytes.
    """
    images = [_find(folder, f"{part}-images-idx3-ubyte") for part in PARTS]
    labels = [_find(folder, f"{part}-labels-idx1-ubyte") for part in PARTS]
    read = [read_idx(path) for path in (*images, *labels) if path is not None]
    if len(read) < 4:
        return None
    return (read[0], read[2]), (read[1], read[3])


def read_idx(path: Path) -> np.ndarray:
    """The array of bytes that an IDX file holds, gzipped where its name ends in `.gz`.

    Raises:
        FileFormatError: The file is not of this format, damaged or cut short.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise FileFormatError(
                f"{path} cannot be unpacked as gzip ({error}); fetch it again."
            ) from error
    axes = content[3] if len(content) >= 4 else 0
    start = 4 + 4 * axes
    if axes == 0 or content[:3] != bytes([0, 0, UNSIGNED_BYTE]) or len(content) < start:
        raise FileFormatError(
            f"{path} is no IDX file of unsigned bytes; fetch it again, or give it the ending .gz "
            "if it is gzipped."
        )
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", count=axes, offset=4))
    values = np.frombuffer(content, np.uint8, offset=start)
    if values.size != int(np.prod(shape)):
        raise FileFormatError(
            f"{path} announces shape {shape} but holds {values.size} values; fetch it again."
        )
    return values.reshape(shape)


def _find(folder: Path, name: str) -> Path | None:
    # Some collections write "images.idx3" where others write "images-idx3".
    for stem in (name, name.replace("-idx", ".idx")):
        for path in (folder / stem, folder / f"{stem}.gz"):
            if path.is_file():
                return path
    return None
