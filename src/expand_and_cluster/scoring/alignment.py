"""Undoes permutation, sign and scale: brings a recovered network to its teacher's form."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from expand_and_cluster.core.symmetry import Symmetry
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
    teacher: Known, recovered: Found, symmetry: Symmetry, limit: float = MATCHING_LIMIT
) -> LayerMatch:
    """Assign recovered neurons to teacher neurons by their input vectors.

    The assignment has the least sum of distances, where leaving a teacher neuron and a recovered
    neuron both without a partner costs `limit`. The distance of a pair is the squared distance of
    the two vectors over the sum of their squared lengths (the cosine distance for vectors of equal
    length), which separates parallel neurons of different steepness. It is taken between unit
    vectors where the activation hides the scale, and to the nearer of the vector and its negative
    where the activation hides the sign.

    Args:
        teacher: Input vectors with bias.
        recovered: Input vectors with bias, of the same size.
        symmetry: What the activation hides.
        limit: Pairs at this distance or beyond are no match.
    """
    if symmetry.scale_free:
        known, found = unit(teacher), unit(recovered)
    else:
        known, found = teacher, recovered
    cost = scaled_distances(known, found)
    nearest = cosine_distances(known, found)
    negative = np.zeros(cost.shape, dtype=bool)
    if symmetry.flip is not None:
        opposite = scaled_distances(known, -found)
        negative = opposite < cost
        cost = np.minimum(cost, opposite)
        nearest = np.minimum(nearest, cosine_distances(known, -found))
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
    recovered: Wiring, teacher: Wiring, symmetry: Symmetry, limit: float = MATCHING_LIMIT
) -> tuple[Wiring, Wiring, tuple[LayerMatch, ...]]:
    """Bring a recovered network to the teacher's order, signs and scales, layer by layer.

    What is undone in one layer goes into the weights and biases above it before the next layer is
    matched, so that the function stays the same throughout.

    Args:
        recovered: Network to be brought into form.
        teacher: Network that sets the form.
        symmetry: What the activation of both hides.
        limit: See `match`.

    Returns:
        Both wirings with equal sizes, and the match of each hidden layer. Each hidden layer lists
        the teacher's neurons first and the excess neurons after them; a missing neuron has no
        weights in the first wiring, an excess neuron none in the second.
    """
    matches = []
    for layer in teacher.hidden_layers:
        known = teacher.input_vectors(layer)
        found = match(known, recovered.input_vectors(layer), symmetry, limit)
        here = found.partner >= 0
        partners = found.partner[here]
        if symmetry.flip is not None:
            opposite = np.zeros(len(recovered.biases[layer]), dtype=bool)
            opposite[partners] = found.flipped[here]
            recovered = recovered.flip(layer, opposite, symmetry.flip)
        if symmetry.homogeneity is not None:
            vectors = recovered.input_vectors(layer)
            factors = np.ones(len(vectors))
            factors[partners] = _ratio(known[here], vectors[partners])
            recovered = recovered.rescale(layer, factors, symmetry.homogeneity)
        recovered = recovered.reorder(layer, np.concatenate([found.partner, found.excess]))
        teacher = teacher.reorder(
            layer, np.concatenate([np.arange(len(known)), np.full(len(found.excess), -1)])
        )
        matches.append(found)
    return recovered, teacher, tuple(matches)


def _ratio(teacher: Vectors, recovered: Vectors) -> Float[np.ndarray, " neurons"]:
    """How much longer the teacher's vectors are; two zero vectors have ratio one."""
    long, short = np.linalg.norm(teacher, axis=1), np.linalg.norm(recovered, axis=1)
    return np.divide(long, short, out=np.ones_like(long), where=(long > 0) & (short > 0))
