"""Let neurons take over what a linear one does for them.

What a neuron with a kink does on the side that nearly all samples are on is a part of one linear
map, and of a linear neuron beside it only the sum is told. Two neurons of the teacher whose input
vectors are off by parts of the same vector have one linear neuron that makes up for both, and steps
hardly leave that valley. It betrays itself: its output vector is a combination of theirs, as that
of no other neuron is where there are many outputs. Its part of the map is added to theirs; they are
then near their places, and one neuron is free for what the candidate lacks.
"""

from itertools import combinations

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.reconstruction.candidate import Candidate, padded
from expand_and_cluster.reconstruction.linear_neurons import beyond_kink, usual_slopes
from expand_and_cluster.reconstruction.ordinary import whole_error, without_far
from expand_and_cluster.reconstruction.workbench import Workbench

# Share of the samples beyond the kink of a neuron whose part of a linear map others may take over,
# or that may take over such a part.
SELDOM = 0.02
# Smallest singular value of three output vectors of length one that lie in a plane, and outputs
# from which on that says something: any three vectors of two do.
PLANE, FEWEST = 0.1, 6


def taken_over(bench: Workbench, candidate: Candidate) -> Candidate | None:
    """The candidate without a neuron whose part of a linear map two others have taken over.

    Args:
        bench: Pairs, without a skip.
        candidate: Neurons with a kink.

    Returns:
        None where the output vectors of no three neurons that bend on few samples lie in a plane.
    """
    network = candidate.compact()
    outputs, vectors = np.asarray(network.layers[1].weight), network.input_vectors
    slopes = usual_slopes(bench, network)
    few = np.flatnonzero((beyond_kink(bench, vectors) <= SELDOM) & (slopes != 0.0))
    group = _in_a_plane(outputs, few) if len(outputs) >= FEWEST else None
    if group is None:
        return None
    tried = []
    for linear in group:
        others = group[group != linear]
        parts = np.linalg.lstsq(outputs[:, others], slopes[linear] * outputs[:, linear])[0]
        moved = vectors.copy()
        moved[others] += np.outer(parts / slopes[others], vectors[linear])
        # The linear neuron's bias tells where kinks are, or nothing: outputs make up for any.
        level = moved.copy()
        for neuron in others:
            level[neuron, -1] = _bias(bench, vectors[neuron], moved[neuron, :-1])
        for start in (np.delete(either, linear, axis=0) for either in (moved, level)):
            tried.append(without_far(bench, bench.start(start, padded(len(start)))))
    return min(tried, key=lambda left: whole_error(bench, left))


def _bias(
    bench: Workbench,
    before: Float[np.ndarray, " inputs_and_bias"],
    weights: Float[np.ndarray, " inputs"],
) -> float:
    """Bias with which as many samples are beyond the kink of a neuron as before."""
    inputs = bench.training.inputs
    above = int(np.sum(inputs @ before[:-1] + before[-1] > 0.0))
    values = np.sort(inputs @ weights)[::-1]
    last, next_one = values[max(above - 1, 0)], values[min(above, len(values) - 1)]
    return -0.5 * float(last + next_one)


def _in_a_plane(
    outputs: Float[np.ndarray, "outputs neurons"], few: Int[np.ndarray, " some"]
) -> Int[np.ndarray, " three"] | None:
    """The three of these neurons whose output vectors are nearest to a plane, if any are near."""
    length = np.linalg.norm(outputs, axis=0)
    few = few[length[few] > 0.0]
    groups = np.array(list(combinations(few, 3)), int).reshape(-1, 3)
    if len(groups) == 0:
        return None
    ways = (outputs / np.where(length > 0.0, length, 1.0)).T[groups]
    least = np.linalg.svd(ways, compute_uv=False)[:, -1]
    nearest = int(np.argmin(least))
    return groups[nearest] if least[nearest] <= PLANE else None
