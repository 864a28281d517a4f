"""Loads a collection by name, from local files where there are some."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from expand_and_cluster.core.errors import EacError, InvalidInputError
from expand_and_cluster.datasets.cifar import IMAGE_SHAPE, find_batches
from expand_and_cluster.datasets.dataset import Dataset, from_bytes
from expand_and_cluster.datasets.idx import find_idx
from expand_and_cluster.datasets.online import Part, fetch

DATA_VARIABLE = "EXPAND_AND_CLUSTER_DATA"
"""Environment variable that names a folder of local data."""


@dataclass(frozen=True)
class _Source:
    """Where a collection is found.

    Attributes:
        folders: Names of its folder inside the data folder.
        files: What files it needs there, in words.
        find: Reads them from a folder; None if one is not there.
        collection: Its name at OpenML.
        train: Rows of the training part at OpenML.
        image_shape: Shape of one image.
    """

    folders: tuple[str, ...]
    files: str
    find: Callable[[Path], tuple[Part, Part] | None]
    collection: str
    train: int
    image_shape: tuple[int, ...]


_IDX_FILES = "{train,t10k}-{images-idx3,labels-idx1}-ubyte, plain or .gz"
_SOURCES: Mapping[str, _Source] = MappingProxyType(
    {
        "mnist": _Source(("mnist",), _IDX_FILES, find_idx, "mnist_784", 60_000, (28, 28)),
        "fashion_mnist": _Source(
            ("fashion-mnist", "fashion_mnist"),
            _IDX_FILES,
            find_idx,
            "Fashion-MNIST",
            60_000,
            (28, 28),
        ),
        "cifar10": _Source(
            ("cifar-10-batches-bin", "cifar10"),
            "data_batch_*.bin and test_batch.bin",
            find_batches,
            "CIFAR_10",
            50_000,
            IMAGE_SHAPE,
        ),
    }
)
NAMES = ("digits", *_SOURCES)
"""Names that `load` knows."""


def load(name: str, *, folder: str | os.PathLike[str] | None = None) -> Dataset:
    """Load a collection of labelled images.

    `digits` (8x8, scikit-learn's own) is always there. The others are read from a local folder
    (`mnist/`, `fashion-mnist/`, `cifar-10-batches-bin/` inside it) or else fetched from OpenML by
    scikit-learn, which keeps them in its cache.

    Args:
        name: `digits`, `mnist`, `fashion_mnist` or `cifar10`.
        folder: Local data folder, which must then have the collection. None: the folder named by
            the environment variable EXPAND_AND_CLUSTER_DATA if it has it, otherwise OpenML.

    Returns:
        The dataset, pixels in [0, 1].

    Raises:
        InvalidInputError: The name is unknown.
        FileFormatError: A local file is damaged or of another format.
        EacError: The collection is neither in the folder, nor cached, nor within reach.
    """
    if name == "digits":
        return _digits()
    if name not in _SOURCES:
        raise InvalidInputError(f"dataset {name!r} is unknown; choose one of {', '.join(NAMES)}.")
    source = _SOURCES[name]
    place = folder if folder is not None else os.environ.get(DATA_VARIABLE)
    if place:
        for inside in source.folders:
            found = source.find(Path(place) / inside)
            if found is not None:
                return from_bytes(name, *found, source.image_shape)
    if folder is not None:
        raise EacError(
            f"{Path(folder) / source.folders[0]} does not hold {name}; it needs {source.files}."
        )
    advice = (
        f"put {source.files} into a folder {source.folders[0]}/ and give its parent as "
        f"folder=... or in the environment variable {DATA_VARIABLE}."
    )
    parts = fetch(source.collection, 1, source.train, advice)
    return from_bytes(name, *parts, source.image_shape)


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.asarray(images, dtype=np.float64) / 16.0
    # Neighbouring images come from one writer, so they are mixed first. The legacy generator is
    # the one whose stream NumPy promises never to change: the split is the same everywhere.
    order = np.random.RandomState(0).permutation(len(pixels))
    test, train = order[:360], order[360:]
    classes = np.asarray(labels, dtype=np.int64)
    return Dataset("digits", pixels[train], classes[train], pixels[test], classes[test], (8, 8))
