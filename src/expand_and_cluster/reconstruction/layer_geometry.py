"""Which pixels the units of one convolutional layer look at, and which units look at a pixel."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.core.conv_geometry import Conv, Convolutional

Span = tuple[int, int]
Position = tuple[int, int]
Box = tuple[Span, Span]


@dataclass(frozen=True, eq=False)
class Place:
    """A unit whose pixels vary, and the image around them.

    Attributes:
        unit: Row and column.
        background: The image.
    """

    unit: Position
    background: Float[np.ndarray, " inputs"]


@dataclass(frozen=True)
class LayerGeometry:
    """One layer of an architecture, seen from the image.

    A unit is an output of the layer, after pooling; a position is a place of the kernel.

    Attributes:
        architecture: Of the whole network.
        depth: Number of layers below.
    """

    architecture: Convolutional
    depth: int

    @property
    def layer(self) -> Conv:
        """Kernel, stride, padding and pooling."""
        return self.architecture.layers[self.depth]

    @property
    def units(self) -> int:
        """Units along one side."""
        return self.architecture.sides[self.depth + 1]

    @property
    def pixels_of_a_position(self) -> int:
        """Numbers of an input that one place of the kernel depends on, away from the rim."""
        first, last = self._span(0, 0)
        return self.architecture.image[0] * (last - first + 1) ** 2

    def unit_pixels(self, unit: Position, margin: float = 0.0) -> Int[np.ndarray, " pixels"]:
        """Pixels that a unit looks at.

        Args:
            unit: Row and column.
            margin: Share of the rectangle that is left out on each side.
        """
        spans = []
        for first, last in (self._unit_span(at) for at in unit):
            cut = int(margin * (last - first + 1))
            spans.append((first + cut, last - cut))
        return self.pixels((spans[0], spans[1]))

    def seen_with(self, pixel: int) -> Box | None:
        """Rectangle of all pixels that the units look at which look at this one."""
        _, height, width = self.architecture.image
        spans = []
        for at in divmod(pixel % (height * width), width):
            looking = [
                span
                for span in (self._unit_span(unit) for unit in range(self.units))
                if span[0] <= at <= span[1]
            ]
            if not looking:
                return None
            spans.append(self._cut((looking[0][0], looking[-1][1])))
        return spans[0], spans[1]

    def pixels(self, box: Box) -> Int[np.ndarray, " pixels"]:
        """Numbers, in an input row, of a rectangle's pixels in all channels."""
        channels, height, width = self.architecture.image
        grid = np.arange(channels * height * width).reshape(self.architecture.image)
        (top, bottom), (left, right) = (self._cut(span) for span in box)
        return grid[:, top : bottom + 1, left : right + 1].ravel()

    def positions_of(self, unit: Position) -> list[Position]:
        """Places of the kernel that are pooled into one unit."""
        step = self.layer.step
        rows, columns = (range(at * step, at * step + step) for at in unit)
        return [(row, column) for row in rows for column in columns]

    def choices(self, box: Box) -> list[tuple[Position, ...]]:
        """Positions whose pixels fill a rectangle.

        One position where a unit turns on; two of one pooling window where its largest value passes
        from one to the other.

        Args:
            box: First and last row and column of pixels in which the gradient jumps.
        """
        units = [(i, j) for i in range(self.units) for j in range(self.units)]
        single: list[tuple[Position, ...]] = [
            (place,)
            for unit in units
            for place in self.positions_of(unit)
            if self._covers([place], box)
        ]
        if single or self.layer.pool != "max":
            return single
        return [
            (one, other)
            for unit in units
            if self._overlaps(unit, box)
            for number, one in enumerate(self.positions_of(unit))
            for other in self.positions_of(unit)[number + 1 :]
            if self._covers([one, other], box)
        ]

    def window(
        self, values: Float[np.ndarray, "rows features side side"], position: Position
    ) -> Float[np.ndarray, "rows size"]:
        """What the kernel sees at one position."""
        pad, kernel = self.layer.padding, self.layer.kernel
        wide = np.pad(values, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        row, column = (at * self.layer.stride for at in position)
        return wide[:, :, row : row + kernel, column : column + kernel].reshape(len(values), -1)

    def _span(self, first: int, last: int) -> Span:
        return reach(self.architecture.layers[: self.depth + 1], first, last)

    def _unit_span(self, unit: int) -> Span:
        step = self.layer.step
        return self._span(unit * step, unit * step + step - 1)

    def _cut(self, span: Span) -> Span:
        return max(span[0], 0), min(span[1], self.architecture.image[1] - 1)

    def _overlaps(self, unit: Position, box: Box) -> bool:
        spans = [self._unit_span(at) for at in unit]
        return all(
            s[0] <= b[0] and b[1] <= s[1] for s, b in zip(map(self._cut, spans), box, strict=True)
        )

    def _covers(self, positions: Sequence[Position], box: Box) -> bool:
        for axis in (0, 1):
            spans = [self._span(place[axis], place[axis]) for place in positions]
            span = (min(s[0] for s in spans), max(s[1] for s in spans))
            if self._cut(span) != box[axis]:
                return False
        return True


def reach(layers: Sequence[Conv], first: int, last: int) -> Span:
    """Pixels along one side that positions `first` to `last` of the last layer look at.

    Args:
        layers: From the image to the layer of the positions; pooling of the last is left out.
        first: Position in the last layer.
        last: Position in the last layer, not before `first`.

    Returns:
        First and last pixel; padding counts as pixels below 0 or beyond the image.
    """
    for i, layer in enumerate(reversed(layers)):
        if i:  # from outputs of this layer to its positions
            first, last = first * layer.step, last * layer.step + layer.step - 1
        first = first * layer.stride - layer.padding
        last = last * layer.stride - layer.padding + layer.kernel - 1
    return first, last
