"""What students of several hidden layers agree on, in one layer."""

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.fitting.result import Fit
from expand_and_cluster.reconstruction.consensus import (
    LEAST_CONTRIBUTION,
    Consensus,
    Population,
    find_consensus,
)
from expand_and_cluster.reconstruction.inside import look_inside

# Neurons of two students within this angle are the teacher's: chance does not bring them so near.
CLOSE = np.pi / 45
# A student above this mean squared error, and above 30 times the best one's, is no evidence: deep
# students hold few of the teacher's neurons until they are far below it.
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
    """Neurons that at least two students hold, within a few degrees; None where there are none.

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


def filled_up(
    consensus: Consensus, population: Population, best: int, activation: Activation
) -> Float[np.ndarray, "neurons inputs_and_bias"]:
    """Vectors that students agree on, and those of the best one in place of what is missing."""
    metric = population.metric_root
    known = consensus.candidates @ metric
    own = population.part(population.students == best).vectors
    free = sign_free(activation)
    far = [all(_angle(vector @ metric, other, free) > CLOSE for other in known) for vector in own]
    return np.concatenate([consensus.candidates, own[np.array(far, dtype=bool)]])


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


def _angle(one: np.ndarray, other: np.ndarray, either_sign: bool) -> float:
    cosine = float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
    return float(np.arccos(np.clip(abs(cosine) if either_sign else cosine, -1.0, 1.0)))
