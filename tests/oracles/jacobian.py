"""The residuals of a one-hidden-layer network and their dense Jacobian, taken by JAX.

Written from the formula of the network alone; shares no code with the library.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

FUNCTIONS = {
    "g": lambda z: jnp.log1p(jnp.exp(z)) + 1.0 / (1.0 + jnp.exp(-4.0 * z)),
    "tanh": jnp.tanh,
    "sigmoid": lambda z: 1.0 / (1.0 + jnp.exp(-z)),
    "softplus": lambda z: jnp.log1p(jnp.exp(z)),
    "relu": lambda z: jnp.where(z > 0, z, 0.0),
    "gelu": lambda z: 0.5 * z * jax.scipy.special.erfc(-z / np.sqrt(2.0)),
}


def flatten(vectors, outputs, constants):
    """One vector of weights: input vectors row by row, then output weights, then constants."""
    return np.concatenate([np.ravel(vectors), np.ravel(outputs), np.ravel(constants)])


def unflatten(flat, neurons, inputs, outputs, features):
    """The arrays of `flatten`."""
    first, second = neurons * inputs, neurons * (inputs + outputs)
    return (
        flat[:first].reshape(neurons, inputs),
        flat[first:second].reshape(outputs, neurons),
        flat[second:].reshape(outputs, features),
    )


def residuals(flat, shape, x, targets, activation, *, skip, present):
    """Output minus target, sample by sample, all outputs of a sample together.

    `shape` is (neurons, inputs with bias, outputs, constant features).
    """
    vectors, weights, constants = unflatten(flat, *shape)
    ones = jnp.ones((len(x), 1))
    extended = jnp.concatenate([x, ones], axis=1)
    hidden = FUNCTIONS[activation](extended @ vectors.T) * present
    fixed = extended if skip else ones
    return (hidden @ weights.T + fixed @ constants.T - targets).ravel()


@partial(jax.jit, static_argnames=("shape", "activation", "skip"))
def _both(flat, x, targets, present, *, shape, activation, skip):
    def values(weights):
        return residuals(weights, shape, x, targets, activation, skip=skip, present=present)

    return values(flat), jax.jacfwd(values)(flat)


def dense(flat, shape, x, targets, activation, *, skip=False, present=None, free=None):
    """Residuals and Jacobian as NumPy arrays; columns of weights that may not move are zero."""
    neurons, inputs = shape[:2]
    there = np.ones(neurons) if present is None else np.asarray(present, float)
    with jax.enable_x64(True):
        how = {"shape": tuple(shape), "activation": activation, "skip": skip}
        error, jacobian = map(np.array, _both(flat, x, targets, there, **how))
    if free is not None:
        held = np.repeat(~np.asarray(free, bool), inputs)
        jacobian[:, : neurons * inputs][:, held] = 0.0
    return error, jacobian
