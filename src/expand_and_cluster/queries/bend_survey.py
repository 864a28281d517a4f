"""Lines on which kinks are looked for, and the kinks that no neuron explains yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.queries.bend_domain import Domain, Draw
from expand_and_cluster.queries.bend_equations import Bend, Neuron
from expand_and_cluster.queries.bend_neurons import Found, distinct, extended
from expand_and_cluster.queries.bend_places import bends_between
from expand_and_cluster.queries.bend_walk import measured_bends
from expand_and_cluster.queries.kinks import Ask, Kinks, find_kinks
from expand_and_cluster.queries.pieces import ON, Pieces, on_bend
from expand_and_cluster.queries.proportions import (
    Line,
    derivatives_at,
    neurons_of_layer,
    shown,
    tell_apart,
)

# Lines that are asked at once, and rounds of them without a new neuron after which a layer is done;
# more where some did not show all of their weights.
LINES, QUIET, PATIENT = 4, 2, 8
# Share of a line over which its first slope is taken, and slope, relative to the steepest, of
# stretches on which outputs are constant.
BEGINNING, FLAT = 1e-6, 1e-5
# Inputs among which those are chosen between which a neuron turns on.
SOME = 256
# Kinks at which a neuron's sign is asked for, how far from them outputs' gradients are taken, in
# units of the size of inputs, and over which share of that.
SIDES, OFF, STEP = 3, 1e-4, 0.05
# How many times larger it has to be on one side, where the other is flat.
CLEAR = 1e3
# Most neurons whose signs are tried, and how many kinks more the right ones have to make sense of.
MOST_UNTOLD, LEAST_MORE = 6, 3
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
        ways = ends - starts
        self.lines += self._lines(starts, ways, kinks)
        lengths = np.linalg.norm(ways, axis=1)
        points = starts[kinks.line] + kinks.place[:, None] * ways[kinks.line]
        rows = [row for row, at in enumerate(points) if not self.explained(pieces, found, at)]
        line = kinks.line[rows]
        room = kinks.room[rows] * lengths[line]
        self.pool += measured_bends(self.ask, points[rows], (ways / lengths[:, None])[line], room)

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
        place, size = pieces.at(point), self.domain.size
        known = place.distances().min(initial=np.inf) < ON * size
        return bool(known) or on_bend(place, [neuron.vector for neuron, _ in found], size)

    def is_legible(self, pieces: Pieces) -> bool:
        """Whether neurons below can be told apart at most kinks that nothing explains."""
        apart = [tell_apart(pieces.at(bend.point).tangents) for bend in self.pool]
        return bool(apart) and float(np.mean(apart)) >= LEGIBLE

    def layer(self, pieces: Pieces, draws: Sequence[Draw], *, last: bool) -> list[Found]:
        """Neurons of the next layer, from single kinks, until some rounds bring no new one.

        Args:
            pieces: The layers below, their signs known.
            draws: Where lines begin and end; every round takes some of each.
            last: Whether there is no layer above.
        """
        found = self.found(pieces, [], last=last)
        quiet = 0
        while quiet < QUIET or (quiet < PATIENT and any(one.unseen.any() for one, _ in found)):
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
        found = list(found)
        self.pool = [bend for bend in self.pool if not extended(pieces, found, bend)]
        found += neurons_of_layer(pieces, self.pool, self.lines, self.domain.size, last=last)
        self.pool = [b for b in self.pool if not self.explained(pieces, found, b.point)]
        return found

    def flips(
        self, pieces: Pieces, found: Sequence[Found], draw: Draw
    ) -> Bool[np.ndarray, " open"] | None:
        """Which neurons of the open layer have the opposite sign; None where that stays open.

        On the side on which a neuron is on, outputs depend more on its pre-activation than on the
        other. Where this cannot be seen, the right sign is the one with which most kinks of the
        layers above are combinations of the gradients of neurons that are on.

        Args:
            pieces: Known layers, the last of them open.
            found: The open layer's neurons, with their kinks.
            draw: Draws inputs between which neurons that show no sign are made to bend.
        """
        votes = [self._votes(pieces, index, bends) for index, (_, bends) in enumerate(found)]
        for index, each in enumerate(votes):
            if not each:
                each += self._votes(pieces, index, self._crossed(pieces, index, draw(SOME)))
        # They contradict each other where a neuron of the layer is missing.
        if any(min(each) != max(each) for each in votes if each):
            return None
        flipped = np.array([bool(each) and not each[0] for each in votes])
        untold = np.flatnonzero([not each for each in votes])
        if len(untold) > MOST_UNTOLD:
            return None
        if not len(untold):
            return flipped
        tried = np.tile(flipped, (1 << len(untold), 1))
        tried[:, untold] = np.array(list(product((False, True), repeat=len(untold))))
        shown = np.array([self._shown(pieces.signed(signs)) for signs in tried])
        best, second = np.argsort(-shown, kind="stable")[:2]
        return tried[best] if shown[best] >= shown[second] + LEAST_MORE else None

    def _crossed(self, pieces: Pieces, index: int, points: np.ndarray) -> list[Bend]:
        """Kinks of a neuron of the open layer between some of these inputs."""
        place = len(pieces.pre(points[:1])[0]) - pieces.top + index
        lines = _apart(points, pieces.pre(points)[:, place])
        found = []
        for point in bends_between(pieces, place, *lines):
            slope = pieces.at(point).slopes[place]
            found.append(Bend(point, slope / np.linalg.norm(slope)))
        return found

    def _shown(self, pieces: Pieces) -> int:
        """How many kinks are combinations of gradients below."""
        return sum(shown(pieces, bend) is not None for bend in self.pool)

    def _votes(self, pieces: Pieces, index: int, bends: Sequence[Bend]) -> list[bool]:
        """Whether some kinks of a neuron of the open layer say that its sign is right."""
        flat, steep = np.abs(pieces.slopes)
        clear = min(CLEAR, 0.5 * steep / max(flat, np.finfo(float).tiny))
        votes: list[bool] = []
        for bend in bends:
            slopes = pieces.at(bend.point).slopes[-pieces.top :]
            if not tell_apart(slopes):
                continue
            before, after = derivatives_at(slopes, index, self._gradients(bend))
            if max(before, after) > clear * min(before, after):
                votes.append(bool((after > before) == (bend.normal @ slopes[index] > 0.0)))
            if len(votes) == SIDES:
                break
        return votes

    def _gradients(self, bend: Bend) -> Float[np.ndarray, "sides inputs outputs"]:
        """Gradients of the outputs on both sides of a kink."""
        off = OFF * self.domain.size
        moves = np.vstack([np.zeros(self.domain.inputs), STEP * off * np.eye(self.domain.inputs)])
        sides = [bend.point + side * off * bend.normal for side in (-1.0, 1.0)]
        answers = self.ask(np.concatenate([side + moves for side in sides]))
        both = answers.reshape(2, len(moves), -1)
        return (both[:, 1:] - both[:, :1]) / (STEP * off)


def _across(
    points: np.ndarray, pieces: Pieces, neuron: Neuron
) -> tuple[Float[np.ndarray, "lines inputs"], Float[np.ndarray, "lines inputs"]]:
    """Ends of lines on which a neuron of the next layer turns on or off, as far as is known."""
    return _apart(points, pieces.features(points) @ neuron.vector[:-1] + neuron.vector[-1])


def _apart(
    points: np.ndarray, pre: np.ndarray
) -> tuple[Float[np.ndarray, "lines inputs"], Float[np.ndarray, "lines inputs"]]:
    """Pairs of inputs of the least and the greatest pre-activations, if these differ in sign."""
    order = np.argsort(pre)
    count = min(LINES, int(np.sum(pre < 0.0)), int(np.sum(pre > 0.0)))
    return points[order[:count]], points[order[len(order) - count :]]
