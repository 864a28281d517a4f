"""A labelled set of images, flattened and split."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.core.errors import FileFormatError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images as rows, with their classes.

    Attributes:
        name: Name under which it was loaded.
        train_inputs: (n, d) float64 in [0, 1].
        train_labels: (n,) classes from 0.
        test_inputs: (m, d) float64 in [0, 1].
        test_labels: (m,) classes from 0.
        image_shape: Shape of one row as an image: (height, width), or (channels, height, width).
    """

    name: str
    train_inputs: Float[np.ndarray, "train inputs"] = field(repr=False)
    train_labels: Int[np.ndarray, " train"] = field(repr=False)
    test_inputs: Float[np.ndarray, "test inputs"] = field(repr=False)
    test_labels: Int[np.ndarray, " test"] = field(repr=False)
    image_shape: tuple[int, ...]

    @property
    def input_size(self) -> int:
        """Number of pixels times channels."""
        return self.train_inputs.shape[1]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(max(self.train_labels.max(), self.test_labels.max())) + 1


def from_bytes(
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    image_shape: tuple[int, ...],
) -> Dataset:
    """A dataset from (images, labels) with pixels from 0 to 255.

    Raises:
        FileFormatError: There are no images, not one label for each, or images of another size.
    """
    parts = []
    for part, (images, labels) in (("training", train), ("test", test)):
        size = int(np.prod(image_shape))
        if len(images) == 0 or len(images) != len(labels):
            raise FileFormatError(
                f"{name}: the {part} part has {len(images)} images and {len(labels)} labels; "
                "there must be one label for each image, and at least one image."
            )
        if images[0].size != size:
            raise FileFormatError(
                f"{name}: {part} images have {images[0].size} values, expected {image_shape}."
            )
        pixels = np.divide(images.reshape(len(images), size), 255.0, dtype=np.float64)
        parts += [pixels, labels.astype(np.int64)]
    return Dataset(name, *parts, image_shape=image_shape)
