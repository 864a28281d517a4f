"""Lines on which kinks are looked for, and the kinks that no neuron explains yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from expand_and_cluster.queries.bend_domain import Domain, Draw
from expand_and_cluster.queries.bend_equations import Bend, Neuron
from expand_and_cluster.queries.bend_lines import Crossings, Line
from expand_and_cluster.queries.bend_neurons import Found, distinct, extended
from expand_and_cluster.queries.bend_walk import is_explained, unexplained_bends
from expand_and_cluster.queries.kinks import Ask, Kinks, find_kinks
from expand_and_cluster.queries.pieces import Pieces
from expand_and_cluster.queries.proportions import Shown, neurons_of_layer, shown, tell_apart

# Lines that are asked at once, and rounds of them without a new neuron after which a layer is done;
# more where some did not show all of their weights.
LINES, QUIET, PATIENT = 4, 2, 8
# Share of a line over which its first slope is taken, and slope, relative to the steepest, of
# stretches on which outputs are constant.
BEGINNING, FLAT = 1e-6, 1e-5
# Inputs among which those are chosen between which a neuron turns on.
SOME = 256
# Share of the kinks at which neurons below can be told apart from which on a layer is read there.
LEGIBLE = 0.5


@dataclass
class Survey:
    """What lines have shown so far.

    Attributes:
        ask: Answers inputs with outputs.
        domain: Where lines lie.
        lines: Lines that were asked, with all kinks on them.
        pool: Kinks of neurons that are not known.
    """

    ask: Ask
    domain: Domain
    lines: list[Line] = field(default_factory=list)
    pool: list[Bend] = field(default_factory=list)
    _crossings: Crossings | None = None
    _shown: dict[int, tuple[Bend, Shown | None]] = field(default_factory=dict)

    def look(
        self,
        starts: Float[np.ndarray, "lines inputs"],
        ends: Float[np.ndarray, "lines inputs"],
        pieces: Pieces,
        found: Sequence[Found],
    ) -> None:
        """Ask some lines more, and measure the kinks on them that nothing explains."""
        if not len(starts):
            return
        kinks = find_kinks(self.ask, starts, ends)
        self.lines += self._lines(starts, ends - starts, kinks)
        vectors = [neuron.vector for neuron, _ in found]
        size = self.domain.size
        self.pool += unexplained_bends(self.ask, starts, ends, kinks, pieces, vectors, size)

    def _lines(self, starts: np.ndarray, ways: np.ndarray, kinks: Kinks) -> list[Line]:
        """The lines with what is known of them."""
        near = self.ask(np.concatenate([starts, starts + BEGINNING * ways]))
        slopes = (near[len(starts) :] - near[: len(starts)]) / BEGINNING
        found = []
        for line, (start, way) in enumerate(zip(starts, ways, strict=True)):
            own = kinks.line == line
            slope = slopes[line] + np.cumsum(
                np.vstack([0.0 * slopes[line], kinks.jump[own]]), axis=0
            )
            steep = np.abs(slope).max(axis=1)
            found.append(Line(start, way, kinks.place[own], steep <= FLAT * steep.max(initial=0.0)))
        return found

    def explained(self, pieces: Pieces, found: Sequence[Found], point: np.ndarray) -> bool:
        """Whether a known neuron, or one of those that were found above them, bends at a point."""
        vectors = [neuron.vector for neuron, _ in found]
        return is_explained(pieces.at(point), vectors, self.domain.size)

    def is_legible(self, pieces: Pieces) -> bool:
        """Whether neurons below can be told apart at most kinks that nothing explains."""
        told = [tell_apart(pieces.at(bend.point).tangents) for bend in self.pool]
        return bool(told) and float(np.mean(told)) >= LEGIBLE

    def layer(
        self, pieces: Pieces, draws: Sequence[Draw], *, last: bool, least: int = 0
    ) -> list[Found]:
        """Neurons of the next layer, from single kinks, until some rounds bring no new one.

        Args:
            pieces: The layers below, their signs known.
            draws: Where lines begin and end; every round takes some of each.
            last: Whether there is no layer above.
            least: Neurons that it has at least; longer is looked for others below that.
        """
        found = self.found(pieces, [], last=last)
        quiet = 0
        while quiet < QUIET or (
            quiet < PATIENT and (len(found) < least or any(one.unseen.any() for one, _ in found))
        ):
            before = len(found)
            for draw in draws:
                self.look(draw(LINES), draw(LINES), pieces, found)
                for neuron, _ in found:
                    if quiet >= QUIET and neuron.unseen.any():
                        self.look(*_across(draw(SOME), pieces, neuron), pieces, found)
                found = self.found(pieces, found, last=last)
            quiet = 0 if len(found) > before else quiet + 1
        # One that had not shown some of its weights may have been found again by kinks that do.
        return distinct(pieces, [bends for _, bends in found])

    def found(self, pieces: Pieces, found: list[Found], *, last: bool) -> list[Found]:
        """With what the pool shows, which is left with kinks of others."""
        found = self._standing(pieces, found)
        self.pool = [bend for bend in self.pool if not extended(pieces, found, bend)]
        found += neurons_of_layer(self._above(pieces), self._seen(pieces), last=last)
        self.pool = [b for b in self.pool if not self.explained(pieces, found, b.point)]
        return found

    def _standing(self, pieces: Pieces, found: list[Found]) -> list[Found]:
        """Those that all lines asked by now still confirm; kinks of the others are left over."""
        crossings = self._above(pieces)
        kept = []
        for neuron, bends in found:
            if crossings.refute(neuron):
                self.pool += bends
            else:
                kept.append((neuron, bends))
        return kept

    def _above(self, pieces: Pieces) -> Crossings:
        """What these layers make of all lines; kept until there are others."""
        if self._crossings is None or self._crossings.pieces is not pieces:
            self._crossings, self._shown = Crossings(pieces, self.domain.size), {}
        self._crossings.extend(self.lines)
        return self._crossings

    def _seen(self, pieces: Pieces) -> list[Shown | None]:
        """What the kinks of the pool show above these layers, each solved for once."""
        for bend in self.pool:
            if id(bend) not in self._shown:
                self._shown[id(bend)] = bend, shown(pieces, bend)
        return [self._shown[id(bend)][1] for bend in self.pool]


def _across(
    points: np.ndarray, pieces: Pieces, neuron: Neuron
) -> tuple[Float[np.ndarray, "lines inputs"], Float[np.ndarray, "lines inputs"]]:
    """Ends of lines on which a neuron of the next layer turns on or off, as far as is known."""
    return apart(points, pieces.features(points) @ neuron.vector[:-1] + neuron.vector[-1])


def apart(
    points: np.ndarray, pre: np.ndarray
) -> tuple[Float[np.ndarray, "lines inputs"], Float[np.ndarray, "lines inputs"]]:
    """Pairs of inputs of the least and the greatest pre-activations, if these differ in sign."""
    order = np.argsort(pre)
    count = min(LINES, int(np.sum(pre < 0.0)), int(np.sum(pre > 0.0)))
    return points[order[:count]], points[order[len(order) - count :]]
