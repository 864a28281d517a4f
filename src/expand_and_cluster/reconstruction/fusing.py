"""Make one neuron of several that are read alike: pieces of one of the teacher's.

Several neurons can stand in for one of the teacher's, nearly: their sum does what it does on most
samples, and all others come to their places meanwhile. Steps hardly leave such a valley, and none
of the pieces can be lost alone. But they betray themselves: each makes up for the same neuron, and
so their output vectors are parallel to its own, whatever their input vectors are. What they give
together is a function of one number, which one neuron is fitted to.
"""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.core.network import Layer
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.prune import Removal
from expand_and_cluster.reconstruction.winnowing import ordinary_error
from expand_and_cluster.reconstruction.workbench import MOST_ROWS, Workbench
from expand_and_cluster.students.training import TrainingData

# Sine of the angle between output vectors up to which they are parallel, and outputs from which on
# that says something: any two vectors of one output are.
PARALLEL, FEWEST = 0.1, 3
# Samples that a neuron is fitted to, for every input, where there are more.
SAMPLES = 12
# Standard deviations and means, in units of these, of the pre-activations that it is tried with.
SPREADS, MEANS = np.geomspace(0.25, 8.0, 6), np.linspace(-3.0, 3.0, 13)
# Rise of the mean squared error up to which fewer neurons are as good.
FREE = 1.2


def fuse(bench: Workbench, candidate: Candidate) -> tuple[Candidate, tuple[Removal, ...]]:
    """The candidate with one neuron for all that are read alike, where that costs next to nothing.

    Args:
        bench: Where candidates are solved.
        candidate: Neurons with their output weights.
    """
    removals: list[Removal] = []
    error = ordinary_error(bench, candidate)
    for group in _groups(bench, candidate):
        first = candidate.network.layers[0]
        weight, bias, present = first.weight.copy(), first.bias.copy(), candidate.present.copy()
        vector = _one_for(bench, candidate, group)
        weight[group[0]], bias[group[0]] = vector[:-1], vector[-1]
        present[group[1:]] = False
        layers = (Layer(weight, bias), candidate.network.layers[1])
        fused = bench.solve_outputs(candidate.network.replace(layers=layers), present)
        left = ordinary_error(bench, fused)
        if left <= FREE * error:
            candidate, error = fused, left
            reason = f"{len(group)} neurons with parallel output vectors do what one does"
            removals.append(Removal(candidate.width, reason, candidate.loss))
    return candidate, tuple(removals)


def _groups(bench: Workbench, candidate: Candidate) -> Iterator[Int[np.ndarray, " group"]]:
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
        left[anchor] = False
        if len(group) > 1:
            yield group[np.argsort(-moves[group])]


def _one_for(
    bench: Workbench, candidate: Candidate, group: Int[np.ndarray, " group"]
) -> Float[np.ndarray, " inputs_and_bias"]:
    """Input vector of the neuron that does most nearly what these do together."""
    network = candidate.network
    vectors = network.input_vectors[group]
    outputs = network.layers[1].weight[:, group]
    shares = outputs.T @ outputs[:, 0] / np.linalg.norm(outputs[:, 0])
    count = min(len(bench.training.inputs), max(MOST_ROWS, SAMPLES * vectors.shape[1]))
    inputs = bench.training.inputs[:count]
    extended = np.column_stack([inputs, np.ones(count)])
    values = bench.features(network, count)[:, group]
    data = TrainingData(inputs, (values @ shares)[:, None])
    alone = Workbench(data, network.activation, skip=bench.skip, deadline=bench.deadline)
    slopes = np.mean(network.activation.derivative(jnp.asarray(extended @ vectors.T)), axis=0)
    gradient = np.asarray(shares * slopes) @ vectors
    starts = (alone.start(start[None], 1) for start in (*vectors, *_scaled(gradient, extended)))
    best = min(starts, key=lambda start: start.loss)
    return alone.polish(best).compact().input_vectors[0]


def _scaled(
    vector: Float[np.ndarray, " inputs_and_bias"],
    extended: Float[np.ndarray, "samples inputs_and_bias"],
) -> Iterator[Float[np.ndarray, " inputs_and_bias"]]:
    """The direction of a vector at several lengths and biases.

    The mean gradient of what several neurons give is that of the one they stand in for.
    """
    values = extended @ vector
    spread = values.std()
    if spread == 0.0:
        return
    plain = vector / spread
    plain[-1] -= values.mean() / spread
    for length in SPREADS:
        for mean in MEANS:
            moved = length * plain
            moved[-1] += length * mean
            yield moved
