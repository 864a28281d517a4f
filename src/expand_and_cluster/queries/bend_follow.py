"""Neurons of a layer whose bends are followed from piece to piece.

A neuron bends along a surface that turns where neurons below it bend. Place and normal at a few of
its kinks are linear equations for its weights, which only kinks of one neuron solve together.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

from expand_and_cluster.queries.bend_equations import Bend, Neuron
from expand_and_cluster.queries.bend_neurons import Found, distinct, extended, signs_told
from expand_and_cluster.queries.bend_survey import LINES, QUIET, Survey
from expand_and_cluster.queries.bend_walk import BendWalker
from expand_and_cluster.queries.kinks import find_kinks
from expand_and_cluster.queries.pieces import ON, Pieces

# Random places where a neuron bends that are looked at, and how many must have a kink just there;
# steps to such a place, and how near it has to come, relative to the size of inputs.
LOOKS, SEEN, HITS, ROUNDED = 8, 2, 12, 1e-13
# Half the length of the line through such a point, relative to the size of inputs.
THROUGH = 0.05


class Follower:
    """The next layer's neurons, from kinks that nothing explains.

    As soon as they tell the signs of the layer below, there is less to solve for.

    Args:
        survey: Asks, and has the kinks; those of layers above are left in its pool.
        pieces: The layers below, of which the last may be open.
        found: Neurons of the layer that are known.
        hidden: Features below an open layer that some neuron of it did not show.
        last: Whether there is no layer above.
    """

    def __init__(
        self,
        survey: Survey,
        pieces: Pieces,
        found: list[Found],
        hidden: Bool[np.ndarray, " below"],
        *,
        last: bool,
    ) -> None:
        """Nothing is asked yet."""
        self.pieces, self.found = pieces, found
        self._survey, self._hidden, self._last = survey, hidden, last
        self._walker = self._walking()
        self._pending: list[Bend] = []

    def run(self) -> Iterator[list[Found]]:
        """Follow kinks until some rounds of lines show no new neuron; yields after every neuron."""
        domain = self._survey.domain
        self._pending, self._survey.pool = self._survey.pool, []
        quiet = 0
        while quiet < QUIET:
            new = False
            while self._pending:
                if self._take(self._pending.pop()):
                    new = True
                    yield self.found
            quiet = 0 if new else quiet + 1
            vectors = [neuron.vector for neuron, _ in self.found]
            self._pending = self._walker.unknown(domain.wide(LINES), domain.wide(LINES), vectors)
        self._survey.pool += self._pending
        if self.pieces.open is None:
            self.found = distinct(self.pieces, [bends for _, bends in self.found])

    def _walking(self) -> BendWalker:
        domain = self._survey.domain
        return BendWalker(self._survey.ask, self.pieces, domain.size, domain.rng)

    def _take(self, bend: Bend) -> bool:
        """Whether a kink is of a neuron that was not known; it then is."""
        if extended(self.pieces, self.found, bend):
            return False
        got = self._neuron(bend)
        if got is None:
            self._survey.pool.append(bend)
            return False
        self.found.append(got)
        self._tell_signs()
        self._pending, self._survey.pool = (
            [one for one in some if not self._survey.explained(self.pieces, self.found, one.point)]
            for some in (self._pending, self._survey.pool)
        )
        return True

    def _tell_signs(self) -> None:
        """Signs of the layer below, if the neurons that are known tell them."""
        if self.pieces.open is None:
            return
        flipped = signs_told(self.pieces, self.found, self._hidden, search=False)
        if flipped is None:
            return
        self.pieces = self.pieces.signed(flipped)
        self._walker = self._walking()
        self.found = distinct(self.pieces, [bends for _, bends in self.found])
        # What did not do with signs open may do now.
        self._pending, self._survey.pool = self._pending + self._survey.pool, []

    def _neuron(self, bend: Bend) -> Found | None:
        """The neuron of the next layer that makes a kink; None if it is of a layer above."""
        found = self._walker.neuron(bend)
        if found is None or self._last:
            return found
        neuron, bends = found
        there = self._seen(neuron)
        return (neuron, bends + there) if len(there) >= SEEN else None

    def _seen(self, neuron: Neuron) -> list[Bend]:
        """Kinks at random places where a neuron bends, if it is of this layer.

        One of a layer above bends there only as long as no neuron of this layer has turned it.
        """
        points, normals = [], []
        for point in self._survey.domain.wide(LOOKS):
            for _ in range(HITS):
                place = self.pieces.at(point)
                slope = neuron.vector[:-1] @ place.tangents
                steep = float(slope @ slope)
                if steep == 0.0:
                    break
                pre = float(neuron.vector[:-1] @ place.features + neuron.vector[-1])
                if abs(pre) <= ROUNDED * self._survey.domain.size * np.sqrt(steep):
                    points.append(point)
                    normals.append(slope / np.sqrt(steep))
                    break
                point = point - pre / steep * slope
        if not points:
            return []
        side = THROUGH * self._survey.domain.size * np.array(normals)
        kinks = find_kinks(self._survey.ask, np.array(points) - side, np.array(points) + side)
        off = (2.0 * kinks.place - 1.0) * THROUGH
        lines = kinks.line[np.abs(off) < ON]
        there = dict(zip(lines.tolist(), off[np.abs(off) < ON].tolist(), strict=True))
        return [
            Bend(points[line] + share * self._survey.domain.size * normals[line], normals[line])
            for line, share in there.items()
        ]
