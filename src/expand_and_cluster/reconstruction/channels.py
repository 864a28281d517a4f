"""One convolutional layer's channels, read off the kinks that they make in the outputs.

A channel is seen wherever one of its units turns on, or where the largest value of a pooling window
passes from one position to another: there the outputs have a kink, and their gradient jumps within
the pixels that the unit looks at, nowhere else. Kinks of one unit bend all outputs in the same
proportion, which tells which of them belong together without training or trying. Together they
determine the channel's kernel and bias; from then on its kinks are recognised. The layer is done
when questions show no kink of this layer that its known channels do not explain.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.core.convolution import ConvLayer, pooling_groups
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.queries.jumps import measure_jumps
from expand_and_cluster.queries.kinks import Ask, find_kinks
from expand_and_cluster.reconstruction.below import Below
from expand_and_cluster.reconstruction.kernel_equations import (
    Kernel,
    KinkEquations,
    solve_kernel,
)
from expand_and_cluster.reconstruction.layer_geometry import Box, LayerGeometry, Position

# Half the length of a line, in standard deviations of an input.
HALF_LINE = 8.0
# Lines in one round, and rounds around one unit before another is tried.
LINES, ROUNDS = 4, 12
# How much the image around the pixels that vary is brightened above the first layer: it keeps the
# dense neurons' state, and with it the proportion in which a unit bends the outputs.
BRIGHTER = 10.0
# Side of blocks of equal brightness, in pixels, and range of the strength of each ingredient.
BLOCK, STRENGTHS = 4, (0.1, 3.0)
# Largest distance from a kink at which its jump is measured, in standard deviations of an input.
NEAR = 4e-4
# A pre-activation so small, relative to the layer's, is zero.
ZERO = 1e-6
# Distance of unit vectors, bias included, of the same channel found twice.
SAME = 1e-4
# Gradient outside a unit's pixels, relative to the kink, of a layer above.
OUTSIDE = 1e-5
# Distance of unit vectors of two kinks that bend the outputs alike.
ALIKE = 1e-5
# Impurity above which a jump is not a single unit's, and the least entry of one that is.
IMPURE, SHOWN = 1e-5, 1e-6
# Kinks measured at once, and the most of one unit.
MEASURED, MOST_MEASURED = 3, 24
# Parts of a group that are tried where the whole has no solution.
TRIES = 8
# Rounds without a kink that is not explained, and kinks that they explain, before a layer is done.
QUIET, EXPLAINED = 4, 30
# Share of kinks that may stay unexplained in such a round: two that coincide are not told apart.
STRAY = 0.02
MOST_ROUNDS = 400

Draw = Callable[[int], Float[np.ndarray, "rows inputs"]]


@dataclass(frozen=True, eq=False)
class FoundLayer:
    """A layer's channels.

    Attributes:
        layer: Kernels of length 1, and biases.
        votes: For each channel, how many kinks it explains.
        rounds: Rounds of lines that were asked.
        done: Whether the last rounds were explained by these channels.
        strays: Kinks of the layer in these rounds that no channel explains.
    """

    layer: ConvLayer
    votes: tuple[int, ...]
    rounds: int
    done: bool
    strays: int


@dataclass(eq=False)
class _Sighting:
    """A kink of this layer that no known channel explains."""

    point: Float[np.ndarray, " inputs"]
    way: Float[np.ndarray, " inputs"]
    room: float
    jump: Float[np.ndarray, " outputs"]
    measured: bool = False
    equations: KinkEquations | None = None


class ChannelSearch:
    """Finds the channels of the first layer that is not known.

    Args:
        below: The layers that are known.
        ask: Answers inputs with outputs.
        draw: Draws inputs.
        rng: Source of randomness.
        report: Told after every round.
    """

    def __init__(
        self,
        below: Below,
        ask: Ask,
        draw: Draw,
        rng: np.random.Generator,
        report: Reporter = silent,
    ) -> None:
        """Begin without a channel."""
        self.below, self.ask, self.draw, self.rng, self.report = below, ask, draw, rng, report
        self.geometry = LayerGeometry(below.architecture, below.depth)
        architecture = below.architecture
        channels = len(below.layers[-1].bias) if below.layers else architecture.image[0]
        self.size = channels * self.geometry.layer.kernel**2
        self.vectors = np.zeros((0, self.size + 1))
        self.votes = np.zeros(0, dtype=np.int64)
        self.open: list[_Sighting] = []
        self.spread = float(np.std(draw(16)))

    def run(self) -> FoundLayer:
        """Ask until nothing new is seen."""
        rounds, around, quiet, explained, strays = 0, 0, 0, 0, 0
        unit, background = self._place()
        while quiet < QUIET and rounds < MOST_ROUNDS:
            # In the first layer one kink is enough, and after a quiet round others are wanted.
            if around == ROUNDS or quiet or not self.below.depth:
                unit, background = self._place()
                # Elsewhere units bend the outputs in other proportions.
                self.open, around = [], 0
            before = len(self.vectors)
            known, new = self._round(unit, background)
            self._solve_all()
            rounds, around = rounds + 1, around + 1
            calm = known > 0 and len(self.vectors) == before and new <= STRAY * known
            quiet, explained, strays = (
                (quiet + 1, explained + known, strays + new) if calm else (0, 0, 0)
            )
            note = f"{len(self.vectors)} channels, {known} kinks explained, {new} new"
            stage = f"read channels of layer {self.below.depth + 1}"
            self.report(Progress(stage, rounds, note=note))
        kernel = self.geometry.layer.kernel
        weight = self.vectors[:, :-1].reshape(len(self.vectors), -1, kernel, kernel)
        layer = ConvLayer(weight, self.vectors[:, -1], self.geometry.layer)
        done = quiet >= QUIET and explained >= EXPLAINED
        return FoundLayer(layer, tuple(self.votes.tolist()), rounds, done, strays)

    def _place(self) -> tuple[Position, Float[np.ndarray, " inputs"]]:
        row, column = self.rng.integers(self.geometry.units, size=2)
        brighter = BRIGHTER if self.below.depth else 1.0
        return (int(row), int(column)), brighter * self.draw(1)[0]

    def _round(self, unit: Position, background: np.ndarray) -> tuple[int, int]:
        """Lines of one pixel each, under fresh surroundings; kinks explained, and new."""
        own = self.geometry.unit_pixels(unit)
        starts = np.tile(background, (LINES, 1))
        starts[:, own] = self._surroundings(LINES)[:, own]
        margin = 1.0 / 3.0 if self.below.depth else 0.0
        pixels = self.rng.choice(self.geometry.unit_pixels(unit, margin), size=LINES)
        ways = np.zeros_like(starts)
        ways[np.arange(LINES), pixels] = 1.0
        length = 2.0 * HALF_LINE * self.spread
        starts = starts - 0.5 * length * ways
        kinks = find_kinks(self.ask, starts, starts + length * ways)
        points = starts[kinks.line] + length * kinks.place[:, None] * ways[kinks.line]
        rest = np.flatnonzero(~self._of_layers_below(points))
        hits = self._explained(points[rest])
        self.votes = self.votes + hits.sum(axis=0)
        known = hits.any(axis=1)
        sightings = [
            _Sighting(
                points[k],
                ways[kinks.line[k]],
                min(float(kinks.room[k]) * length, NEAR * self.spread),
                kinks.jump[k] / length,
            )
            for k in rest[~known]
        ]
        local = self._local(sightings, pixels[kinks.line[rest[~known]]])
        self.open += local
        return int(known.sum()), len(local)

    def _surroundings(self, count: int) -> Float[np.ndarray, "rows inputs"]:
        """Questions of many kinds: channels of upper layers may answer to none of the sampler's.

        Above the first layer, noise of varying strength, brightness, and patterns of coarse blocks.
        """
        rows = self.draw(count)
        if not self.below.depth:
            return rows
        channels, height, width = self.below.architecture.image
        coarse = self.rng.standard_normal(
            (count, channels, -(-height // BLOCK), -(-width // BLOCK))
        )
        blocks = coarse.repeat(BLOCK, axis=2).repeat(BLOCK, axis=3)[:, :, :height, :width]
        bright = self.rng.standard_normal((count, channels, 1, 1)) + np.zeros_like(blocks)
        strengths = np.exp(self.rng.uniform(*np.log(STRENGTHS), size=(3, count, 1)))
        flat = blocks.reshape(count, -1), bright.reshape(count, -1)
        return strengths[0] * rows + self.spread * (strengths[1] * flat[0] + strengths[2] * flat[1])

    def _local(self, sightings: list[_Sighting], pixels: np.ndarray) -> list[_Sighting]:
        """Those whose gradient does not jump outside this layer's units: not of a layer above."""
        if not sightings:
            return []
        moves = []
        for pixel in pixels:
            move = self.rng.standard_normal(self.below.architecture.input_size)
            box = self.geometry.seen_with(int(pixel))
            if box is not None:
                move[self.geometry.pixels(box)] = 0.0
            moves.append(move[None] / max(float(np.linalg.norm(move)), 1.0))
        jumps = self._measure(sightings, moves)
        return [
            one
            for one, jump in zip(sightings, jumps, strict=True)
            if np.linalg.norm(jump[0]) < OUTSIDE * np.linalg.norm(one.jump)
        ]

    def _measure(
        self, sightings: Sequence[_Sighting], moves: Sequence[np.ndarray]
    ) -> list[Float[np.ndarray, "moves outputs"]]:
        if not sightings:
            return []
        points, ways = (
            np.array([getattr(one, at) for one in sightings]) for at in ("point", "way")
        )
        return measure_jumps(
            self.ask, points, ways, np.array([one.room for one in sightings]), moves
        )

    def _of_layers_below(self, points: np.ndarray) -> Bool[np.ndarray, " kinks"]:
        found = np.zeros(len(points), dtype=bool)
        for depth, layer in enumerate(self.below.layers):
            part = Below(self.below.architecture, self.below.layers[:depth], self.below.activation)
            found |= _on_kink(part, layer.input_vectors, points).any(axis=1)
        return found

    def _explained(self, points: np.ndarray) -> Bool[np.ndarray, "kinks channels"]:
        """Which known channels have a kink at which points."""
        return _on_kink(self.below, self.vectors, points)

    def _solve_all(self) -> None:
        while any(self._try(group) for group in self._groups()):
            pass

    def _groups(self) -> list[list[_Sighting]]:
        """Open sightings that bend the outputs in the same proportion, largest group first."""
        if not self.open:
            return []
        units = np.array([one.jump / np.linalg.norm(one.jump) for one in self.open])
        left, groups = np.arange(len(units)), []
        while len(left):
            one = units[left[0]]
            off = np.minimum(
                np.linalg.norm(units[left] - one, axis=1),
                np.linalg.norm(units[left] + one, axis=1),
            )
            groups.append([self.open[k] for k in left[off < ALIKE]])
            left = left[off >= ALIKE]
        return sorted(groups, key=len, reverse=True)

    @property
    def _least(self) -> int:
        """Kinks without which there are fewer equations than unknowns."""
        return -(-self.size // self.geometry.pixels_of_a_position)

    def _try(self, group: list[_Sighting]) -> bool:
        """Measure kinks of a group until they give a channel."""
        least = self._least
        while len(group) >= least:
            usable = [one for one in group if one.equations is not None]
            if len(usable) >= least and any(map(self._take, self._subsets(usable))):
                return True
            # The strongest first: their places and jumps are known best.
            fresh = sorted(
                (one for one in group if not one.measured),
                key=lambda one: -one.room * float(np.linalg.norm(one.jump)),
            )
            fresh = fresh[: min(MEASURED, MOST_MEASURED - (len(group) - len(fresh)))]
            if not fresh:
                return False
            self._read(fresh)
        return False

    def _subsets(self, usable: list[_Sighting]) -> Iterator[list[_Sighting]]:
        """All kinks of a group, and some of its parts.

        Where a single neuron is active above, all units bend the outputs in one proportion.
        """
        yield usable
        enough = self._least + (self._least > 1)
        if len(usable) > enough:
            for _ in range(TRIES):
                yield [usable[k] for k in self.rng.choice(len(usable), enough, replace=False)]

    def _read(self, sightings: list[_Sighting]) -> None:
        """Measure jumps, and write down what they say about the kernel.

        First along whole rows and columns of pixels: they show which positions it can be.
        """
        boxes = self._boxes(sightings)
        size = self.below.architecture.input_size
        told = []
        for one, box in zip(sightings, boxes, strict=True):
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

    def _boxes(self, sightings: Sequence[_Sighting]) -> list[Box | None]:
        """Rows and columns of pixels in which the gradient jumps."""
        strips, spans = [], []
        channels, height, width = self.below.architecture.image
        for one in sightings:
            box = self.geometry.seen_with(int(np.argmax(np.abs(one.way))))
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

    def _take(self, usable: list[_Sighting]) -> bool:
        kernel = solve_kernel([one.equations for one in usable if one.equations is not None])
        if kernel is None:
            return False
        vector = self._signed(kernel, usable) * np.append(kernel.weight, kernel.bias)
        solved = set(map(id, usable))
        if len(self.vectors) and np.linalg.norm(self.vectors - vector, axis=1).min() < SAME:
            # Found again from kinks whose places are too uncertain to be recognised.
            self.open = [one for one in self.open if id(one) not in solved]
            return True
        self.vectors = np.concatenate([self.vectors, vector[None]])
        hits = self._explained(np.array([one.point for one in self.open]))
        self.votes = np.append(self.votes, int(hits[:, -1].sum()))
        self.open = [
            one
            for one, hit in zip(self.open, np.any(hits, axis=1).tolist(), strict=True)
            if not hit and id(one) not in solved
        ]
        return True

    def _signed(self, kernel: Kernel, usable: list[_Sighting]) -> float:
        """The sign with which every kink is one of the largest value of its pooling window."""
        step = self.geometry.layer.step
        points = np.array([one.point for one in usable])
        seen = self.below.windows(points, self.geometry.layer)
        values = seen @ kernel.weight + kernel.bias
        votes = 0
        for one, grid in zip(usable, values, strict=True):
            assert one.equations is not None
            places = one.equations.positions
            corner = [at // step * step for at in places[0]]
            pool = {
                (i, j): float(grid[i, j])
                for i in range(corner[0], corner[0] + step)
                for j in range(corner[1], corner[1] + step)
            }
            own = pool[places[0]]
            others = [value - own for place, value in pool.items() if place not in places]
            votes += all(x <= 0 for x in others) - all(x >= 0 for x in others)
        return 1.0 if votes >= 0 else -1.0


def _on_kink(
    below: Below, vectors: Float[np.ndarray, "channels size"], points: np.ndarray
) -> Bool[np.ndarray, "kinks channels"]:
    """Whether a channel of the next layer has a kink at a point: turns on, or changes position."""
    if not len(points) or not len(vectors):
        return np.zeros((len(points), len(vectors)), dtype=bool)
    layer = below.architecture.layers[below.depth]
    seen = below.windows(points, layer)
    values = np.moveaxis(seen @ vectors[:, :-1].T + vectors[:, -1], -1, 1)
    near = np.abs(values)
    if layer.pool == "max":
        groups = np.sort(pooling_groups(values, layer.pool_size), axis=-1)
        near = np.abs(groups[..., -1])
        if groups.shape[-1] > 1:
            near = np.minimum(near, groups[..., -1] - groups[..., -2])
    scale = float(np.median(np.abs(values)))
    return near.reshape(len(points), len(vectors), -1).min(axis=-1) < ZERO * scale
