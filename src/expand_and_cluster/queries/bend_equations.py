"""A neuron from the kinks that it makes, and a layer's signs from the neurons above it.

At a kink the outputs' gradient jumps by a multiple of the neuron's own gradient, and its
pre-activation is zero. Both are linear in its weights and bias over the features of the layers
below, so that kinks in a few pieces determine them up to a factor; kinks of different neurons
leave no solution.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import block_diag

from expand_and_cluster.queries.pieces import Bends, Pieces

# Smallest singular value, relative to the largest, of equations with a solution; and the least of
# the second smallest, so that it is the only one.
SOLVED, ONLY = 1e-6, 1e-4
# What may be left of equations of signs, relative to their size.
CLEAR = 1e-3
# Most signs that are searched for by trying, how many at once, and what the best may leave of what
# the second best does.
MOST_TRIED, TRIED, DISTINCT = 20, 1 << 15, 1e-2


@dataclass(frozen=True, eq=False)
class Bend:
    """A kink with the direction of the gradient's jump.

    Attributes:
        point: Where it is.
        normal: Direction in which the gradient jumps, of length 1.
        age: Turns that it was foretold over since a jump was measured.
    """

    point: Float[np.ndarray, " inputs"]
    normal: Float[np.ndarray, " inputs"]
    age: int = 0


class Neuron(NamedTuple):
    """A neuron of the next layer, up to a factor.

    Attributes:
        vector: Weights over the features, bias last; zero where unknown.
        unseen: Neurons of the layer below whose weights its kinks do not show (`Pieces.unseen`).
    """

    vector: Float[np.ndarray, " features_and_one"]
    unseen: Bool[np.ndarray, " below"]


class Inconsistent(Exception):
    """Kinks that are not of one neuron of the next layer."""


def solve_neuron(pieces: Pieces, bends: Sequence[Bend]) -> Neuron | None:
    """The only neuron that bends at all of these kinks; None while several would do.

    Args:
        pieces: The layers below.
        bends: Kinks.

    Raises:
        Inconsistent: No neuron of the next layer bends at all of them.
    """
    places = [pieces.at(bend.point) for bend in bends]
    unseen = pieces.unseen(places)
    basis = _basis(pieces)
    rows = []
    for place, bend in zip(places, bends, strict=True):
        # What of the gradient is not along the jump must vanish.
        turned = place.tangents.T - np.outer(bend.normal, bend.normal @ place.tangents.T)
        size = max(float(np.linalg.norm(turned)), 1e-300)
        rows.append(np.column_stack([turned, np.zeros(len(turned))]) / size)
        own = np.append(place.features, 1.0)
        rows.append(own[None] / np.linalg.norm(own))
    matrix = np.concatenate(rows) @ basis
    kept = np.ones(matrix.shape[1], dtype=bool)
    kept[: len(unseen)] = ~unseen
    lengths = np.linalg.norm(matrix, axis=0)
    # What no kink shows stays zero.
    kept &= lengths > SOLVED * lengths.max()
    matrix, lengths = matrix[:, kept], lengths[kept]
    if len(matrix) < matrix.shape[1]:
        return None
    _, values, right = np.linalg.svd(matrix / lengths, full_matrices=False)
    if values[-1] > SOLVED * values[0]:
        raise Inconsistent
    if len(values) > 1 and values[-2] < ONLY * values[0]:
        return None
    shares = np.zeros(len(kept))
    shares[kept] = right[-1] / lengths
    vector = basis @ shares
    return Neuron(vector / np.linalg.norm(vector[:-1]), unseen)


def _basis(pieces: Pieces) -> Float[np.ndarray, "features_and_one shares"]:
    """What weights and bias can be: over an open layer, those below it are sums of its neurons'."""
    if pieces.open is None:
        size = pieces.top if pieces.layers else pieces.inputs
        return np.eye(size + 1)
    weight = pieces.open.weight
    below = weight.T if len(weight) < weight.shape[1] else np.eye(weight.shape[1])
    return np.asarray(block_diag(np.eye(len(weight)), below, np.eye(1)))


def solve_signs(
    pieces: Pieces,
    above: Float[np.ndarray, "neurons features"],
    unseen: Bool[np.ndarray, "neurons open"],
    hidden: Bool[np.ndarray, " below"],
    *,
    search: bool = True,
) -> Bool[np.ndarray, " open"] | None:
    """Which neurons of the open layer have the opposite sign; None where that stays open.

    What a neuron above has of the features below the open layer is `-(1 + slope) * sum a_i W_i`
    over the flipped neurons; besides that a multiple of W_i for those whose weight it did not
    show, and anything along features below that neurons of the open layer did not show.

    Args:
        pieces: The layers below, the last of them open.
        above: Weights over the features, one row for each neuron above, or output.
        unseen: For each of these, the neurons of the open layer whose weight is unknown.
        hidden: Features below the open layer of which one of its neurons does not know its weight.
        search: Whether to try all signs, where equations do not tell them one by one.
    """
    layer = pieces.open
    assert layer is not None
    size = len(layer.bias)
    aside = np.eye(layer.weight.shape[1])[:, hidden]
    systems, wanted = [], []
    for row, out in zip(above, unseen, strict=True):
        scale = np.linalg.norm(row)
        system = -sum(pieces.slopes) * (row[:size, None] / scale * layer.weight).T
        system[:, out] = 0.0
        free = np.column_stack([layer.weight[out].T, aside])
        within = np.linalg.qr(free)[0] if free.size else free
        systems.append(system - within @ (within.T @ system))
        right = row[size:] / scale
        wanted.append(right - within @ (within.T @ right))
    return _flips(np.concatenate(systems), np.concatenate(wanted), search)


def _flips(
    system: Float[np.ndarray, "equations open"],
    wanted: Float[np.ndarray, " equations"],
    search: bool,
) -> Bool[np.ndarray, " open"] | None:
    """The only zeros and ones that solve a linear system."""
    told = np.flatnonzero(np.linalg.norm(system, axis=0) > SOLVED)
    flipped = np.zeros(system.shape[1], dtype=bool)
    size = max(float(np.linalg.norm(wanted)), float(np.linalg.norm(system, axis=0).max()))
    if not search and len(told) < len(flipped):
        return None
    if not len(told):
        return flipped if size <= SOLVED else None
    some = system[:, told]
    shares, _, rank, _ = np.linalg.lstsq(some, wanted, rcond=SOLVED)
    chosen = shares > 0.5
    if rank < len(told):
        chosen = _searched(some, wanted) if search else None
        if chosen is None:
            return None
    if np.linalg.norm(some @ chosen - wanted) > CLEAR * size:
        return None
    flipped[told] = chosen
    return flipped


def _searched(
    system: Float[np.ndarray, "equations open"], wanted: Float[np.ndarray, " equations"]
) -> Bool[np.ndarray, " open"] | None:
    """By trying all zeros and ones, where there are fewer equations than unknowns."""
    count = system.shape[1]
    if count > MOST_TRIED:
        return None
    best, second, found = np.inf, np.inf, 0
    for start in range(0, 1 << count, TRIED):
        numbers = np.arange(start, min(start + TRIED, 1 << count))
        bits = (numbers[:, None] >> np.arange(count)) & 1
        left = np.linalg.norm(bits @ system.T - wanted, axis=1)
        for row in np.argsort(left)[:2]:
            if left[row] < best:
                best, second, found = float(left[row]), best, int(numbers[row])
            elif left[row] < second:
                second = float(left[row])
    if best > DISTINCT * second:
        return None
    return ((found >> np.arange(count)) & 1).astype(bool)


def as_layer(vectors: Float[np.ndarray, "neurons features_and_one"]) -> Bends:
    """Neurons over the features as a layer."""
    return Bends(vectors[:, :-1], vectors[:, -1])
