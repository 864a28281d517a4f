"""Make two neurons of one that bends for two of the teacher's, and of a straight one beside it.

Two of the teacher's neurons that bend little, and at nearly the same samples, can be found as one
that lies between them. What the two give beside it is as good as linear in the inputs, and a neuron
that hardly bends makes that up. Steps do not leave this place: the straight one would have to turn
all the way to where it bends itself, and the other one to give way meanwhile.

But two neurons that share a linear map span what the teacher's two do. Each of these lies in that
plane, about as far off and as long as the one that bends for both, and bends about as much as the
other. So pairs of such vectors are compared, the output weights of all neurons free.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.reconstruction.bending import bends, beyond_linear, straight
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.ordinary import ordinary_error
from expand_and_cluster.reconstruction.prune import Removal
from expand_and_cluster.reconstruction.vacancy import Vacancy
from expand_and_cluster.reconstruction.workbench import Workbench

# Directions of a plane that are tried, and lengths in units of the neuron that bends.
DIRECTIONS, LENGTHS = 144, (0.9, 1.0, 1.1)
# Neurons that bend little are tried as the one that does it for two, the straightest first.
PARTNERS = 5
# How many times as much as the other one a neuron of a pair bends at most: where only one bends,
# nothing has changed.
UNEVEN = 3.0
# One less the squared correlation of what two neurons give, below which they are the same.
APART = 1e-5


def split(
    bench: Workbench, candidate: Candidate, ceiling: float
) -> tuple[Candidate, tuple[Removal, ...]]:
    """The candidate with the straightest neuron, and one that bends little, made two that bend.

    Args:
        bench: Where candidates are solved.
        candidate: Neurons with their output weights.
        ceiling: Mean squared error of ordinary samples at most.

    Returns:
        The candidate, itself where no neuron is straight or every pair costs more; nothing is lost.
    """
    # Beside a skip nothing has to make up for what is linear.
    if bench.skip or candidate.network.activation.kinds or candidate.width < 2:
        return candidate, ()
    moves = bends(bench, candidate)
    order = np.argsort(moves)[: min(1 + PARTNERS, candidate.width)]
    if moves[order[0]] > straight(moves):
        return candidate, ()
    found = (_best_pair(bench, candidate, order[[0, k]]) for k in range(1, len(order)))
    pair, vectors, error = min(found, key=lambda one: one[2])
    if not np.isfinite(error):
        return candidate, ()
    parted = bench.solve_outputs(candidate.with_vectors(pair, vectors), candidate.present)
    parted = replace(parted, loss=ordinary_error(bench, parted))
    return (parted if parted.loss <= ceiling else candidate), ()


def _best_pair(
    bench: Workbench, candidate: Candidate, pair: Int[np.ndarray, " two"]
) -> tuple[Int[np.ndarray, " two"], Float[np.ndarray, "two inputs_and_bias"], float]:
    """A straight neuron and one that bends; two vectors for them, and the error that is left.

    The error is infinite where no two vectors bend alike.
    """
    others = candidate.present.copy()
    others[pair] = False
    vacancy = Vacancy.of(bench, candidate, others)
    tried = _in_plane(candidate.network.input_vectors[pair], vacancy.extended)
    given = vacancy.given(tried)
    bend = beyond_linear(vacancy.extended @ tried.T, given.copy())
    given = vacancy.own(given)
    length = np.maximum(np.linalg.norm(given, axis=0), np.finfo(float).tiny)
    given /= length
    # Least squares of two features at a time, for all pairs and outputs together.
    alike, pull = given.T @ given, given.T @ vacancy.left
    both = pull @ pull.T
    alone = np.diagonal(both)
    apart = 1.0 - alike**2
    same, apart = apart < APART, np.maximum(apart, APART)
    gain = (alone[:, None] + alone - 2.0 * alike * both) / apart
    read = np.maximum(alone[:, None] + alike**2 * alone - 2.0 * alike * both, 0.0) / apart**2
    moved = np.sqrt(read) * (bend / length)[:, None]
    gain[same | (moved > UNEVEN * moved.T) | (UNEVEN * moved < moved.T)] = -np.inf
    best = np.array(np.unravel_index(np.argmax(gain), gain.shape))
    left = float(np.sum(vacancy.left**2) - gain.max()) / vacancy.left.size
    return pair, tried[best], left


def _in_plane(
    vectors: Float[np.ndarray, "two inputs_and_bias"],
    extended: Float[np.ndarray, "samples inputs_and_bias"],
) -> Float[np.ndarray, "tried inputs_and_bias"]:
    """Vectors in the plane of two, about as long as the second and with its mean."""
    values = extended @ vectors.T
    mean, spread = values[:, 1].mean(), values[:, 1].std()
    # Two directions of unit variance that are uncorrelated.
    _, size, ways = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    size = np.maximum(size, np.finfo(float).eps * max(size[0], 1.0)) / np.sqrt(len(values))
    plane = (ways / size[:, None]) @ vectors
    angles = np.linspace(0.0, 2.0 * np.pi, DIRECTIONS, endpoint=False)
    turned = np.column_stack([np.cos(angles), np.sin(angles)]) @ plane
    tried = spread * np.concatenate([length * turned for length in LENGTHS])
    tried[:, -1] += mean - extended.mean(axis=0) @ tried.T
    return tried
