"""The outputs' derivatives in all weights at once, as second moments, for statistics of a fit."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.students.training import TrainingData

# Rows in a block, so that their derivatives take little memory.
ROWS = 1024


@dataclass(frozen=True)
class Linearised:
    """Second moments of the Jacobian's columns, and of probes beside them.

    Columns are the input vectors' weights (neuron by neuron, bias last), output weights (output by
    output), output biases, then the probes: outputs of neurons that the network does not have.

    Attributes:
        gram: Sums over rows and outputs of products of two columns.
        pull: The same of columns and the residual.
        total: Sum of the squared residual.
        outputs: Number of outputs.
        equations: Rows times outputs.
        weights: How many columns are weights.
        free: Directions of the weights that change no output: scales of a homogeneous activation.
        determined: Which weights the inputs can tell: not those of inputs that never vary.
    """

    gram: Float[np.ndarray, "columns columns"]
    pull: Float[np.ndarray, " columns"]
    total: float
    outputs: int
    equations: int
    weights: int
    free: int
    determined: Bool[np.ndarray, " weights"]

    @property
    def unknowns(self) -> int:
        """Weights that the answers determine."""
        return int(self.determined.sum()) - self.free

    @property
    def probes(self) -> int:
        """Number of probes."""
        return len(self.gram) - self.weights


def operations(network: Network, rows: int, probes: int) -> float:
    """Floating-point operations that `linearise` takes."""
    size = network.input_vectors.size + network.hidden_widths[0] + 1 + probes
    return 2.0 * rows * network.output_size * size**2


def linearise(network: Network, pairs: TrainingData, probes: Network | None = None) -> Linearised:
    """Second moments at a network with one hidden layer and no skip.

    Args:
        network: Where to take derivatives.
        pairs: Inputs and targets in the network's coordinates.
        probes: A wide network whose neurons, with their output weights, are the probes.
    """
    vectors = network.input_vectors
    neurons, size = vectors.shape
    outputs, count = network.output_size, 0 if probes is None else probes.hidden_widths[0]
    inner, weights = neurons * size, neurons * size + outputs * (neurons + 1)
    gram = np.zeros((weights + count, weights + count))
    pull, total = np.zeros(weights + count), 0.0
    places = [
        np.concatenate(
            [
                np.arange(inner),
                inner + output * neurons + np.arange(neurons),
                [inner + outputs * neurons + output],
                weights + np.arange(count),
            ]
        )
        for output in range(outputs)
    ]
    for first in range(0, len(pairs.inputs), ROWS):
        rows = pairs.inputs[first : first + ROWS]
        residual = network(rows) - pairs.targets[first : first + ROWS]
        extended = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
        active, slopes = _evaluate(vectors, extended, network.activation)
        other = np.zeros((len(rows), 0))
        if probes is not None:
            other = _evaluate(probes.input_vectors, extended, probes.activation)[0]
        for output, place in enumerate(places):
            moved = (slopes * network.layers[1].weight[output])[:, :, None] * extended[:, None]
            columns = [moved.reshape(len(rows), -1), active, np.ones((len(rows), 1))]
            if probes is not None:
                columns.append(other * probes.layers[1].weight[output])
            design = np.concatenate(columns, axis=1)
            gram[np.ix_(place, place)] += design.T @ design
            pull[place] += design.T @ residual[:, output]
        total += float(np.sum(residual**2))
    free = int(np.isfinite(network.activation.degrees(neurons)).sum())
    determined = np.ones(weights, bool)
    varies = np.append(np.ptp(pairs.inputs, axis=0) > 0.0, True)
    determined[:inner] = np.tile(varies, neurons)
    equations = len(pairs.inputs) * outputs
    return Linearised(gram, pull, total, outputs, equations, weights, free, determined)


def fixed_scales(network: Network) -> Float[np.ndarray, "free weights"]:
    """Unit moves along the input vectors, whose length a homogeneous activation leaves open."""
    vectors = network.input_vectors
    neurons, size = vectors.shape
    free = np.flatnonzero(np.isfinite(network.activation.degrees(neurons)))
    moves = np.zeros((len(free), neurons * size + network.output_size * (neurons + 1)))
    for move, k in zip(moves, free, strict=True):
        move[k * size : (k + 1) * size] = vectors[k] / np.linalg.norm(vectors[k])
    return moves


def _evaluate(
    vectors: np.ndarray, extended: np.ndarray, activation: Activation
) -> tuple[np.ndarray, np.ndarray]:
    pre = extended @ vectors.T
    return activation.values(pre), activation.slopes(pre)
