"""Follow a neuron's bend from piece to piece of the layers below it.

Within a piece the bend is flat. Where it meets the bend of a neuron below, it turns: its normal
changes by a multiple of that neuron's gradient and by nothing else, which tells it from all other
bends there. Every piece that is entered says more about its weights.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from expand_and_cluster.queries.bend_equations import Bend, Inconsistent, Neuron, solve_neuron
from expand_and_cluster.queries.jumps import measure_jumps, rounding_of_jumps
from expand_and_cluster.queries.kinks import Ask, Kinks, find_kinks
from expand_and_cluster.queries.pieces import ON, Pieces, Place, on_bend

# Largest part of a jump that is not along its leading direction, relative to it.
IMPURE = 1e-5
# Rounding of a jump that is measured, relative to it: what is near another kink is left to others.
PRECISE = 1e-8
# Turns after which a normal is measured again.
OLD = 6
# How far behind a bend below a neuron is looked for, relative to the size of inputs, and as a share
# of the way to the next bend; and how far to both sides, in units of that.
BEHIND, SHARE, ASIDE = 0.01, 0.25, 1.5
LEAST_BEHIND = 1e-4
# How far the jump along a random way may be from what a turned bend makes, relative to that across.
TURNED = 1e-4
# How much of a random direction is added to the one that leads to a bend.
ASTRAY = 0.3
# Farthest that a walk goes from where questions come from, in units of their size.
FARTHEST = 4.0
# Steps that may fail one after the other, and steps in all for every neuron below.
FAILURES, STEPS = 10, 8
# Steps that say nothing new about a neuron that is known but for some weights.
IDLE = 6


class BendWalker:
    """Finds the neuron of the next layer that makes a kink.

    Args:
        ask: Answers inputs with outputs.
        pieces: The layers below.
        size: Of the inputs that questions come from: their root mean square length.
        rng: Source of randomness.
    """

    def __init__(self, ask: Ask, pieces: Pieces, size: float, rng: np.random.Generator) -> None:
        """Nothing is asked yet."""
        self.ask, self.pieces, self.size, self.rng = ask, pieces, size, rng

    def neuron(self, start: Bend) -> tuple[Neuron, list[Bend]] | None:
        """The neuron with all of its kinks that were met; None if it is not of the next layer."""
        bends, failures, idle = [start], 0, 0
        found: Neuron | None = None
        for _ in range(STEPS * max(self.pieces.top, 2)):
            target = self._target(bends, found)
            if target is None or failures == FAILURES or idle == IDLE:
                break
            last = bends[self.rng.integers(len(bends))] if failures else bends[-1]
            bend = self.step(last, target)
            if bend is None:
                failures += 1
                continue
            failures = 0
            bends.append(bend)
            try:
                new = solve_neuron(self.pieces, bends)
            except Inconsistent:
                return None
            same = found is not None and new is not None and new.unseen.sum() == found.unseen.sum()
            idle, found = idle + 1 if same else 0, new
        return None if found is None else (found, bends)

    def _target(self, bends: list[Bend], found: Neuron | None) -> int | None:
        """A neuron below on whose other side the bend was not seen; None once all were."""
        places = [self.pieces.at(bend.point) for bend in bends]
        first = len(places[0].pre) - self.pieces.top
        unseen = np.flatnonzero(self.pieces.unseen(places))
        if not len(unseen):
            # All sides of all, and still several solutions: any will do.
            return None if found is not None else int(self.rng.integers(len(places[0].pre)))
        distances = places[-1].distances()[first + unseen]
        near = unseen[np.argsort(distances)[:3]]
        return first + int(self.rng.choice(near))

    def step(self, bend: Bend, target: int) -> Bend | None:
        """The same neuron's kink behind the first bend on the way to a target."""
        place, normal = self.pieces.at(bend.point), bend.normal
        way = -np.sign(place.pre[target]) * place.slopes[target]
        length = float(np.linalg.norm(way))
        astray = self.rng.standard_normal(len(normal))
        way = way / (length or 1.0) + ASTRAY * astray / np.linalg.norm(astray)
        way = way - (way @ normal) * normal
        way = way / np.linalg.norm(way)
        steps, neurons = place.crossings(way)
        if not len(steps):
            return None
        gap = steps[1] - steps[0] if len(steps) > 1 else np.inf
        behind = min(BEHIND * self.size, SHARE * gap)
        far = np.linalg.norm(bend.point + steps[0] * way) > FARTHEST * self.size
        if behind < LEAST_BEHIND * self.size or far:
            return None
        turn = place.slopes[neurons[0]] / np.linalg.norm(place.slopes[neurons[0]])
        return self._behind(bend, bend.point + steps[0] * way, behind * way, turn)

    def _behind(
        self, bend: Bend, place: np.ndarray, back: np.ndarray, turn: np.ndarray
    ) -> Bend | None:
        """The kink whose place and jump are those of a bend that turned.

        Args:
            bend: Before it turned.
            place: Where it turned.
            back: From there on, to where it is looked for.
            turn: What the new normal has more is a multiple of this.
        """
        reach = ASIDE * float(np.linalg.norm(back))
        middle, side = place + back, reach * bend.normal
        kinks = find_kinks(self.ask, (middle - side)[None], (middle + side)[None])
        found = []
        for row, off in enumerate((2.0 * kinks.place - 1.0) * reach):
            point = middle + off * bend.normal
            along = turn @ (point - place)
            if is_explained(self.pieces.at(point), (), self.size) or along == 0.0:
                continue
            # It goes through the place where it turned and through the kink.
            new = bend.normal - off / along * turn
            new = new / np.linalg.norm(new)
            room = 2.0 * reach * kinks.room[[row]]
            line = kinks.jump[row] / (2.0 * reach)
            move = self.rng.standard_normal(len(new))
            move = move / np.linalg.norm(move)
            (jump,) = measure_jumps(self.ask, point[None], bend.normal[None], room, [move[None]])
            told = line * (new @ move) / (new @ bend.normal)
            if np.linalg.norm(jump[0] - told) < TURNED * np.linalg.norm(line):
                found.append((Bend(point, new, bend.age + 1), room))
        if len(found) != 1:
            return None
        ((turned, room),) = found
        if turned.age < OLD:
            return turned
        # Every turn multiplies what the normal is wrong by.
        measured = measured_bends(self.ask, turned.point[None], bend.normal[None], room)
        return measured[0] if measured else None

    def unknown(
        self,
        starts: Float[np.ndarray, "lines inputs"],
        ends: Float[np.ndarray, "lines inputs"],
        vectors: Sequence[Float[np.ndarray, " features_and_one"]] = (),
    ) -> list[Bend]:
        """Kinks along lines that no known neuron makes, their jumps measured.

        Args:
            starts: Where lines begin.
            ends: Where they end.
            vectors: Neurons of the next layer that are known already.
        """
        kinks = find_kinks(self.ask, starts, ends)
        return unexplained_bends(self.ask, starts, ends, kinks, self.pieces, vectors, self.size)


def is_explained(place: Place, vectors: Sequence[np.ndarray], size: float) -> bool:
    """Whether a known neuron, or one of these of the next layer, bends at a place.

    Args:
        place: A kink.
        vectors: Neurons of the next layer.
        size: Of the inputs.
    """
    known = place.distances().min(initial=np.inf) < ON * size
    return bool(known) or on_bend(place, vectors, size)


def unexplained_bends(
    ask: Ask,
    starts: Float[np.ndarray, "lines inputs"],
    ends: Float[np.ndarray, "lines inputs"],
    kinks: Kinks,
    pieces: Pieces,
    vectors: Sequence[Float[np.ndarray, " features_and_one"]],
    size: float,
) -> list[Bend]:
    """Kinks on lines that no known neuron makes, their jumps measured.

    Args:
        ask: Answers inputs with outputs.
        starts: Where lines begin.
        ends: Where they end.
        kinks: What was found on them.
        pieces: The known layers.
        vectors: Neurons of the next layer that are known already.
        size: Of the inputs.
    """
    ways = ends - starts
    lengths = np.linalg.norm(ways, axis=1)
    points = starts[kinks.line] + kinks.place[:, None] * ways[kinks.line]
    rows = [
        row for row, point in enumerate(points) if not is_explained(pieces.at(point), vectors, size)
    ]
    line = kinks.line[rows]
    ways = (ways / lengths[:, None])[line]
    return measured_bends(ask, points[rows], ways, kinks.room[rows] * lengths[line])


def measured_bends(
    ask: Ask,
    points: Float[np.ndarray, "kinks inputs"],
    ways: Float[np.ndarray, "kinks inputs"],
    room: Float[np.ndarray, " kinks"],
) -> list[Bend]:
    """Kinks of a single neuron, with the gradient's jump, where it is as precise as is wanted.

    Args:
        ask: Answers inputs with outputs.
        points: Kinks.
        ways: Direction of the line on which each was found, of length 1.
        room: Distance on that line to the next kink, or less.
    """
    if not len(points):
        return []
    size = float(np.abs(ask(points[:1])).max())
    moves = [np.eye(points.shape[1])] * len(points)
    jumps = measure_jumps(ask, points, ways, room, moves)
    found = []
    for point, jump, wrong in zip(points, jumps, rounding_of_jumps(size, room), strict=True):
        left, sizes, _ = np.linalg.svd(jump, full_matrices=False)
        single = len(sizes) == 1 or sizes[1] < IMPURE * sizes[0]
        if single and wrong < PRECISE * sizes[0]:
            found.append(Bend(point, left[:, 0]))
    return found
