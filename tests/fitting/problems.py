"""Small imitation problems and an independent, slow version of the loss and its gradient."""

from itertools import pairwise

import numpy as np

from expand_and_cluster.core.network import Network
from expand_and_cluster.fitting.conjugate_gradients import begin_step, go_on_with_step


def random_network(widths: tuple[int, ...], seed: int, *, scale: float = 1.0) -> Network:
    """A tanh network with weights of spread `scale` over the square root of the fan-in."""
    rng = np.random.default_rng(seed)
    pairs = pairwise(widths)
    return Network.from_arrays(
        [
            (rng.normal(size=(o, i)) * scale / np.sqrt(i), rng.normal(size=o) * 0.3 * scale)
            for i, o in pairs
        ],
        "tanh",
    )


def imitation(
    widths: tuple[int, ...], samples: int, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian inputs and the standardised answers of a random teacher."""
    inputs = np.random.default_rng(seed).normal(size=(samples, widths[0]))
    outputs = random_network(widths, seed + 1, scale=1.5)(inputs)
    return inputs, (outputs - outputs.mean(axis=0)) / outputs.std(axis=0)


def ensemble(widths: tuple[int, ...], count: int, *, seed: int = 100) -> Network:
    """Students at their first weights."""
    return Network.stack([random_network(widths, seed + i) for i in range(count)])


def loss_and_gradient(
    flat: np.ndarray, widths: tuple[int, int, int], inputs: np.ndarray, targets: np.ndarray
) -> tuple[float, np.ndarray]:
    """Mean squared error of a tanh network with one hidden layer, backpropagated by hand.

    `flat` holds weight, bias, weight, bias, each row by row.
    """
    d, m, o = widths
    w1, b1, w2, b2 = np.split(flat, np.cumsum([m * d, m, o * m]))
    hidden = np.tanh(inputs @ w1.reshape(m, d).T + b1)
    residuals = hidden @ w2.reshape(o, m).T + b2 - targets
    error = 2 * residuals / residuals.size
    back = (error @ w2.reshape(o, m)) * (1 - hidden**2)
    parts = (back.T @ inputs, back.sum(axis=0), error.T @ hidden, error.sum(axis=0))
    return float(np.mean(residuals**2)), np.concatenate([part.ravel() for part in parts])


def flattened(network: Network) -> np.ndarray:
    """Weights of a single network in the order of `loss_and_gradient`."""
    return np.concatenate(
        [
            np.asarray(leaf).ravel()
            for layer in network.layers
            for leaf in (layer.weight, layer.bias)
        ]
    )


def solve_step(curvature, gradient, damping, tolerance, iterations, shape):
    """A damped step in one go: the move, the decrease that it predicts, and iterations taken."""
    begun = begin_step(gradient, shape)
    step, decrease = go_on_with_step(
        curvature, begun, gradient, damping, tolerance, iterations, shape
    )
    return step.move, decrease, step.taken
