"""The Gauss-Newton matrix of a network of any depth as products, and a step of conjugate gradients.

What every layer is fed and the slopes of its activations are computed once for a point; a product
then takes one pass up (how outputs change with a move of the weights) and one down.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.fitting.deep_equations import (
    DeepData,
    DeepParameters,
    Passed,
    forward,
)
from expand_and_cluster.fitting.linear_solve import inner, solve_by_conjugate_gradients

# Share of the mean diagonal that is added for the last layer's least squares, and passes of these.
LITTLE, REFINED = 1e-12, 3


class DeepPoint(NamedTuple):
    """A network on all pairs, in blocks of rows.

    Attributes:
        fed: What every layer above the first is fed, ones appended.
        slopes: Derivatives of every hidden layer's activations.
        loss: Squared error summed over outputs, mean over samples.
        gradient: Half the gradient of the loss.
    """

    fed: tuple[Float[Array, "blocks rows _"], ...]
    slopes: tuple[Float[Array, "blocks rows _"], ...]
    loss: Float[Array, ""]
    gradient: DeepParameters


def all_here(parameters: DeepParameters) -> tuple[Array, ...]:
    """Every neuron takes part."""
    return tuple(jnp.ones(len(vectors)) for vectors in parameters.hidden)


def solve_outputs(
    parameters: DeepParameters, data: DeepData, activation: Activation
) -> tuple[DeepParameters, DeepPoint]:
    """The weights with the last layer solved for by least squares, and everything there.

    In the precision of the data.

    A neuron that hardly moves the outputs can be lengthened while the last layer reads it by less:
    a valley that is straight once the last layer follows (Golub & Pereyra 1973).
    """
    through = _passed(parameters, data, activation)
    last, weights = through.values[-1], data.weights[..., None]
    gram = jnp.einsum("brn,brm->nm", last * weights, last)
    size = len(gram)
    factor = cho_factor(gram + LITTLE * jnp.trace(gram) / size * jnp.eye(size, dtype=gram.dtype))
    outputs = parameters.outputs
    # Each pass regains digits that the Gram matrix lost; what nothing determines stays.
    for _ in range(REFINED):
        left = (data.targets - last @ outputs.T) * weights
        outputs = outputs + cho_solve(factor, jnp.einsum("brn,bro->no", last, left)).T
    solved = parameters._replace(outputs=outputs)
    return solved, _measured(solved, data, through)


def _passed(parameters: DeepParameters, data: DeepData, activation: Activation) -> Passed:
    """What every layer above the first is fed, and the slopes, in blocks of rows."""

    def block(_: None, inputs: Array) -> tuple[None, Passed]:
        through = forward(parameters, all_here(parameters), activation, inputs)
        return None, Passed(through.values[1:], through.slopes)

    return jax.lax.scan(block, None, data.inputs)[1]


def _measured(parameters: DeepParameters, data: DeepData, through: Passed) -> DeepPoint:
    """Loss and gradient."""

    def block(
        total: tuple[Array, DeepParameters],
        part: tuple[DeepData, tuple[Array, ...], tuple[Array, ...]],
    ) -> tuple[tuple[Array, DeepParameters], None]:
        pairs, above, slopes = part
        error = above[-1] @ parameters.outputs.T - pairs.targets
        weighted = pairs.weights[:, None] * error
        loss, gradient = total
        add = _down(parameters, (pairs.inputs, *above), slopes, weighted)
        return (loss + jnp.sum(weighted * error), jax.tree.map(jnp.add, gradient, add)), None

    start = (jnp.zeros((), data.inputs.dtype), jax.tree.map(jnp.zeros_like, parameters))
    loss, gradient = jax.lax.scan(block, start, (data, through.values, through.slopes))[0]
    return DeepPoint(through.values, through.slopes, loss, gradient)


def solve_deep_step(
    parameters: DeepParameters,
    point: DeepPoint,
    data: DeepData,
    precondition: Callable[[DeepParameters], DeepParameters],
    damping: Float[Array, ""],
    tolerance: Float[Array, ""],
    iterations: Array,
) -> tuple[DeepParameters, Float[Array, ""], Array]:
    """The damped Gauss-Newton step by conjugate gradients.

    Args:
        parameters: Weights at the point.
        point: The network there.
        data: All pairs.
        precondition: An approximation of the damped matrix's inverse.
        damping: Added to the matrix's diagonal.
        tolerance: Residual at which to end, relative to the first, in the preconditioner's norm.
        iterations: Most iterations.

    Returns:
        The move, the decrease of the loss that the quadratic model predicts, and the iterations
        taken.
    """

    def matrix(move: DeepParameters) -> DeepParameters:
        def block(
            total: DeepParameters, part: tuple[DeepData, tuple[Array, ...], tuple[Array, ...]]
        ) -> tuple[DeepParameters, None]:
            pairs, above, slopes = part
            fed = (pairs.inputs, *above)
            change = _up(parameters, move, fed, slopes) * pairs.weights[:, None]
            return jax.tree.map(jnp.add, total, _down(parameters, fed, slopes, change)), None

        start = jax.tree.map(lambda each: damping * each, move)
        return jax.lax.scan(block, start, (data, point.fed, point.slopes))[0]

    right = jax.tree.map(jnp.negative, point.gradient)
    move, left, taken = solve_by_conjugate_gradients(
        matrix, precondition, right, tolerance, iterations
    )
    # With A move = right - left: the decrease of the loss is 2 right.move - move.H.move.
    predicted = inner(right, move) + inner(left, move) + damping * inner(move, move)
    return move, predicted, taken


def _up(
    parameters: DeepParameters,
    move: DeepParameters,
    fed: tuple[Array, ...],
    slopes: tuple[Array, ...],
) -> Float[Array, "rows outputs"]:
    """How the outputs change with a move of the weights."""
    change = fed[0] @ move.hidden[0].T
    above = (*parameters.hidden[1:], parameters.outputs)
    moved = (*move.hidden[1:], move.outputs)
    for vectors, step, values, slope in zip(above, moved, fed[1:], slopes, strict=True):
        change = (slope * change) @ vectors[:, :-1].T + values @ step.T
    return change


def _down(
    parameters: DeepParameters,
    fed: tuple[Array, ...],
    slopes: tuple[Array, ...],
    change: Float[Array, "rows outputs"],
) -> DeepParameters:
    """The transpose of `_up`."""
    parts = [change.T @ fed[-1]]
    vectors = parameters.outputs
    for place in range(len(slopes) - 1, -1, -1):
        change = (change @ vectors[:, :-1]) * slopes[place]
        parts.append(change.T @ fed[place])
        vectors = parameters.hidden[place]
    return DeepParameters(tuple(parts[:0:-1]), parts[0])
