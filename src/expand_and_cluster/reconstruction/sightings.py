"""Kinks that no known channel explains, and the measurements at them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.queries.jumps import measure_jumps
from expand_and_cluster.queries.kinks import Ask
from expand_and_cluster.reconstruction.below import Below
from expand_and_cluster.reconstruction.kernel_equations import KinkEquations
from expand_and_cluster.reconstruction.layer_geometry import Box, LayerGeometry, Place

# Gradient outside a unit's pixels, relative to the kink, of a layer above.
OUTSIDE = 1e-5
# Impurity above which a jump is not a single unit's, and the least entry of one that is.
IMPURE, SHOWN = 1e-5, 1e-6


@dataclass(eq=False)
class Sighting:
    """A kink that no known channel explains.

    Attributes:
        point: The kink.
        way: Direction of the line on which it was found, of length 1: one pixel.
        room: Distance on that line to the next kink, or less.
        jump: Slope of the outputs after the kink less that before it.
        measured: Whether the gradient's jump was measured.
        equations: What it says about the kernel, if it is a single unit's.
        place: The unit around which it was found.
    """

    point: Float[np.ndarray, " inputs"]
    way: Float[np.ndarray, " inputs"]
    room: float
    jump: Float[np.ndarray, " outputs"]
    measured: bool = False
    equations: KinkEquations | None = None
    place: Place | None = None

    @property
    def pixel(self) -> int:
        """Number, in an input row, of the pixel that the line changes."""
        return int(np.argmax(np.abs(self.way)))


class SightingReader:
    """Measures how the gradient jumps at kinks of one layer.

    Args:
        below: The layers below it.
        geometry: The layer, seen from the image.
        ask: Answers inputs with outputs.
        rng: Source of randomness.
    """

    def __init__(
        self, below: Below, geometry: LayerGeometry, ask: Ask, rng: np.random.Generator
    ) -> None:
        """Measure nothing yet."""
        self.below, self.geometry, self.ask, self.rng = below, geometry, ask, rng

    def parted(self, sightings: Sequence[Sighting]) -> tuple[list[Sighting], list[Sighting]]:
        """Those whose gradient jumps only within this layer's units, and those of a layer above."""
        moves = []
        for one in sightings:
            move = self.rng.standard_normal(self.below.architecture.input_size)
            box = self.geometry.seen_with(one.pixel)
            if box is not None:
                move[self.geometry.pixels(box)] = 0.0
            moves.append(move[None] / max(float(np.linalg.norm(move)), 1.0))
        own: list[Sighting] = []
        above: list[Sighting] = []
        for one, jump in zip(sightings, self._measure(sightings, moves), strict=True):
            within = np.linalg.norm(jump[0]) < OUTSIDE * np.linalg.norm(one.jump)
            (own if within else above).append(one)
        return own, above

    def read(self, sightings: Sequence[Sighting]) -> None:
        """Measure jumps, and write down what they say about the kernel.

        First along whole rows and columns of pixels: they show which positions it can be.
        """
        size = self.below.architecture.input_size
        told = []
        for one, box in zip(sightings, self._boxes(sightings), strict=True):
            one.measured = True
            choices = [] if box is None else self.geometry.choices(box)
            if box is not None and len(choices) == 1:
                told.append((one, choices[0], np.eye(size)[self.geometry.pixels(box)]))
        jumps = self._measure([one for one, _, _ in told], [moves for _, _, moves in told])
        for (one, places, moves), jump in zip(told, jumps, strict=True):
            unit = one.jump / np.linalg.norm(one.jump)
            gradient = jump @ unit
            rest = float(np.linalg.norm(jump - np.outer(gradient, unit)))
            if rest > IMPURE * np.linalg.norm(gradient):
                continue
            tangents = self.below.tangents(one.point, moves)
            features = self.below.features(one.point[None])
            turns = [self.geometry.window(tangents, at) for at in places]
            seen = [self.geometry.window(features, at)[0] for at in places]
            if len(places) == 2:
                turns, seen = [turns[0] - turns[1]], [seen[0] - seen[1]]
            one.equations = KinkEquations(places, turns[0], gradient, seen[0])

    def _measure(
        self, sightings: Sequence[Sighting], moves: Sequence[np.ndarray]
    ) -> list[Float[np.ndarray, "moves outputs"]]:
        if not sightings:
            return []
        points = np.array([one.point for one in sightings])
        ways = np.array([one.way for one in sightings])
        return measure_jumps(
            self.ask, points, ways, np.array([one.room for one in sightings]), moves
        )

    def _boxes(self, sightings: Sequence[Sighting]) -> list[Box | None]:
        """Rows and columns of pixels in which the gradient jumps."""
        strips, spans = [], []
        channels, height, width = self.below.architecture.image
        for one in sightings:
            box = self.geometry.seen_with(one.pixel)
            assert box is not None
            rows = np.arange(box[0][0], box[0][1] + 1)
            columns = np.arange(box[1][0], box[1][1] + 1)
            inside = np.zeros((height, width), dtype=bool)
            inside[np.ix_(rows, columns)] = True
            noise = self.rng.standard_normal((len(rows) + len(columns), channels, height, width))
            noise *= inside
            for number, row in enumerate(rows):
                noise[number, :, np.arange(height) != row] = 0.0
            for number, column in enumerate(columns, start=len(rows)):
                noise[number, :, :, np.arange(width) != column] = 0.0
            flat = noise.reshape(len(noise), -1)
            strips.append(flat / np.linalg.norm(flat, axis=1, keepdims=True))
            spans.append((rows, columns))
        found: list[Box | None] = []
        for jump, (rows, columns) in zip(self._measure(sightings, strips), spans, strict=True):
            sizes = np.linalg.norm(jump, axis=1)
            shown = sizes > SHOWN * sizes.max()
            tall, wide = rows[shown[: len(rows)]], columns[shown[len(rows) :]]
            if not len(tall) or not len(wide):
                found.append(None)
                continue
            found.append(((int(tall[0]), int(tall[-1])), (int(wide[0]), int(wide[-1]))))
        return found
