"""Undoes permutation, sign and scale: brings a recovered network to its teacher's form."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.scoring.distance import (
    Found,
    Known,
    Vectors,
    cosine_distances,
    scaled_distances,
    unit,
)
from expand_and_cluster.scoring.wiring import Wiring

MATCHING_LIMIT = 0.5
"""Neurons at least this far apart are not the same neuron: 60 degrees at equal length."""


@dataclass(frozen=True)
class LayerMatch:
    """Which recovered neuron is which teacher neuron, in one hidden layer.

    Attributes:
        partner: For each teacher neuron its recovered neuron, -1 where it is missing.
        flipped: For each teacher neuron whether its recovered neuron had the opposite sign.
        excess: Found neurons without a teacher neuron, in rising order.
        excess_distance: Their cosine distances to the nearest teacher neuron.
    """

    partner: Int[np.ndarray, " teacher"]
    flipped: Bool[np.ndarray, " teacher"]
    excess: Int[np.ndarray, " excess"]
    excess_distance: Float[np.ndarray, " excess"]


def match(
    teacher: Known,
    recovered: Found,
    true: Activation,
    own: Activation,
    limit: float = MATCHING_LIMIT,
) -> LayerMatch:
    """Assign recovered neurons to teacher neurons by their input vectors.

    The assignment has the least sum of distances, where leaving a teacher neuron and a recovered
    neuron both without a partner costs `limit`. The distance of a pair is the squared distance of
    the two vectors over the sum of their squared lengths (the cosine distance for vectors of equal
    length), which separates parallel neurons of different steepness. It is taken between unit
    vectors where the activation hides the scale, and to the nearer of the vector and its negative
    where the activation hides the sign. Neurons of different activations are no match.

    Args:
        teacher: Input vectors with bias.
        recovered: Input vectors with bias, of the same size.
        true: Activation of the teacher's layer.
        own: Activation of the recovered layer.
        limit: Pairs at this distance or beyond are no match.
    """
    known, found = _bare(teacher, true), _bare(recovered, own)
    cost = scaled_distances(known, found)
    nearest = cosine_distances(known, found)
    opposite = scaled_distances(known, -found)
    sign_free = true.flips(len(teacher)).possible[:, None]
    negative = sign_free & (opposite < cost)
    cost = np.where(negative, opposite, cost)
    away = cosine_distances(known, -found)
    nearest = np.where(sign_free, np.minimum(nearest, away), nearest)
    if true.kinds or own.kinds:
        alike = _alike(true, len(teacher), own, len(recovered))
        cost, nearest = np.where(alike, cost, limit), np.where(alike, nearest, 1.0)
    rows, columns = linear_sum_assignment(np.minimum(cost, limit))
    close = cost[rows, columns] < limit
    rows, columns = rows[close], columns[close]
    partner = np.full(len(teacher), -1)
    partner[rows] = columns
    flipped = np.zeros(len(teacher), dtype=bool)
    flipped[rows] = negative[rows, columns]
    excess = np.setdiff1d(np.arange(len(recovered)), columns)
    return LayerMatch(partner, flipped, excess, nearest[:, excess].min(axis=0))


def align(
    recovered: Wiring,
    teacher: Wiring,
    true: Activation,
    own: Activation,
    limit: float = MATCHING_LIMIT,
) -> tuple[Wiring, Wiring, tuple[LayerMatch, ...]]:
    """Bring a recovered network to the teacher's order, signs and scales, layer by layer.

    What is undone in one layer goes into the weights and biases above it before the next layer is
    matched, so that the function stays the same throughout.

    Args:
        recovered: Network to be brought into form.
        teacher: Network that sets the form.
        true: Activation of the teacher.
        own: Activation of the recovered network; the same, unless one is a mixture.
        limit: See `match`.

    Returns:
        Both wirings with equal sizes, and the match of each hidden layer. Each hidden layer lists
        the teacher's neurons first and the excess neurons after them; a missing neuron has no
        weights in the first wiring, an excess neuron none in the second.
    """
    matches = []
    for layer in teacher.hidden_layers:
        known = teacher.input_vectors(layer)
        found = match(known, recovered.input_vectors(layer), true, own, limit)
        here = found.partner >= 0
        partners = found.partner[here]
        width = len(recovered.biases[layer])
        opposite = np.zeros(width, dtype=bool)
        opposite[partners] = found.flipped[here]
        recovered = recovered.flip(layer, opposite, own.flips(width))
        degrees = own.degrees(width)
        if np.isfinite(degrees).any():
            vectors = recovered.input_vectors(layer)
            factors = np.ones(width)
            factors[partners] = _ratio(known[here], vectors[partners])
            factors[np.isnan(degrees)] = 1.0
            recovered = recovered.rescale(layer, factors, np.nan_to_num(degrees))
        recovered = recovered.reorder(layer, np.concatenate([found.partner, found.excess]))
        teacher = teacher.reorder(
            layer, np.concatenate([np.arange(len(known)), np.full(len(found.excess), -1)])
        )
        matches.append(found)
    return recovered, teacher, tuple(matches)


def _bare(vectors: Vectors, activation: Activation) -> Vectors:
    """Input vectors without what the activation hides of their length."""
    scale_free = np.isfinite(activation.degrees(len(vectors)))
    return np.where(scale_free[:, None], unit(vectors), vectors)


def _alike(
    true: Activation, known: int, own: Activation, found: int
) -> Bool[np.ndarray, "teacher recovered"]:
    return np.array([[true.of(i) == own.of(k) for k in range(found)] for i in range(known)])


def _ratio(teacher: Vectors, recovered: Vectors) -> Float[np.ndarray, " neurons"]:
    """How much longer the teacher's vectors are; two zero vectors have ratio one."""
    long, short = np.linalg.norm(teacher, axis=1), np.linalg.norm(recovered, axis=1)
    return np.divide(long, short, out=np.ones_like(long), where=(long > 0) & (short > 0))
