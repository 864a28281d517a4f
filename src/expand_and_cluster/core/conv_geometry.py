"""What is known of a convolutional network beforehand: image, kernels, strides and pooling."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from expand_and_cluster.core.arguments import whole_number
from expand_and_cluster.core.errors import InvalidInputError

Pool = Literal["max", "average"]
POOLS = ("max", "average")


@dataclass(frozen=True)
class Conv:
    """Geometry of one convolutional layer: everything but the number of its channels.

    Attributes:
        kernel: Side of the square kernel, in pixels.
        stride: Pixels from one window to the next.
        padding: Zeros added on each side.
        pool: What follows the activation: "max", "average", or None for nothing.
        pool_size: Side of the pooling windows, which do not overlap; what does not fill a window
            is left out.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    pool: Pool | None = None
    pool_size: int = 2

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InvalidInputError: A number is not whole or too small, or the pooling is not known.
        """
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0), ("pool_size", 1)):
            whole_number(f"{name} of a convolution", getattr(self, name), least)
        if self.pool is not None and self.pool not in POOLS:
            raise InvalidInputError(
                f'pool of a convolution must be "max", "average" or None, got {self.pool!r}.'
            )

    @property
    def step(self) -> int:
        """Side of the pooling windows, 1 without pooling."""
        return 1 if self.pool is None else self.pool_size

    def positions(self, side: int) -> int:
        """Windows along a side of so many pixels."""
        return (side + 2 * self.padding - self.kernel) // self.stride + 1

    def side(self, side: int) -> int:
        """Side of the layer's output for a side of so many pixels."""
        return self.positions(side) // self.step


@dataclass(frozen=True, init=False)
class Convolutional:
    """What is known of a convolutional network before it is recovered.

    Attributes:
        image: Channels, height and width of an input; an input is a row of so many numbers.
        layers: Geometry of the convolutional layers, from the image on.
    """

    image: tuple[int, int, int]
    layers: tuple[Conv, ...]

    def __init__(self, image: Sequence[int], layers: Iterable[Conv]) -> None:
        """Check that the layers fit the image.

        Args:
            image: (channels, height, width), height and width equal.
            layers: At least one.

        Raises:
            InvalidInputError: The image is not square, or a layer leaves nothing of it.
        """
        shape, chain = tuple(image), tuple(layers)
        whole = all(isinstance(n, int | np.integer) and n > 0 for n in shape)
        if len(shape) != 3 or not whole or shape[1] != shape[2]:
            raise InvalidInputError(
                f"image must be (channels, height, width) of a square image, got {image!r}."
            )
        if not chain or not all(isinstance(layer, Conv) for layer in chain):
            raise InvalidInputError("layers must hold at least one eac.Conv and nothing else.")
        side = int(shape[1])
        for i, layer in enumerate(chain):
            if layer.side(side) < 1:
                raise InvalidInputError(
                    f"convolution {i} has no window in an image of {side} x {side} pixels."
                )
            side = layer.side(side)
        object.__setattr__(self, "image", (int(shape[0]), int(shape[1]), int(shape[2])))
        object.__setattr__(self, "layers", chain)

    @property
    def input_size(self) -> int:
        """Numbers in an input row."""
        return int(np.prod(self.image))

    @property
    def sides(self) -> tuple[int, ...]:
        """Side of the image, and of each layer's output."""
        found = [self.image[1]]
        for layer in self.layers:
            found.append(layer.side(found[-1]))
        return tuple(found)
