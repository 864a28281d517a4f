"""The binary batches in which CIFAR-10 comes."""

from pathlib import Path

import numpy as np

from expand_and_cluster.core.errors import FileFormatError

IMAGE_SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
CLASSES = 10

Part = tuple[np.ndarray, np.ndarray]


def find_batches(folder: Path) -> tuple[Part, Part] | None:
    """(images, labels) of the training and test part in a folder, or None if it lacks one.

    The training part is every `data_batch_*.bin` in the order of the names, the test part is
    `test_batch.bin`.

    Raises:
        FileFormatError: A file is there but is no binary batch.
    """
    batches = sorted(folder.glob("data_batch_*.bin"))
    test = folder / "test_batch.bin"
    if not batches or not test.is_file():
        return None
    parts = [read_batch(path) for path in batches]
    images, labels = zip(*parts, strict=True)
    return (np.concatenate(images), np.concatenate(labels)), read_batch(test)


def read_batch(path: Path) -> Part:
    """Images (n, 3072) and labels (n,) of one batch: a label byte, then the three colour planes.

    Raises:
        FileFormatError: The file is not a whole number of such records.
    """
    values = np.frombuffer(path.read_bytes(), np.uint8)
    if values.size == 0 or values.size % RECORD:
        raise FileFormatError(
            f"{path} holds {values.size} bytes, not a whole number of records of {RECORD}; fetch "
            "the binary version of CIFAR-10 again."
        )
    records = values.reshape(-1, RECORD)
    if records[:, 0].max() >= CLASSES:
        raise FileFormatError(
            f"{path} has a label {records[:, 0].max()}, but CIFAR-10 has classes 0 to 9."
        )
    return records[:, 1:], records[:, 0]
