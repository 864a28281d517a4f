"""Normal equations of a network with any number of hidden layers, summed block by block.

The Jacobian is never kept: for each block of samples it is written out layer by layer (the slope
of an output in a neuron's pre-activation, times what the neuron is fed), multiplied with itself
and added up. It is written out by a compiled program and multiplied by NumPy's BLAS, which in
double precision is several times as fast as XLA's products (`benchmarks/deep_equations.py`). The
last layer's weights enter linearly, with one block shared by all outputs, and are eliminated as for
one hidden layer.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax import Array
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Layer, Matrix, Network
from expand_and_cluster.core.precision import placed

# Entries of the Jacobian that are written out at once: 64 MiB.
BLOCK_ENTRIES = 1 << 23


class DeepParameters(NamedTuple):
    """Weights of a network, biases as the last column.

    Attributes:
        hidden: Input vectors of every hidden layer.
        outputs: Weights of the last layer.
    """

    hidden: tuple[Float[Array, "_ _"], ...]
    outputs: Float[Array, "outputs features"]


# For every hidden layer, 1 for neurons that take part and 0 for others.
Present = tuple[Float[Matrix, " _"], ...]


class DeepData(NamedTuple):
    """Pairs in blocks of equal size; rows that fill the last one up have weight zero.

    Attributes:
        inputs: Inputs with a column of ones.
        targets: Outputs to be matched.
        weights: Share of every row in the mean over samples.
        known: What the first layer's neurons take in besides, if anything.
    """

    inputs: Float[Array, "blocks rows inputs_and_bias"]
    targets: Float[Array, "blocks rows outputs"]
    weights: Float[Array, "blocks rows"]
    known: Float[Array, "blocks rows neurons"] | None = None


class DeepEquations(NamedTuple):
    """Gram blocks and gradient of half the summed squares over samples, per sample.

    Attributes:
        hidden_gram: Weights of all hidden layers among themselves, summed over outputs.
        cross_gram: Output features with these weights, for every output.
        feature_gram: Output features among themselves.
        hidden_gradient: Gradient in the weights of the hidden layers.
        feature_gradient: Gradient in the weights of the last layer.
        loss: Squared error summed over outputs, mean over samples.
    """

    hidden_gram: Float[Array, "weights weights"]
    cross_gram: Float[Array, "outputs features weights"]
    feature_gram: Float[Array, "features features"]
    hidden_gradient: Float[Array, " weights"]
    feature_gradient: Float[Array, "features outputs"]
    loss: Float[Array, ""]


def deep_parameters(network: Network) -> DeepParameters:
    """Arrange a network's weights for the solver; call inside double precision."""
    joined = [
        placed(np.concatenate([layer.weight, layer.bias[:, None]], axis=1))
        for layer in network.layers
    ]
    return DeepParameters(tuple(joined[:-1]), joined[-1])


def deep_network(parameters: DeepParameters, like: Network) -> Network:
    """The network with these weights."""
    joined = [np.asarray(part) for part in (*parameters.hidden, parameters.outputs)]
    return like.replace(layers=tuple(Layer(part[:, :-1], part[:, -1]) for part in joined))


def lay_out(
    inputs: Float[np.ndarray, "samples inputs"],
    targets: Float[np.ndarray, "samples outputs"],
    weights: int,
    known: Float[np.ndarray, "samples neurons"] | None = None,
) -> DeepData:
    """Pairs in blocks whose Jacobian is of moderate size; call inside double precision.

    Args:
        inputs: Inputs.
        targets: Targets.
        weights: Number of weights of the hidden layers.
        known: What the first layer's neurons take in besides, if anything.
    """
    samples, outputs = targets.shape
    most = max(64, BLOCK_ENTRIES // (weights * outputs))
    blocks = -(-samples // most)
    rows = -(-samples // blocks)

    def laid(values: np.ndarray) -> Array:
        filled = np.zeros((blocks * rows, *values.shape[1:]))
        filled[:samples] = values
        return placed(filled.reshape(blocks, rows, *values.shape[1:]))

    extended = np.concatenate([inputs, np.ones((samples, 1))], axis=1)
    return DeepData(
        laid(extended),
        laid(targets),
        laid(np.full(samples, 1.0 / samples)),
        None if known is None else laid(known),
    )


class Passed(NamedTuple):
    """One block of samples on its way through the hidden layers.

    Attributes:
        values: What every layer is fed, ones appended; the last are the output features.
        slopes: Derivatives of every hidden layer's activations.
    """

    values: tuple[Float[Array, "rows _"], ...]
    slopes: tuple[Float[Array, "rows _"], ...]


def forward(
    parameters: DeepParameters,
    present: Present,
    activation: Activation,
    inputs: Array,
    known: Array | None = None,
) -> Passed:
    """Activations and slopes of one block; `known` is what the first layer takes in besides."""
    values, slopes = [inputs], []
    ones = inputs[:, -1:]
    for vectors, here in zip(parameters.hidden, present, strict=True):
        pre = values[-1] @ vectors.T
        if known is not None and not slopes:
            pre = pre + known
        active = activation.function(pre) * here
        slopes.append(activation.derivative(pre) * here)
        values.append(jnp.concatenate([active, ones], axis=1))
    return Passed(tuple(values), tuple(slopes))


def backward(
    parameters: DeepParameters, passed: Passed
) -> tuple[Float[Array, "rows outputs _"], ...]:
    """Slope of every output in every hidden pre-activation."""
    slopes = passed.slopes
    deltas = [parameters.outputs[None, :, :-1] * slopes[-1][:, None, :]]
    for vectors, slope in zip(parameters.hidden[:0:-1], slopes[-2::-1], strict=True):
        deltas.append((deltas[-1] @ vectors[:, :-1]) * slope[:, None, :])
    return tuple(deltas[::-1])


def jacobian_rows(
    parameters: DeepParameters, passed: Passed
) -> Float[Array, "rows outputs weights"]:
    """Derivative of every output in every weight of the hidden layers."""
    parts = [
        (delta[:, :, :, None] * values[:, None, None, :]).reshape(*delta.shape[:2], -1)
        for delta, values in zip(backward(parameters, passed), passed.values, strict=False)
    ]
    return jnp.concatenate(parts, axis=2)


@partial(jax.jit, static_argnames="activation")
def written_out(
    parameters: DeepParameters, present: Present, part: DeepData, activation: Activation
) -> tuple[
    Float[Array, "rows features"],
    Float[Array, "rows outputs weights"],
    Float[Array, "rows outputs"],
]:
    """Output features, Jacobian and error of a block, rows scaled by the roots of their shares."""
    passed = forward(parameters, present, activation, part.inputs, part.known)
    root = jnp.sqrt(part.weights)
    error = (passed.values[-1] @ parameters.outputs.T - part.targets) * root[:, None]
    rows = jacobian_rows(parameters, passed) * root[:, None, None]
    return passed.values[-1] * root[:, None], rows, error


def _terms(
    parameters: DeepParameters, masks: Present, part: DeepData, activation: Activation
) -> list[np.ndarray]:
    """What one block adds, in the order of `DeepEquations`."""
    written: Any = written_out(parameters, masks, part, activation)
    features, rows, error = map(np.asarray, written)
    flat = rows.reshape(-1, rows.shape[-1])
    return [
        # Of a matrix times its own transpose NumPy computes one half.
        flat.T @ flat,
        np.matmul(features.T, np.swapaxes(rows, 0, 1)),
        features.T @ features,
        error.reshape(-1) @ flat,
        features.T @ error,
        np.array(np.sum(error**2)),
    ]


@dataclass(frozen=True)
class DeepModel:
    """Loss, normal equations and step of a network with any number of hidden layers.

    Attributes:
        activation: Activation of the hidden neurons.
        ridge: Added to the output features' diagonal, relative to its mean.
    """

    activation: Activation
    ridge: float

    def loss(self, parameters: DeepParameters, masks: Present, data: DeepData) -> Array:
        """Squared error summed over outputs, mean over samples."""

        def block(part: DeepData) -> Array:
            passed = forward(parameters, masks, self.activation, part.inputs, part.known)
            error = passed.values[-1] @ parameters.outputs.T - part.targets
            return jnp.sum(part.weights[:, None] * error**2)

        return jnp.sum(jax.lax.map(block, data))

    def assemble(self, parameters: DeepParameters, masks: Present, data: DeepData) -> DeepEquations:
        """Gram blocks and gradient at these weights; not within a compiled program."""
        parts = [
            jax.tree.map(lambda values, block=block: values[block], data)
            for block in range(len(data.targets))
        ]
        total = _terms(parameters, masks, parts[0], self.activation)
        for part in parts[1:]:
            more = _terms(parameters, masks, part, self.activation)
            for whole, term in zip(total, more, strict=True):
                whole += term
        return DeepEquations(*map(jnp.asarray, total))

    def solve(
        self, parameters: DeepParameters, equations: DeepEquations, damping: Array
    ) -> tuple[DeepParameters, Array]:
        """Damped Gauss-Newton step, the last layer eliminated first; and the predicted decrease."""
        block, cross = equations.feature_gram, equations.cross_gram
        outputs, size, weights = cross.shape
        extra = damping + self.ridge * jnp.trace(block) / size
        factor = jnp.linalg.cholesky(block + extra * jnp.eye(size))
        triangular = partial(jsl.solve_triangular, factor, lower=True)
        half = jax.vmap(triangular)(cross).reshape(outputs * size, weights)
        shifted = jsl.cho_solve((factor, True), equations.feature_gradient)
        right = equations.hidden_gradient - jnp.einsum("ofp,fo->p", cross, shifted)
        reduced = equations.hidden_gram - half.T @ half
        upper = jnp.linalg.cholesky(reduced + damping * jnp.eye(weights))
        step = -jsl.cho_solve((upper, True), right)
        pulled = equations.feature_gradient + jnp.einsum("ofp,p->fo", cross, step)
        linear = -jsl.cho_solve((factor, True), pulled)
        descent = step @ equations.hidden_gradient + jnp.sum(linear * equations.feature_gradient)
        predicted = -descent + damping * (step @ step) + extra * jnp.sum(linear**2)
        moved, at = [], 0
        for vectors in parameters.hidden:
            moved.append(vectors + step[at : at + vectors.size].reshape(vectors.shape))
            at += vectors.size
        return DeepParameters(tuple(moved), parameters.outputs + linear.T), predicted
