"""Lines on which kinks of one layer are looked for: one pixel changes, among fresh surroundings."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.queries.kinks import Ask, Kinks, find_kinks
from expand_and_cluster.reconstruction.layer_geometry import LayerGeometry, Place
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
# Kinks too near to each other are looked at beside the line: how far, on how long a line, in
# standard deviations of an input, and how many times at most.
SHIFT, WINDOW, BESIDES = 1e-3, 0.1, 3
# Range of how far surroundings are changed that showed a unit, in the same units.
ASIDE = (0.1, 1.0)

Rows = Float[np.ndarray, "rows inputs"]
Draw = Callable[[int], Float[np.ndarray, "rows inputs"]]


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

    def kinks(self, place: Place, shown: Sequence[Sighting] = ()) -> tuple[list[Sighting], int]:
        """All kinks on some lines of one pixel each, of whatever layer.

        Args:
            place: The unit that lines go through.
            shown: Kinks near which half of the lines pass: their surroundings show a unit that
                others may seldom show.

        Returns:
            The kinks, and the number of stretches with several kinks too near to be told apart.
        """
        own = self.geometry.unit_pixels(place.unit)
        starts = np.tile(place.background, (LINES, 1))
        starts[:, own] = self._surroundings(LINES)[:, own]
        for row, one in zip(range(LINES // 2), shown, strict=False):
            aside = self.rng.uniform(*ASIDE) * self.spread * self.rng.standard_normal(len(own))
            starts[row, own] = one.point[own] + aside
        margin = MARGIN if self.geometry.depth else 0.0
        pixels = self.rng.choice(self.geometry.unit_pixels(place.unit, margin), size=LINES)
        ways = np.zeros_like(starts)
        ways[np.arange(LINES), pixels] = 1.0
        length = 2.0 * HALF_LINE * self.spread
        starts = starts - 0.5 * length * ways
        found, kinks = self.along(starts, starts + length * ways)
        near = ways[kinks.near_line]
        middles = starts[kinks.near_line] + length * kinks.near_place[:, None] * near
        for _ in range(BESIDES):
            if not len(near):
                break
            more, apart = self._beside(middles, near)
            found += more
            middles, near = middles[~apart], near[~apart]
        for one in found:
            one.place = place
        return found, len(near)

    def along(self, starts: Rows, ends: Rows) -> tuple[list[Sighting], Kinks]:
        """Kinks on any lines, as sightings and as they were found."""
        kinks = find_kinks(self.ask, starts, ends)
        length = np.linalg.norm(ends - starts, axis=1)
        ways = (ends - starts) / length[:, None]
        far = length[kinks.line]
        points = starts[kinks.line] + (far * kinks.place)[:, None] * ways[kinks.line]
        room = np.minimum(kinks.room * far, NEAR * self.spread)
        jumps = kinks.jump / far[:, None]
        found = [
            Sighting(point, ways[line], float(free), jump)
            for point, line, free, jump in zip(points, kinks.line, room, jumps, strict=True)
        ]
        return found, kinks

    def _beside(
        self, middles: Rows, ways: Rows
    ) -> tuple[list[Sighting], Bool[np.ndarray, " stretches"]]:
        """Kinks on short lines beside stretches with several, and whether they stand apart there.

        With so many kinks on a line, two come near to each other by chance; they part on one
        beside it, where each is seen.
        """
        aside = SHIFT * self.spread * self.rng.standard_normal(middles.shape)
        starts = middles + aside - 0.5 * WINDOW * self.spread * ways
        found, kinks = self.along(starts, starts + WINDOW * self.spread * ways)
        rows = np.arange(len(middles))
        return found, np.isin(rows, kinks.line) & ~np.isin(rows, kinks.near_line)

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
