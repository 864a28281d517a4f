"""Lines on which kinks of one layer are looked for: one pixel changes, among fresh surroundings."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.queries.kinks import Ask, find_kinks
from expand_and_cluster.reconstruction.layer_geometry import LayerGeometry, Position
from expand_and_cluster.reconstruction.sightings import Sighting

# Half the length of a line, in standard deviations of an input.
HALF_LINE = 8.0
# Lines in one round.
LINES = 4
# How much the image around the pixels that vary is brightened above the first layer: it keeps the
# dense neurons' state, and with it the proportion in which a unit bends the outputs.
BRIGHTER = 10.0
# Share of a unit's pixels, on each side, that lines above the first layer leave alone: few units
# look at them.
MARGIN = 1.0 / 3.0
# Side of blocks of equal brightness, in pixels, and range of the strength of each ingredient.
BLOCK, STRENGTHS = 4, (0.1, 3.0)
# Largest distance from a kink at which its jump is measured, in standard deviations of an input.
NEAR = 4e-4

Draw = Callable[[int], Float[np.ndarray, "rows inputs"]]


@dataclass(frozen=True, eq=False)
class Place:
    """A unit whose pixels vary, and the image around them.

    Attributes:
        unit: Row and column.
        background: The image.
    """

    unit: Position
    background: Float[np.ndarray, " inputs"]


class KinkLines:
    """Asks along lines.

    Args:
        geometry: The layer, seen from the image.
        ask: Answers inputs with outputs.
        draw: Draws inputs.
        rng: Source of randomness.
    """

    def __init__(
        self, geometry: LayerGeometry, ask: Ask, draw: Draw, rng: np.random.Generator
    ) -> None:
        """Measure how far inputs spread."""
        self.geometry, self.ask, self.draw, self.rng = geometry, ask, draw, rng
        self.spread = float(np.std(draw(16)))

    def place(self) -> Place:
        """Some unit, in some image."""
        row, column = self.rng.integers(self.geometry.units, size=2)
        brighter = BRIGHTER if self.geometry.depth else 1.0
        return Place((int(row), int(column)), brighter * self.draw(1)[0])

    def kinks(self, place: Place) -> tuple[list[Sighting], int]:
        """All kinks on some lines of one pixel each, of whatever layer.

        Returns:
            The kinks, and the number of stretches with several kinks too near to be told apart.
        """
        own = self.geometry.unit_pixels(place.unit)
        starts = np.tile(place.background, (LINES, 1))
        starts[:, own] = self._surroundings(LINES)[:, own]
        margin = MARGIN if self.geometry.depth else 0.0
        pixels = self.rng.choice(self.geometry.unit_pixels(place.unit, margin), size=LINES)
        ways = np.zeros_like(starts)
        ways[np.arange(LINES), pixels] = 1.0
        length = 2.0 * HALF_LINE * self.spread
        starts = starts - 0.5 * length * ways
        kinks = find_kinks(self.ask, starts, starts + length * ways)
        points = starts[kinks.line] + length * kinks.place[:, None] * ways[kinks.line]
        room = np.minimum(kinks.room * length, NEAR * self.spread)
        found = [
            Sighting(point, ways[line], float(free), jump / length)
            for point, line, free, jump in zip(points, kinks.line, room, kinks.jump, strict=True)
        ]
        return found, kinks.unresolved

    def _surroundings(self, count: int) -> Float[np.ndarray, "rows inputs"]:
        """Questions of many kinds: channels of upper layers may answer to none of the sampler's.

        Above the first layer, noise of varying strength, brightness, and patterns of coarse blocks.
        """
        rows = self.draw(count)
        if not self.geometry.depth:
            return rows
        channels, height, width = self.geometry.architecture.image
        coarse = self.rng.standard_normal(
            (count, channels, -(-height // BLOCK), -(-width // BLOCK))
        )
        blocks = coarse.repeat(BLOCK, axis=2).repeat(BLOCK, axis=3)[:, :, :height, :width]
        bright = self.rng.standard_normal((count, channels, 1, 1)) + np.zeros_like(blocks)
        strengths = np.exp(self.rng.uniform(*np.log(STRENGTHS), size=(3, count, 1)))
        flat = blocks.reshape(count, -1), bright.reshape(count, -1)
        return strengths[0] * rows + self.spread * (strengths[1] * flat[0] + strengths[2] * flat[1])
