"""One convolutional layer's channels, read off the kinks that they make in the outputs.

A channel is seen wherever one of its units turns on, or where the largest value of a pooling window
passes from one position to another: there the outputs have a kink, and their gradient jumps within
the pixels that the unit looks at, nowhere else. Kinks of one unit bend all outputs in the same
proportion, which tells which of them belong together without training or trying. Together they
determine the channel's kernel and bias; from then on its kinks are recognised. The layer is done
when questions show no kink of this layer that its known channels do not explain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from expand_and_cluster.core.conv_layer import ConvLayer
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.queries.kinks import Ask
from expand_and_cluster.reconstruction.below import Below
from expand_and_cluster.reconstruction.biases import bias_of
from expand_and_cluster.reconstruction.channel_groups import (
    groups_alike,
    parts_across,
    parts_of,
    sign_of,
)
from expand_and_cluster.reconstruction.kernel_equations import Kernel, solve_kernel
from expand_and_cluster.reconstruction.kink_lines import Draw, KinkLines
from expand_and_cluster.reconstruction.known_kinks import channels_at, of_layers_below
from expand_and_cluster.reconstruction.layer_geometry import LayerGeometry, Place
from expand_and_cluster.reconstruction.open_kinks import OpenKinks
from expand_and_cluster.reconstruction.sightings import Sighting, SightingReader

# Rounds of lines around one unit before another is tried.
ROUNDS = 12
# Distance of unit vectors, bias included, of the same channel found twice.
SAME = 1e-4
# Kinks measured at once, and the most of one unit.
MEASURED, MOST_MEASURED = 3, 24
# Rounds without a kink that is not explained, and kinks that they explain, before a layer is done.
QUIET, EXPLAINED = 4, 30
# Share of kinks that may stay unexplained in such a round, so that two which coincide do not keep
# the search from ending; the verdict does not tolerate them.
STRAY = 0.02
# Rounds without a new channel after which a layer is done whatever stays unexplained: in the first
# layer, where one kink is enough for a channel, and in others, where units that showed such kinks
# are gone back to.
PATIENCE_FIRST, PATIENCE = 8, 24
# Searches for biases that may fail, each of some thousand questions.
MOST_TRIES = 20
# Rounds after which the search is given up; the longest that was followed came to 43.
MOST_ROUNDS = 400


@dataclass(frozen=True, eq=False)
class FoundLayer:
    """A layer's channels.

    Attributes:
        layer: Kernels of length 1, and biases.
        votes: For each channel, how many kinks it explains.
        rounds: Rounds of lines that were asked.
        done: Whether these channels explained the last rounds, or no more of them came.
        explained: Kinks of these rounds that the channels explain.
        open: Kinks, in any round, that no channel of the layer explains in the end, although their
            gradient jumps in a unit's pixels alone. A unit of a layer above may make them, where
            all else that it looks at is off.
        unresolved: Stretches of lines, in any round, with several kinks too near to be told apart.
        above: Kinks, in any round, whose gradient jumps in other pixels than a unit's.
    """

    layer: ConvLayer
    votes: tuple[int, ...]
    rounds: int
    done: bool
    explained: int
    open: tuple[Sighting, ...]
    unresolved: int
    above: tuple[Sighting, ...]


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
        self.below, self.rng, self.report = below, rng, report
        self.geometry = LayerGeometry(below.architecture, below.depth)
        self.lines = KinkLines(self.geometry, ask, draw, rng)
        self.reader = SightingReader(below, self.geometry, ask, rng)
        channels = len(below.layers[-1].bias) if below.layers else below.architecture.image[0]
        size = channels * self.geometry.layer.kernel**2
        # Kinks without which there are fewer equations than unknowns.
        self.least = -(-size // self.geometry.pixels_of_a_position)
        self.vectors = np.zeros((0, size + 1))
        self.votes = np.zeros(0, dtype=np.int64)
        self.open = OpenKinks(below)
        self.above: list[Sighting] = []
        self.unresolved = 0
        # Searches for a bias that found none.
        self.tries = 0

    def run(self) -> FoundLayer:
        """Ask until nothing new is seen."""
        rounds, around, quiet, settled, explained = 0, 0, 0, 0, 0
        patience = PATIENCE if self.below.depth else PATIENCE_FIRST
        place = self.lines.place()
        while rounds < MOST_ROUNDS and settled < patience:
            if quiet >= QUIET and explained >= EXPLAINED and not self._shown_before():
                break
            before = len(self.vectors)
            # In the first layer one kink is enough, and after a quiet round others are wanted.
            if around == ROUNDS or quiet or not self.below.depth:
                # Elsewhere units bend the outputs in other proportions.
                self.open.move_on()
                self._solve_across()
                place, around = self._next_place(quiet), 0
            known, new = self._round(place)
            self._solve_all()
            rounds, around = rounds + 1, around + 1
            if len(self.vectors) > before:
                quiet, settled, explained = 0, 0, 0
            else:
                quiet = quiet + 1 if known > 0 and new <= STRAY * known else 0
                settled, explained = settled + (known > 0), explained + known
            note = f"{len(self.vectors)} channels, {known} kinks explained, {new} new"
            stage = f"read channels of layer {self.below.depth + 1}"
            self.report(Progress(stage, rounds, note=note))
        return self._found(rounds, settled >= QUIET and explained >= EXPLAINED, explained)

    def _next_place(self, quiet: int) -> Place:
        """Another unit; after quiet rounds, by turns, one that showed a kink which stays open."""
        shown = self._shown_before()
        if quiet % 2 == 0 or not shown:
            return self.lines.place()
        place = shown[self.rng.integers(len(shown))]
        self.open.come_back(place)
        return place

    def _shown_before(self) -> list[Place]:
        """Units, above the first layer, around which there are kinks that no channel explains.

        In the first layer every kink is measured at once: what is open there no channel makes.
        """
        if not self.below.depth:
            return []
        return [one.place for one in self.open.all if one.place is not None]

    def layer(self) -> ConvLayer:
        """The channels found so far."""
        kernel = self.geometry.layer.kernel
        count, below = len(self.vectors), (self.vectors.shape[1] - 1) // kernel**2
        weight = self.vectors[:, :-1].reshape(count, below, kernel, kernel)
        return ConvLayer(weight, self.vectors[:, -1], self.geometry.layer)

    def _found(self, rounds: int, done: bool, explained: int) -> FoundLayer:
        return FoundLayer(
            self.layer(),
            tuple(self.votes.tolist()),
            rounds,
            done,
            explained,
            tuple(self.open.all),
            self.unresolved,
            tuple(self.above),
        )

    def _round(self, place: Place) -> tuple[int, int]:
        """Ask along some lines; kinks explained, and new."""
        shown = self.rng.permutation(len(self.open.here)) if self.below.depth else []
        kinks, unresolved = self.lines.kinks(place, [self.open.here[row] for row in shown])
        self.unresolved += unresolved
        size = self.below.architecture.input_size
        points = np.array([one.point for one in kinks]).reshape(len(kinks), size)
        rest = np.flatnonzero(~of_layers_below(self.below, points))
        hits = channels_at(self.below, self.vectors, points[rest])
        self.votes = self.votes + hits.sum(axis=0)
        known = hits.any(axis=1)
        new, above = self.reader.parted([kinks[k] for k in rest[~known]])
        self.open.here += new
        self.above += above
        return int(known.sum()), len(new)

    def _solve_all(self) -> None:
        while any(self._try(group) for group in groups_alike(self.open.here)):
            pass

    def _solve_across(self) -> None:
        """Solve for channels from kinks of several units, of which each has too few."""
        while len(self.open.behind) > self.least:
            self.reader.read(_strongest(self.open.behind)[:MOST_MEASURED])
            usable = [one for one in self.open.behind if one.equations is not None]
            parts = parts_across(groups_alike(usable), self.least, self.rng)
            if not any(map(self._take, parts)):
                break

    def _try(self, group: list[Sighting]) -> bool:
        """Measure kinks of a group until they give a channel."""
        while len(group) >= self.least:
            usable = [one for one in group if one.equations is not None]
            if len(usable) >= self.least and any(
                map(self._take, parts_of(usable, self.least, self.rng))
            ):
                return True
            fresh = _strongest(group)
            measured = len(group) - len(fresh)
            fresh = fresh[: max(0, min(MEASURED, MOST_MEASURED - measured))]
            if not fresh:
                return False
            self.reader.read(fresh)
        return False

    def _take(self, usable: list[Sighting]) -> bool:
        """Add the channel that these kinks determine, if there is one."""
        kernel = solve_kernel([one.equations for one in usable if one.equations is not None])
        if kernel is None:
            return False
        vector = self._vector(kernel, usable)
        if vector is None:
            return False
        self.open.drop(usable)
        # Found again, perhaps, from kinks whose places are too uncertain to be recognised.
        if not len(self.vectors) or np.linalg.norm(self.vectors - vector, axis=1).min() >= SAME:
            # Kinks besides those that it takes to determine a kernel.
            spare = len(usable) - self.least
            self.vectors = np.concatenate([self.vectors, vector[None]])
            self.votes = np.append(self.votes, spare + self.open.explained_by(vector))
        return True

    def _vector(self, kernel: Kernel, usable: list[Sighting]) -> np.ndarray | None:
        """Kernel and bias with their sign; None where the bias stays open."""
        sign = sign_of(kernel, usable, self.below)
        if kernel.bias is not None:
            return sign * np.append(kernel.weight, kernel.bias)
        if self.tries >= MOST_TRIES:
            return None
        one = max(usable, key=lambda one: one.room * float(np.linalg.norm(one.jump)))
        bias = bias_of(sign * kernel.weight, one, self.below, self.lines, self.rng)
        self.tries += bias is None
        return None if bias is None else np.append(sign * kernel.weight, bias)


def _strongest(sightings: Sequence[Sighting]) -> list[Sighting]:
    """Those not measured yet, the strongest first: their places and jumps are known best."""
    fresh = [one for one in sightings if not one.measured]
    return sorted(fresh, key=lambda one: -one.room * float(np.linalg.norm(one.jump)))
