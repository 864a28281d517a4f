"""Outputs and Jacobian of a network of any depth, by JAX from the formula alone.

Shares no code with the library.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from tests.oracles.jacobian import FUNCTIONS


def flatten(matrices):
    """One vector of weights, layer by layer; every matrix has its biases as the last column."""
    return np.concatenate([np.ravel(matrix) for matrix in matrices])


def outputs(flat, shapes, x, activation):
    """Outputs (samples, outputs) of the network with these weights."""
    values, at = x, 0
    for place, shape in enumerate(shapes):
        matrix = flat[at : at + shape[0] * shape[1]].reshape(shape)
        at += shape[0] * shape[1]
        values = jnp.concatenate([values, jnp.ones((len(x), 1))], axis=1) @ matrix.T
        if place < len(shapes) - 1:
            values = FUNCTIONS[activation](values)
    return values


@partial(jax.jit, static_argnames=("shapes", "activation"))
def _both(flat, rows, *, shapes, activation):
    def values(weights):
        return outputs(weights, shapes, rows, activation)

    return values(flat), jax.jacfwd(values)(flat)


def dense(matrices, x, activation):
    """Outputs and their derivatives in all weights, (samples, outputs, weights)."""
    shapes = tuple(matrix.shape for matrix in matrices)
    with jax.enable_x64(True):
        found = _both(flatten(matrices), x, shapes=shapes, activation=activation)
        return tuple(map(np.asarray, found))
