"""How far neurons bend: what they give beyond a linear function of their inputs."""

import numpy as np
from jaxtyping import Float

from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.workbench import Workbench

# How far neurons move the outputs beyond a linear part, relative to the median one, up to which
# they are straight.
STRAIGHT = 0.1


def bends(bench: Workbench, candidate: Candidate) -> Float[np.ndarray, " neurons"]:
    """How far each neuron moves the outputs beyond a linear part; absent ones infinitely far.

    Args:
        bench: Where candidates are solved.
        candidate: Neurons of one kind, with their output weights.
    """
    network = candidate.network
    first, last = network.layers
    values = bench.training.inputs @ first.weight.T
    beyond = beyond_linear(values, bench.features(network))
    return np.where(candidate.present, beyond * np.linalg.norm(last.weight, axis=0), np.inf)


def straight(moves: Float[np.ndarray, " neurons"]) -> float:
    """How far a neuron moves the outputs beyond a linear part at most to be straight.

    Args:
        moves: See `bends`.
    """
    return STRAIGHT * float(np.median(moves[np.isfinite(moves)]))


def beyond_linear(
    values: Float[np.ndarray, "samples neurons"], given: Float[np.ndarray, "samples neurons"]
) -> Float[np.ndarray, " neurons"]:
    """Standard deviation of what each neuron gives, less what is linear in its pre-activation.

    Args:
        values: Pre-activations; biases do not matter.
        given: Activations, which are overwritten.
    """
    values = values - values.mean(axis=0)
    given -= given.mean(axis=0)
    size = np.maximum(np.sum(values**2, axis=0), np.finfo(float).tiny)
    given -= values * (np.sum(values * given, axis=0) / size)
    return given.std(axis=0)
