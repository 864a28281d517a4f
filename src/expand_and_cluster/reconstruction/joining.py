"""Join neurons of a candidate that have come to act as one."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import squareform

from expand_and_cluster.clusters.dissimilarity import pairwise, unit_vectors
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.prune import Removal
from expand_and_cluster.reconstruction.workbench import MOST_ROWS, Workbench

# How far two neurons' pre-activations are from each other, as a share of the larger, where they may
# be one (15 degrees between directions).
NEAR = np.pi / 12
# Share of the pair's output weights that is left of their sum, at least: what cancels is no copy of
# a neuron but its derivative.
LEFT = 0.1


def join(
    bench: Workbench, candidate: Candidate, rise: float
) -> tuple[Candidate, tuple[Removal, ...]]:
    """Replace pairs that are nearly one neuron by that neuron, nearest first.

    A copy is not free: without it the other one is not where the sum of both acts, and the error
    rises with their distance. At the mean of the two, weighted by their output weights, it rises
    with the square only (duplicates: paper, Fig. 2). Whether the others make up for that is for a
    few steps to show.

    Args:
        bench: Where candidates are solved.
        candidate: What may hold neurons twice.
        rise: Multiple of its mean squared error up to which pairs are joined. A sum of two neurons
            is one neuron up to the square of their distance, and steps bring that back; two neurons
            of the teacher cost more.
    """
    ceiling = max(rise * candidate.loss, bench.floor(candidate))
    removals: list[Removal] = []
    apart: set[tuple[int, int]] = set()
    while (pair := _nearest(bench, candidate, apart)) is not None:
        joined = _joined(bench, candidate, *pair)
        if joined is None or not joined.loss <= ceiling:
            apart.add(pair)
            continue
        candidate = joined
        removals.append(Removal(candidate.width, "it acts as one with another neuron", joined.loss))
    return candidate, tuple(removals)


def _nearest(
    bench: Workbench, candidate: Candidate, apart: set[tuple[int, int]]
) -> tuple[int, int] | None:
    """The nearest pair that may be one and is not known to be apart."""
    present = np.flatnonzero(candidate.present)
    far = _distances(bench, candidate)
    first, second = np.triu_indices(len(present), 1)
    for k in np.argsort(far[first, second]):
        pair = (int(present[first[k]]), int(present[second[k]]))
        if far[first[k], second[k]] > NEAR:
            return None
        if pair not in apart:
            return pair
    return None


def _distances(bench: Workbench, candidate: Candidate) -> Float[np.ndarray, "neurons neurons"]:
    """Root mean square of what two pre-activations differ by, relative to the larger."""
    network = candidate.network
    symmetry = network.activation.symmetry
    pre = _pre_activations(bench, network.input_vectors[candidate.present]).T
    if symmetry.scale_free:
        pre = unit_vectors(pre)
    length = np.linalg.norm(pre, axis=1)
    larger = np.maximum.outer(length, length)
    apart = squareform(pairwise(pre, sign_free=symmetry.flip is not None))
    return apart / np.where(larger == 0.0, 1.0, larger)


def _pre_activations(
    bench: Workbench, vectors: Float[np.ndarray, "neurons inputs_and_bias"]
) -> Float[np.ndarray, "samples neurons"]:
    return bench.training.inputs[:MOST_ROWS] @ vectors[:, :-1].T + vectors[:, -1]


def _joined(bench: Workbench, candidate: Candidate, one: int, other: int) -> Candidate | None:
    """The candidate with the first at the mean of both, and the other absent."""
    network = candidate.network
    symmetry = network.activation.symmetry
    last = network.layers[1]
    vectors, weights = network.input_vectors[[one, other]], last.weight[:, [one, other]].T
    if symmetry.homogeneity is not None:
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors, weights = vectors / length, weights * length**symmetry.homogeneity
    pre = _pre_activations(bench, vectors)
    if symmetry.flip is not None and pre[:, 0] @ pre[:, 1] < 0:
        vectors = vectors * np.array([[1.0], [-1.0]])
        weights = weights * np.array([[1.0], [symmetry.flip.sign]])
    whole = weights.sum(axis=0)
    size = float(whole @ whole)
    if size <= LEFT**2 * float(np.sum(weights**2)):
        return None
    vector = (weights @ whole) @ vectors / size
    present = candidate.present.copy()
    present[other] = False
    return bench.solve_outputs(
        candidate.with_vectors(np.array([one]), np.asarray(vector)[None]), present
    )
