"""Make one neuron of several that stand in for one of the teacher's.

Several neurons can stand in for one of the teacher's, nearly: their sum does what it does on most
samples, and all others come to their places meanwhile. Steps hardly leave such a valley, and none
of the pieces can be lost alone. But they betray themselves. Pieces make up for the same neuron, and
so their output vectors are parallel to its own, whatever their input vectors are. Or they are
straighter than any of the teacher's, and make up for the linear part of one that bends little
itself. One neuron is fitted to what the others leave without them.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.reconstruction.bending import bends, straight
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.ordinary import ordinary_error, whole_error
from expand_and_cluster.reconstruction.prune import Removal
from expand_and_cluster.reconstruction.vacancy import Vacancy
from expand_and_cluster.reconstruction.workbench import Workbench

# Sine of the angle between output vectors up to which they are parallel, and outputs from which on
# that says something: any two vectors of one output are.
PARALLEL, FEWEST = 0.1, 3
# How many neurons are straight at most, the straightest first.
MOST_STRAIGHT = 8
# Standard deviations and means, in units of these, of the pre-activations that a neuron is tried
# with, and how many of the starts are gone on with, the best first.
SPREADS, MEANS, STARTS = np.geomspace(0.25, 8.0, 6), np.linspace(-3.0, 3.0, 13), 3
# Rises of the mean squared error up to which one neuron is as good as those that are read alike,
# and as good as it is for one straight neuron less.
FREE, FREED = 1.2, 2.25


def fuse(
    bench: Workbench, candidate: Candidate, rise: float = FREE
) -> tuple[Candidate, tuple[Removal, ...]]:
    """The candidate with one neuron for all that are read alike, where that costs little.

    Neither ordinary samples may say otherwise nor all together: where few show one of two neurons
    of the teacher that are read alike, these few decide.

    Args:
        bench: Where candidates are solved.
        candidate: Neurons with their output weights, and the error of ordinary samples.
        rise: Rise of the mean squared error that each may cause; next to nothing by default.
    """
    removals: list[Removal] = []
    whole = whole_error(bench, candidate)
    for group in _parallel(bench, candidate):
        way = np.asarray(candidate.network.layers[1].weight[:, group[0]])
        fused = _fused(bench, candidate, group, way)
        left = ordinary_error(bench, fused)
        if left <= rise * candidate.loss and fused.loss <= rise * whole:
            candidate, whole = replace(fused, loss=left), fused.loss
            reason = f"{len(group)} neurons with parallel output vectors do what one does"
            removals.append(Removal(candidate.width, reason, candidate.loss))
    return candidate, tuple(removals)


def fuse_straight(
    bench: Workbench, candidate: Candidate, ceiling: float
) -> tuple[Candidate, tuple[Removal, ...]]:
    """The candidate with one neuron for several that hardly bend, as many as cost little more.

    It costs at first: what they did for neurons that are not in their places yet is missing.

    Args:
        bench: Where candidates are solved.
        candidate: Neurons with their output weights.
        ceiling: Mean squared error of ordinary samples up to which neurons are lost.
    """
    group = _straight(bench, candidate)
    found: tuple[Candidate, tuple[Removal, ...]] = (candidate, ())
    for count in range(2, len(group) + 1):
        fused = _fused(bench, candidate, group[:count])
        fused = replace(fused, loss=ordinary_error(bench, fused))
        if not fused.loss <= ceiling:
            break
        reason = f"{count} neurons that hardly bend do what one does"
        found = fused, (Removal(fused.width, reason, fused.loss),)
        ceiling = min(ceiling, FREED * fused.loss)
    return found


def _parallel(bench: Workbench, candidate: Candidate) -> Iterator[Int[np.ndarray, " group"]]:
    """Neurons with parallel output vectors, those that move the outputs most first."""
    network = candidate.network
    outputs = network.layers[1].weight.T
    # What a mixture's neuron does depends on its place.
    if network.activation.kinds or outputs.shape[1] < FEWEST:
        return
    length = np.linalg.norm(outputs, axis=1)
    moves = length * bench.features(network).std(axis=0)
    ways = outputs / np.maximum(length, np.finfo(float).tiny)[:, None]
    left = candidate.present & (moves > 0.0)
    while left.any():
        anchor = int(np.argmax(np.where(left, moves, -1.0)))
        aside = np.linalg.norm(ways - np.outer(ways @ ways[anchor], ways[anchor]), axis=1)
        group = np.flatnonzero(left & (aside <= PARALLEL))
        left[group] = False
        if len(group) > 1:
            yield group[np.argsort(-moves[group])]


def _straight(bench: Workbench, candidate: Candidate) -> Int[np.ndarray, " group"]:
    """Neurons that move the outputs least beyond a linear part, the straightest first."""
    if candidate.network.activation.kinds:
        return np.array([], int)
    moves = bends(bench, candidate)
    count = int(np.sum(moves <= straight(moves)))
    return np.argsort(moves)[: min(MOST_STRAIGHT, count)]


def _fused(
    bench: Workbench,
    candidate: Candidate,
    group: Int[np.ndarray, " group"],
    way: Float[np.ndarray, " outputs"] | None = None,
) -> Candidate:
    """The candidate with one neuron in the place of these, looked for along `way`.

    Its error is that of all samples.
    """
    network, present = candidate.network, candidate.present.copy()
    present[group] = False
    vacancy = Vacancy.of(bench, candidate, present, way)
    vectors = network.input_vectors[group]
    slopes = network.activation.slopes(vacancy.extended @ vectors.T)
    read = vacancy.way @ network.layers[1].weight[:, group]
    # The mean gradient of what several neurons give is that of the one they stand in for, or, where
    # that one hardly bends, of its mirror image.
    gradient = (read * np.mean(slopes, axis=0)) @ vectors
    directions = [gradient, *vectors]
    if network.activation.symmetry.flip is None:
        directions.append(-gradient)
    starts = [*vectors]
    for direction in directions:
        scaled = _scaled(direction, vacancy.extended)
        starts.append(scaled[np.argmin(vacancy.errors(scaled))])
    best = np.argsort(vacancy.errors(np.array(starts)))[:STARTS]
    vector, _ = min((vacancy.fitted(starts[k]) for k in best), key=lambda found: found[1])
    present[group[0]] = True
    return bench.solve_outputs(candidate.with_vectors(group[:1], vector[None]), present)


def _scaled(
    vector: Float[np.ndarray, " inputs_and_bias"],
    extended: Float[np.ndarray, "samples inputs_and_bias"],
) -> Float[np.ndarray, "scaled inputs_and_bias"]:
    """The direction of a vector at several lengths and biases; itself where it has none."""
    values = extended @ vector
    spread = values.std()
    if spread == 0.0:
        return vector[None]
    plain = vector / spread
    plain[-1] -= values.mean() / spread
    lengths, means = (grid.ravel() for grid in np.meshgrid(SPREADS, MEANS))
    scaled = lengths[:, None] * plain
    scaled[:, -1] += lengths * means
    return scaled
