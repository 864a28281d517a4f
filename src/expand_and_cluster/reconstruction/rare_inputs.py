"""Weights of inputs that hardly any pair shows: the smallest with which these pairs come out right.

A pair that shows an input tells, of the weights that all neurons have for it, as many combinations
as there are outputs. Where fewer are told than there are weights, the rest stay what a student
began with, and an unseen pair that shows the input is answered at random. The smallest weights
that explain the pairs (least norm) hold nothing that was not told.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import cho_factor, cho_solve

from expand_and_cluster.core.held import hold
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.reconstruction.inside import look_inside
from expand_and_cluster.students.training import TrainingData

# An input is rare where pairs tell fewer combinations of its weights than this multiple of their
# number: pairs that show one often show the same others, and tell the same again.
MARGIN = 3.0
# Most steps; how often a step is halved; the share of the squared error that one has to gain.
STEPS, HALVINGS, GAIN = 200, 12, 1e-3
# Share of the mean curvature that is always added, against rounding.
RIDGE = 1e-14
# Most equations of a step: a matrix of them takes half a GiB.
MOST = 8000


def rare_inputs(
    inputs: Float[np.ndarray, "samples inputs"], neurons: int, outputs: int
) -> Bool[np.ndarray, " inputs"]:
    """Inputs that vary, but in too few samples for their weights.

    Args:
        inputs: Inputs of all pairs. A sample shows an input where this is not at its usual value,
            the median.
        neurons: Of the first hidden layer: each has a weight for the input.
        outputs: Combinations of these that a sample tells at most.
    """
    # Along rows that lie in one piece: several times faster on images.
    usual = np.median(np.ascontiguousarray(inputs.T), axis=1)
    shown = np.count_nonzero(inputs != usual, axis=0)
    return (shown > 0) & (shown * outputs < MARGIN * neurons)


def with_least_weights(
    network: Network,
    data: TrainingData,
    rare: Bool[np.ndarray, " inputs"],
    report: Reporter = silent,
) -> Network:
    """The network with the smallest weights of rare inputs that explain the pairs that show them.

    Args:
        network: A network that explains the other pairs.
        data: All pairs.
        rare: Which inputs are rare.
        report: Receives progress.

    Returns:
        `network` itself where no pair shows a rare input, all do or too many, where all
        inputs are rare, and where smallest weights leave more of these pairs than it does and than
        it leaves of the others.
    """
    usual = np.median(data.inputs[:, rare], axis=0)
    showing = np.any(data.inputs[:, rare] != usual, axis=1)
    if not 0 < np.sum(showing) * network.output_size <= MOST or showing.all() or rare.all():
        return network
    error = np.mean((network(data.inputs) - data.targets) ** 2, axis=1)
    noise = float(np.mean(error[~showing]))
    shown = TrainingData(data.inputs[showing], data.targets[showing])
    found, loss = _descend(network, shown, rare, usual, noise, report)
    return found if loss <= max(float(np.mean(error[showing])), noise) else network


def _descend(
    network: Network,
    shown: TrainingData,
    rare: Bool[np.ndarray, " inputs"],
    usual: Float[np.ndarray, " rare"],
    noise: float,
    report: Reporter,
) -> tuple[Network, float]:
    """Gauss-Newton from weights of zero.

    A step goes to the smallest weights that explain the pairs to first order, as closely as they
    already are, or as the others: the most probable ones where weights are normal, with the mean
    square of those of the other inputs, and errors are.

    Returns:
        The network and its mean squared error on these pairs.
    """
    values = np.zeros(len(rare))
    values[rare] = usual
    first = hold(network, rare, values).layers[0]
    offsets = shown.inputs[:, rare] - usual
    spread = float(np.mean(first.weight[:, ~rare] ** 2))

    def moved(weights: Float[np.ndarray, "neurons rare"]) -> Network:
        whole = first.weight.copy()
        whole[:, rare] = weights
        layer = Layer(whole, first.bias - weights @ usual)
        return network.replace(layers=(layer, *network.layers[1:]))

    weights = np.zeros((len(first.bias), len(usual)))
    inside = look_inside(moved(weights), shown.inputs)
    loss = float(np.mean((inside.outputs - shown.targets) ** 2))
    for step in range(STEPS):
        report(Progress("explain rare inputs", step, STEPS, np.array([np.sqrt(loss)])))
        if loss <= noise:
            break
        slopes = inside.slopes[0].reshape(-1, len(first.bias))
        rows = np.repeat(offsets, network.output_size, axis=0)
        # Products of two Jacobians, which factor row by row, without writing one out.
        gram = (slopes @ slopes.T) * (rows @ rows.T)
        explained = np.sum((slopes @ weights) * rows, axis=1)
        right = (shown.targets - inside.outputs).reshape(-1) + explained
        shift = max(loss, noise) / spread + RIDGE * np.trace(gram) / len(gram)
        factor = cho_factor(gram + shift * np.eye(len(gram)), lower=True)
        goal = (slopes * cho_solve(factor, right)[:, None]).T @ rows
        for halving in range(HALVINGS):
            trial = weights + (goal - weights) / 2**halving
            there = look_inside(moved(trial), shown.inputs)
            left = float(np.mean((there.outputs - shown.targets) ** 2))
            if left < loss:
                break
        else:
            break
        gained, weights, inside, loss = 1.0 - left / loss, trial, there, left
        if gained < GAIN:
            break
    return moved(weights), loss
