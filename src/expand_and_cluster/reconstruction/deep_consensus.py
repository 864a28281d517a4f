"""What students of several hidden layers agree on, in one layer."""

import numpy as np

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Layer
from expand_and_cluster.fitting.result import Fit
from expand_and_cluster.reconstruction.consensus import (
    LEAST_CONTRIBUTION,
    Consensus,
    Population,
    find_consensus,
)
from expand_and_cluster.reconstruction.inside import look_inside
from expand_and_cluster.students.regrown import Ground

# Neurons of two students within this angle are the teacher's: chance does not bring them so near.
CLOSE = np.pi / 45
# A student above this mean squared error, and above 30 times the best one's, is no evidence; where
# this leaves a single one, the better half is.
IMITATES = 1e-6


def gather_layer(fit: Fit, layer: int, inputs: np.ndarray) -> Population:
    """Collect the neurons of one hidden layer that carry the imitation.

    Args:
        fit: Students whose layers below this one agree, neuron by neuron.
        layer: The hidden layer, 0 for the first.
        inputs: Standardised inputs on which contributions and the metric are measured.
    """
    losses = fit.losses
    imitating = losses <= max(IMITATES, 30.0 * float(np.min(losses)))
    if imitating.sum() < 2:
        imitating = losses <= np.median(losses)
    imitating &= np.isfinite(losses)
    shares, vectors = [], []
    fed = None
    for index in range(len(losses)):
        student = fit.students.student(int(index))
        own = student.layers[layer]
        vectors.append(np.column_stack([own.weight, own.bias]))
        inside = look_inside(student, inputs)
        spread = inside.values[layer + 1][:, :-1].std(axis=0)
        shares.append(inside.effects[layer] * spread)
        if index == fit.best:
            fed = inside.values[layer]
    share = np.array(shares)
    assert fed is not None
    taking_part = (share >= LEAST_CONTRIBUTION) & imitating[:, None]
    owner, place = np.nonzero(taking_part)
    values, directions = np.linalg.eigh(fed.T @ fed / len(fed))
    root = directions * np.sqrt(np.maximum(values, 0.0))
    stacked = np.array(vectors)[taking_part]
    return Population(stacked, owner, place, losses, imitating, share, root)


def agree(population: Population, activation: Activation, max_angle: float) -> Consensus | None:
    """Neurons that two students hold, within a few degrees; None where there are none.

    Where a single student imitates the teacher, all of its neurons.

    Args:
        population: Neurons of one layer.
        activation: Their activation.
        max_angle: Largest median angle within a cluster, in radians.
    """
    return find_consensus(
        population,
        min_cluster_fraction=2.0 / max(int(population.imitating.sum()), 2),
        max_cluster_angle=max_angle,
        sign_free=sign_free(activation),
        scale_free=True,
        rule=close_height,
    )


def ground_of(
    consensus: Consensus,
    population: Population,
    below: tuple[Layer, ...],
    activation: Activation,
    most: int,
) -> Ground:
    """What students may grow from: vectors that students agree on, and what single ones hold.

    Args:
        consensus: Clusters of the layer.
        population: Its neurons.
        below: Rebuilt layers below it.
        activation: Activation of the hidden layers.
        most: At most this many known neurons, those that most students hold.
    """
    clusters = consensus.selection.clusters
    order = np.argsort([-len(each.students) for each in clusters], kind="stable")[:most]
    known = consensus.candidates[order]
    if not activation.symmetry.scale_free:
        # Compared by angle, for lengths come later than directions; but a length they have.
        lengths = np.linalg.norm(population.vectors, axis=1)
        typical = np.array([np.median(lengths[clusters[each].members]) for each in order])
        known = known * (typical / np.linalg.norm(known, axis=1))[:, None]
    measured, nearest = known @ population.metric_root, sign_free(activation)
    far = np.array([_is_far(each, measured, nearest) for each in population.measured], dtype=bool)
    if np.max(population.losses[population.imitating]) <= IMITATES:
        far[:] = False  # They hold all of the teacher: what they do not share is to spare.
    share = population.contribution[population.students, population.places]
    return Ground(below, known, population.vectors[far], share[far])


def sign_free(activation: Activation) -> bool:
    """Whether a neuron and its negative are one, without an affine map that is left over.

    Within a network such a map has no place: for relu and its like both signs are kept, which
    together span it.
    """
    flip = activation.symmetry.flip
    return flip is not None and flip.linear == 0.0


def close_height(*_: object, **__: object) -> float:
    """Cut where neurons are closer than chance brings them."""
    return float(1.0 - np.cos(CLOSE))


def _is_far(vector: np.ndarray, known: np.ndarray, either_sign: bool) -> bool:
    """Whether a neuron is none of these."""
    cosine = known @ vector / (np.linalg.norm(known, axis=1) * np.linalg.norm(vector))
    return bool(np.all((np.abs(cosine) if either_sign else cosine) < np.cos(CLOSE)))
