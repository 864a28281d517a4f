"""The dense hidden layer and the outputs, once all convolutional layers are known.

The outputs are a network with one hidden layer of the features, which can be computed for every
question. Around an input they are linear in the features; these linear maps, at several inputs,
span the directions that the hidden neurons look at, as many as there are neurons. In coordinates
along these directions a walk along a line shows one neuron after the other: at each kink the linear
map changes by the outer product of the neuron's output weights and its input vector.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.errors import EacError
from expand_and_cluster.core.network import Layer
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.queries.kinks import Ask

# Radius of the questions around an input, relative to their spread, and how often it is cut by ten
# where a kink lies within it.
RADIUS, SMALLER = 1e-3, 3
# Questions beyond the number of unknowns of a linear map.
MORE = 10
# What a linear map may leave, relative to what it explains.
LINEAR = 1e-7
# Gap of singular values that shows the number of neurons.
GAP = 1e-5
# Maps that must add nothing before their rank is believed, and the most that are asked for.
SETTLED, MOST_MAPS = 2, 60
# Places on a line that are asked at once, and how often the stretch that holds the kink is divided.
PLACES, ROUNDS = 32, 5
# Deviation from the linear map that is a kink, relative to the outputs.
DEVIATES = 1e-9
# Rank one: second singular value of a change, relative to the first.
SINGLE = 1e-5
# Distance of unit vectors, bias included, that are the same neuron.
SAME = 1e-5
MOST_LINES = 200


@dataclass(frozen=True, eq=False)
class DenseTop:
    """What stands above the convolutions.

    Attributes:
        hidden: Hidden layer; input vectors are as long as the walk found them (length 1).
        output: Output layer.
        votes: For each hidden neuron, at how many kinks it was found.
        unseen: Features that no question turned on, whose weights are set to zero.
    """

    hidden: Layer
    output: Layer
    votes: tuple[int, ...]
    unseen: int


class _Walk:
    """Neurons by walking along lines, in coordinates of as many directions as there are neurons."""

    def __init__(
        self,
        ask: Ask,
        coordinates: Callable[[np.ndarray], np.ndarray],
        rank: int,
        scale: float,
        rng: np.random.Generator,
    ) -> None:
        self.ask, self.coordinates, self.rank = ask, coordinates, rank
        self.scale, self.rng = scale, rng
        self.vectors = np.zeros((0, rank + 1))
        self.votes: list[int] = []

    def line(self, start: np.ndarray, end: np.ndarray) -> None:
        """Walk from one input to another, as far as each kink can be told."""
        place, here = 0.0, self._map(start)
        while here is not None and len(self.vectors) < self.rank:
            found = self._next_kink(start, end, place, here)
            if found is None:
                return
            before, after = found
            beyond = min(after + (after - before) + 1e-9, 1.0)
            there = self._map(start + beyond * (end - start))
            if there is None:
                return
            self._meet(start, end, (before, beyond), here, there)
            place, here = beyond, there

    def _map(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        count = self.rank + MORE
        found = linear_map(self.ask, self.coordinates, point, count, self.scale, self.rng)
        return None if found is None else (found[0], found[1], found[2])

    def _next_kink(
        self, start: np.ndarray, end: np.ndarray, low: float, here: tuple[np.ndarray, ...]
    ) -> tuple[float, float] | None:
        matrix, origin, answer = here
        high = 1.0
        for number in range(ROUNDS):
            places = np.linspace(low, high, PLACES + 1)[1:]
            points = start + places[:, None] * (end - start)
            answers = self.ask(points)
            foretold = answer + (self.coordinates(points) - origin) @ matrix.T
            off = np.abs(answers - foretold).max(axis=1) > DEVIATES * np.abs(answers).max()
            first = int(np.argmax(off)) if off.any() else -1
            if first < 0:
                if not number:
                    return None
                # The kink lies so near the end that nothing deviates yet: the end will do.
                return low, high
            low, high = (low if first == 0 else float(places[first - 1])), float(places[first])
        return low, high

    def _meet(
        self,
        start: np.ndarray,
        end: np.ndarray,
        stretch: tuple[float, float],
        here: tuple[np.ndarray, ...],
        there: tuple[np.ndarray, ...],
    ) -> None:
        """The neuron between two linear maps, if it is a single one."""
        left, values, right = np.linalg.svd(there[0] - here[0])
        if values[0] <= 0.0 or (len(values) > 1 and values[1] > SINGLE * values[0]):
            return
        weight, share = right[0], left[:, 0] * values[0]
        # Where both maps agree: `share * (weight @ coordinates + bias)` is their difference.
        gap = there[2] - there[0] @ there[1] - here[2] + here[0] @ here[1]
        bias = float(gap @ share / (share @ share))
        del start, end, stretch
        vector = np.append(weight, bias)
        unit = vector / np.linalg.norm(vector)
        known = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        near = np.minimum(
            np.linalg.norm(known - unit, axis=1), np.linalg.norm(known + unit, axis=1)
        )
        if len(near) and near.min() < SAME:
            self.votes[int(near.argmin())] += 1
            return
        self.vectors = np.concatenate([self.vectors, vector[None]])
        self.votes.append(1)


def read_dense_top(
    ask: Ask,
    features: Callable[[np.ndarray], np.ndarray],
    draw: Callable[[int], np.ndarray],
    slopes: tuple[float, float],
    rng: np.random.Generator,
    report: Reporter = silent,
) -> DenseTop:
    """Hidden neurons and outputs above known features.

    Args:
        ask: Answers inputs with outputs.
        features: Rows of inputs to rows of features, exactly.
        draw: Draws inputs.
        slopes: Of the activation below and above zero.
        rng: Source of randomness.
        report: Told after every line map and line.

    Raises:
        EacError: Linear maps, or neurons, do not come to an end.
    """
    scale = float(np.std(draw(16)))
    directions, unseen = _directions(ask, features, draw, scale, rng, report)
    rank = directions.shape[1]
    walk = _Walk(ask, lambda rows: features(rows) @ directions, rank, scale, rng)
    for number in range(MOST_LINES):
        if len(walk.vectors) == rank:
            break
        walk.line(*draw(2))
        report(Progress("walk to the dense neurons", len(walk.vectors), rank, note=f"line {number}"))
    if len(walk.vectors) < rank:
        raise EacError(
            f"only {len(walk.vectors)} of {rank} dense hidden neurons showed a kink; draw inputs "
            "that spread more.",
            partial=walk.vectors,
        )
    return _outputs(ask, features, draw, slopes, directions, walk, unseen)


def _directions(
    ask: Ask,
    features: Callable[[np.ndarray], np.ndarray],
    draw: Callable[[int], np.ndarray],
    scale: float,
    rng: np.random.Generator,
    report: Reporter,
) -> tuple[Float[np.ndarray, "features rank"], int]:
    """The directions that all linear maps share, an orthonormal basis in columns."""
    size = features(draw(1)).shape[1]
    maps, seen, ranks = np.zeros((0, size)), np.zeros((0, size), dtype=bool), [0]
    while len(ranks) < MOST_MAPS:
        found = linear_map(ask, features, draw(1)[0], size + MORE, scale, rng)
        if found is None:
            continue
        maps = np.concatenate([maps, found[0]])
        seen = np.concatenate([seen, np.tile(found[3], (len(found[0]), 1))])
        always = seen.all(axis=0)
        left, values, _ = np.linalg.svd(maps[:, always], full_matrices=False)
        rank = int(np.sum(values > GAP * values[0]))
        ranks.append(rank)
        report(Progress("map what the dense layer sees", len(ranks) - 1, note=f"rank {rank}"))
        full = rank < min(len(maps), int(always.sum()))
        if full and ranks[-1 - SETTLED :] == [rank] * (SETTLED + 1):
            # Features that some inputs leave off: from the maps that show them.
            basis, rows = left[:, :rank] * values[:rank], np.zeros((rank, size))
            for column in range(size):
                shown = seen[:, column]
                if shown.any():
                    rows[:, column] = np.linalg.lstsq(basis[shown], maps[shown, column])[0]
            thin = [c for c in range(size) if 0 < seen[:, c].sum() < rank]
            if not thin:
                return np.linalg.qr(rows.T)[0], int(np.sum(~seen.any(axis=0)))
    raise EacError(
        f"the linear maps of {MOST_MAPS} inputs have no rank that settles (last {ranks[-1]}); the "
        "dense layer is wider than its inputs can show, or has another layer above it."
    )


def linear_map(
    ask: Ask,
    coordinates: Callable[[np.ndarray], np.ndarray],
    point: Float[np.ndarray, " inputs"],
    count: int,
    scale: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """How the outputs depend on coordinates around an input.

    Returns:
        The matrix, coordinates and outputs at the input, and which coordinates change there at all;
        None if a kink lies too near.
    """
    radius = RADIUS * scale
    for _ in range(SMALLER):
        points = point + radius * np.concatenate(
            [np.zeros((1, len(point))), rng.standard_normal((count, len(point)))]
        )
        places, answers = coordinates(points), ask(points)
        moves, rises = places[1:] - places[0], answers[1:] - answers[0]
        shown = np.linalg.norm(moves, axis=0) > 0.0
        solved = np.linalg.lstsq(moves[:, shown], rises)[0]
        left = np.linalg.norm(rises - moves[:, shown] @ solved)
        if left <= LINEAR * np.linalg.norm(rises):
            matrix = np.zeros((answers.shape[1], len(shown)))
            matrix[:, shown] = solved.T
            return matrix, places[0], answers[0], shown
        radius /= 10.0
    return None


def _outputs(
    ask: Ask,
    features: Callable[[np.ndarray], np.ndarray],
    draw: Callable[[int], np.ndarray],
    slopes: tuple[float, float],
    directions: np.ndarray,
    walk: _Walk,
    unseen: int,
) -> DenseTop:
    """Signs and output weights: least squares, in which a wrong sign shows as a linear part."""
    rank = len(walk.vectors)
    weight, bias = walk.vectors[:, :-1] @ directions.T, walk.vectors[:, -1]
    inputs = draw(4 * rank + 50)
    answers = ask(inputs)
    z = features(inputs) @ weight.T + bias
    one = np.ones((len(z), 1))
    down, up = slopes
    design = np.concatenate([_bent(z, slopes), z, one], axis=1)
    solved = np.linalg.lstsq(design, answers)[0]
    bent, linear = solved[:rank], solved[rank : 2 * rank]
    wrong = np.sum(bent * linear, axis=1) < -0.5 * (up + down) * np.sum(bent**2, axis=1)
    sign = np.where(wrong, -1.0, 1.0)
    design = np.concatenate([_bent(sign * z, slopes), one], axis=1)
    solved = np.linalg.lstsq(design, answers)[0]
    return DenseTop(
        Layer(sign[:, None] * weight, sign * bias),
        Layer(solved[:-1].T, solved[-1]),
        tuple(walk.votes),
        unseen,
    )


def _bent(z: np.ndarray, slopes: tuple[float, float]) -> np.ndarray:
    return z * np.where(z > 0.0, slopes[1], slopes[0])
