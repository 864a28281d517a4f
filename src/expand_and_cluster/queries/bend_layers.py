"""Read a whole relu network off the kinks of its outputs, one layer after the other.

Neurons of the first layer bend along whole hyperplanes; those of the next along planes that turn
where neurons below them bend, and so on. What belongs to a layer is what its equations explain.
Rolnick & Kording (2020) and Carlini, Jagielski & Mironov (2020) read layers in this order; here
several kinks of a neuron, followed from piece to piece, are solved at once, so that layers may be
wider than the one below them and a single output is enough.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.queries.bend_equations import (
    Bend,
    Neuron,
    as_layer,
    solve_signs,
)
from expand_and_cluster.queries.bend_neurons import (
    LEAST_RIGHT,
    Found,
    distinct,
    extended,
    hidden_below,
    regressed,
    signs_told,
    with_open,
)
from expand_and_cluster.queries.bend_walk import BendWalker
from expand_and_cluster.queries.kinks import Ask, find_kinks
from expand_and_cluster.queries.limit import Limit, SpentError
from expand_and_cluster.queries.pieces import ON, Pieces, on_bend, slopes_of

Draw = Callable[[int], Float[np.ndarray, "rows inputs"]]

# Lines that are asked at once, and rounds of them without a new neuron after which a layer is done.
LINES, QUIET = 4, 2
# Random places where a neuron bends that are looked at, and how many must have a kink just there;
# steps to such a place, and how near it has to come, relative to the size of inputs.
LOOKS, SEEN, HITS, ROUNDED = 8, 2, 12, 1e-13
# Planes around a kink that are crossed to see whether its own turns there, how many of all such
# crossings decide, and how much a turn is at least.
CROSSED, VOTES, TURN = 4, 5, 1e-9
# Lines lie in a domain wider by the first than that of the questions, and the answers that output
# weights are solved for in one wider by the second.
WIDER, WIDER_OUTPUTS = 3.0, 1.5
# Half the length of the line through such a point, relative to the size of inputs.
THROUGH = 0.05
# Bends of every neuron that answers are wanted around, and how far from them, in units of the size
# of inputs.
AROUND, OFF = 24, (0.02, 0.3)
# Rows on which output weights are solved for: for every feature, and at least.
ROWS_PER_FEATURE, LEAST_ROWS = 8, 16_384
# Lines between inputs that are explained and others, and how often what is missing is looked for.
REPAIR_LINES, REPAIRS = 8, 6


@dataclass(frozen=True)
class BendDraft:
    """What was read off.

    Attributes:
        network: The network, or None.
        queries: Rows asked.
        note: What happened, in words.
        places: Inputs on both sides of every neuron's bends, seldom active ones included: answers
            there hold its weights.
        complete: Whether the network explains all answers that it was compared with.
    """

    network: Network | None
    queries: int
    note: str
    places: Float[np.ndarray, "rows inputs"] | None = None
    complete: bool = False


def read_layers(
    ask: Ask,
    draw: Draw,
    activation: Activation,
    hidden_layers: int,
    rng: np.random.Generator,
    *,
    max_queries: int,
    report: Reporter = silent,
) -> BendDraft:
    """Read all layers of a piecewise linear network.

    Args:
        ask: Answers inputs with outputs, in double precision.
        draw: Draws inputs.
        activation: Linear on either side of zero, with a bend there.
        hidden_layers: Number of hidden layers; widths are found.
        rng: Source of randomness.
        max_queries: Rows that may be asked.
        report: Told about every round of lines.
    """
    limit = Limit(ask, max_queries)
    reader = _Reader(limit.ask, draw, activation, rng, report)
    try:
        network, note = reader.run(hidden_layers)
    except SpentError:
        network, note = None, f"{max_queries} questions were spent on {reader.progress}"
    places = reader.around() if network is not None else None
    return BendDraft(network, limit.asked, note, places, network is not None and reader.complete)


class _Reader:
    def __init__(
        self,
        ask: Ask,
        draw: Draw,
        activation: Activation,
        rng: np.random.Generator,
        report: Reporter,
    ) -> None:
        self._ask, self._draw, self._rng = ask, draw, rng
        self._activation, self._report = activation, report
        self.progress = "the first layer"
        some = draw(256)
        self._inputs = some.shape[1]
        self._size = float(np.sqrt(np.mean(np.sum(some**2, axis=1))))
        self._center = some.mean(axis=0)
        self._pool: list[Bend] = []
        self._read: list[list[Bend]] = []
        self.complete = False

    def run(self, hidden_layers: int) -> tuple[Network | None, str]:
        pieces = Pieces(self._inputs, slopes_of(self._activation))
        found: list[Found] = []
        hidden = np.zeros(self._inputs, dtype=bool)
        for depth in range(hidden_layers):
            pieces, found = self._layer(pieces, hidden, last=depth == hidden_layers - 1)
            if pieces.open is not None and found:
                flipped = signs_told(pieces, found, hidden, search=True)
                if flipped is None:
                    return None, f"signs of layer {depth} stay open"
                pieces = pieces.signed(flipped)
                found = distinct(pieces, [bends for _, bends in found])
            if not found:
                return None, f"no neuron of layer {depth + 1} was found"
            hidden = hidden_below(found, pieces)
            if depth < hidden_layers - 1:
                self._read += [bends for _, bends in found]
                pieces = with_open(pieces, found)
        return self._with_outputs(pieces, found)

    def around(self) -> Float[np.ndarray, "rows inputs"]:
        """Inputs on both sides of some bends of every neuron that was read."""
        rows = []
        for bends in self._read:
            chosen = self._rng.permutation(len(bends))[:AROUND]
            for bend in (bends[k] for k in chosen):
                aside = self._size * self._rng.uniform(*OFF, size=(2, 1)) * bend.normal
                rows += [bend.point + aside[0], bend.point - aside[1]]
        return np.array(rows)

    def _layer(
        self, pieces: Pieces, hidden: np.ndarray, *, last: bool
    ) -> tuple[Pieces, list[Found]]:
        """All neurons of the next layer that lines come upon, and the layers below.

        As soon as they tell the signs of the layer below, there is less to solve for.
        """
        depth = len(pieces.known)
        walker = BendWalker(self._ask, pieces, self._size, self._rng)
        found: list[Found] = []
        pending, quiet, rounds = self._pool, 0, 0
        self._pool = []
        while quiet < QUIET:
            new = 0
            while pending:
                bend = pending.pop()
                if extended(pieces, found, bend):
                    continue
                got = self._neuron(walker, bend, last=last)
                if got is None:
                    self._pool.append(bend)
                    continue
                found.append(got)
                new += 1
                flipped = None
                if pieces.open is not None:
                    flipped = signs_told(pieces, found, hidden, search=False)
                if flipped is not None:
                    pieces = pieces.signed(flipped)
                    walker = BendWalker(self._ask, pieces, self._size, self._rng)
                    found = distinct(pieces, [bends for _, bends in found])
                    # What did not do with signs open may do now.
                    pending, self._pool = pending + self._pool, []
                pending, self._pool = (
                    [one for one in some if not self._explained(pieces, found, one)]
                    for some in (pending, self._pool)
                )
                self.progress = f"layer {depth + 1}, of which {len(found)} neurons were found"
                self._report(
                    Progress(f"read layer {depth + 1}", rounds, note=f"{len(found)} neurons")
                )
            quiet = 0 if new else quiet + 1
            rounds += 1
            vectors = [neuron.vector for neuron, _ in found]
            pending = walker.unknown(self._wide(LINES), self._wide(LINES), vectors)
        self._pool += pending
        if not depth:
            return pieces, self._straight(found)
        if pieces.open is None:
            found = distinct(pieces, [bends for _, bends in found])
        return pieces, found

    def _wide(self, count: int, by: float = WIDER) -> np.ndarray:
        """Inputs from a wider domain, where neurons bend that seldom do so within it."""
        return self._center + by * (self._draw(count) - self._center)

    def _straight(self, planes: list[Found]) -> list[Found]:
        """Those planes that do not turn where others are crossed: the first layer's."""
        kept = planes
        for one in planes:
            others = [each for each in kept if each is not one]
            if one[1] and others and self._turns(one[1], [neuron for neuron, _ in others]):
                kept = others
                self._pool += one[1]
        return kept

    def _turns(self, bends: list[Bend], others: list[Neuron]) -> bool:
        """Whether a bend turns behind most of the planes around it."""
        layer = as_layer(np.array([neuron.vector for neuron in others]))
        pieces = Pieces(self._inputs, (0.0, 1.0), open=layer)
        walker = BendWalker(self._ask, pieces, self._size, self._rng)
        votes: list[bool] = []
        for bend in bends:
            for target in np.argsort(pieces.at(bend.point).distances())[:CROSSED]:
                behind = walker.step(bend, int(target))
                if behind is not None:
                    votes.append(bool(1.0 - abs(behind.normal @ bend.normal) > TURN))
            if len(votes) >= VOTES:
                break
        return sum(votes) > len(votes) / 2

    def _explained(self, pieces: Pieces, found: list[Found], bend: Bend) -> bool:
        vectors = [neuron.vector for neuron, _ in found]
        return on_bend(pieces.at(bend.point), vectors, self._size)

    def _neuron(self, walker: BendWalker, bend: Bend, *, last: bool) -> Found | None:
        """The neuron of the next layer that makes a kink; None if it is of a layer above."""
        pieces = walker.pieces
        if pieces.known:
            found = walker.neuron(bend)
        else:
            vector = np.append(bend.normal, -bend.normal @ bend.point)
            found = Neuron(vector, np.zeros(0, dtype=bool)), [bend]
        if found is None or (last and pieces.known):
            return found
        neuron, bends = found
        there = self._seen(pieces, neuron)
        return (neuron, bends + there) if len(there) >= SEEN else None

    def _seen(self, pieces: Pieces, neuron: Neuron) -> list[Bend]:
        """Kinks at random places where a neuron bends, if it is of this layer.

        One of a layer above bends there only as long as no neuron of this layer has turned it.
        """
        points, normals = [], []
        for point in self._wide(LOOKS):
            for _ in range(HITS):
                place = pieces.at(point)
                slope = neuron.vector[:-1] @ place.tangents
                steep = float(slope @ slope)
                if steep == 0.0:
                    break
                pre = float(neuron.vector[:-1] @ place.features + neuron.vector[-1])
                if abs(pre) <= ROUNDED * self._size * np.sqrt(steep):
                    points.append(point)
                    normals.append(slope / np.sqrt(steep))
                    break
                point = point - pre / steep * slope
        if not points:
            return []
        side = THROUGH * self._size * np.array(normals)
        kinks = find_kinks(self._ask, np.array(points) - side, np.array(points) + side)
        off = (2.0 * kinks.place - 1.0) * THROUGH
        lines = kinks.line[np.abs(off) < ON]
        there = dict(zip(lines.tolist(), off[np.abs(off) < ON].tolist(), strict=True))
        return [
            Bend(points[line] + share * self._size * normals[line], normals[line])
            for line, share in there.items()
        ]

    def _with_outputs(self, below: Pieces, found: list[Found]) -> tuple[Network | None, str]:
        """Output weights; what they leave shows where neurons of the last layer are missing."""
        count = ROWS_PER_FEATURE * (len(found) + below.features(self._center[None]).shape[1] + 1)
        points = self._wide(max(count, LEAST_ROWS), WIDER_OUTPUTS)
        answers = self._ask(points)
        pieces = with_open(below, found)
        above, right = regressed(pieces, points, answers)
        for _ in range(REPAIRS):
            if right.all() or right.sum() < LEAST_RIGHT * len(right):
                break
            found = self._repaired(below, found, points[right], points[~right])
            pieces = with_open(below, found)
            above, right = regressed(pieces, points, answers)
        none = np.zeros((len(above), len(found)), dtype=bool)
        flipped = solve_signs(pieces, above[:, :-1], none, hidden_below(found, below))
        if flipped is None:
            return None, f"signs of layer {len(pieces.known)} stay open"
        pieces = pieces.signed(flipped)
        last, right = regressed(pieces, points, answers)
        if np.mean(right) < LEAST_RIGHT:
            return None, f"what was read off explains only {np.mean(right):.2g} of answers"
        self.complete = bool(right.all())
        self._read += [bends for _, bends in found]
        layers = [*pieces.layers, (last[:, :-1], last[:, -1])]
        network = Network.from_arrays([tuple(layer) for layer in layers], self._activation)
        widths = ", ".join(map(str, network.hidden_widths))
        share = f"{np.mean(right):.4g} of answers"
        return network, f"layers of {widths} neurons were read off kinks; they explain {share}"

    def _repaired(
        self, below: Pieces, found: list[Found], right: np.ndarray, wrong: np.ndarray
    ) -> list[Found]:
        """With what bends between inputs that are and are not explained."""
        walker = BendWalker(self._ask, below, self._size, self._rng)
        starts = wrong[self._rng.permutation(len(wrong))[:REPAIR_LINES]]
        ends = right[[int(np.argmin(np.sum((right - start) ** 2, axis=1))) for start in starts]]
        vectors = [neuron.vector for neuron, _ in found]
        found = list(found)
        for bend in walker.unknown(starts, ends, vectors):
            if not self._explained(below, found, bend) and not extended(below, found, bend):
                got = walker.neuron(bend)
                found += [] if got is None else [got]
        return distinct(below, [bends for _, bends in found])
