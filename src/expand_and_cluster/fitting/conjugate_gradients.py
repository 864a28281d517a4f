"""The Gauss-Newton matrix as products, its preconditioner, and conjugate gradients on them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax import Array
from jaxtyping import Float

from expand_and_cluster.fitting.linear_solve import Solving, begin_solving, go_on_solving
from expand_and_cluster.fitting.normal_equations import pair_index
from expand_and_cluster.fitting.own_coordinates import OwnCoordinates
from expand_and_cluster.fitting.projection import ComparedRows, Frame, Point


class Curvature(NamedTuple):
    """What a product with the Gauss-Newton matrix needs, in one precision.

    Attributes:
        inputs: Uncorrelated inputs.
        slopes: Derivatives of the activations.
        features: Features of the output, one row for each: beside a skip there are as many as
            inputs, and products with a few columns read them four times as fast so.
        weights: Share of every row in the mean over samples.
        differences: How rows are compared.
        outputs: Output weights of the neurons.
        factor: Cholesky factor of the features' second moments.
        metric: What damping holds on to in every direction: moves of the weights as they are, so
            that directions of little variance move last.
    """

    inputs: Float[Array, "blocks rows directions"]
    slopes: Float[Array, "blocks rows neurons"]
    features: Float[Array, "features rows"]
    weights: Float[Array, "blocks rows"]
    differences: ComparedRows
    outputs: Float[Array, "neurons outputs"]
    factor: Float[Array, "features features"]
    metric: Float[Array, " directions"]


# Share of a block's mean diagonal that is added to it: neurons that coincide make it singular.
RIDGE = 1e-6


@partial(jax.jit, static_argnames="dtype")
def curvature_at(point: Point, frame: Frame, dtype: type) -> Curvature:
    """Arrange the matrix at a point.

    Args:
        point: Where the step is taken.
        frame: The pairs.
        dtype: Precision of the products.
    """
    outputs = point.outputs[: point.slopes.shape[-1]]
    inputs = frame.white
    if dtype == jnp.float64:
        inputs = frame.inputs @ frame.root
    size = jnp.sum(outputs**2, axis=1).astype(jnp.float32)

    def add(total: Array, part: tuple[Any, ...]) -> tuple[Array, None]:
        slopes, weights, white, differences = part
        return total + (weights * (slopes**2 @ size)) @ differences.apply(white) ** 2, None

    start = jnp.zeros(frame.root.shape[1], jnp.float32)
    mean = jax.lax.scan(add, start, _in_blocks(point, frame))[0] / len(outputs)
    variance = 1.0 / jnp.sum(frame.root**2, axis=0)
    return Curvature(
        inputs,
        point.slopes.astype(dtype),
        _all_rows(point.features).astype(dtype).T,
        frame.weights.astype(dtype),
        frame.differences,
        outputs.astype(dtype),
        point.factor.astype(dtype),
        (jnp.mean(mean) * jnp.mean(variance) / variance).astype(dtype),
    )


@partial(jax.jit, static_argnames="dtype")
def blocks_at(
    point: Point, frame: Frame, dtype: type
) -> Float[Array, "directions neurons neurons"]:
    """Preconditioner's blocks: for every direction of the inputs, neurons by neurons.

    Args:
        point: Where the step is taken.
        frame: The pairs.
        dtype: Precision of the result; sums are made in float32.
    """
    neurons = point.slopes.shape[-1]
    outputs = point.outputs[:neurons]
    one, other = np.tril_indices(neurons)

    def add(total: Array, part: tuple[Any, ...]) -> tuple[Array, None]:
        slopes, weights, white, differences = part
        rows = slopes.T
        products = rows[one] * rows[other] * weights
        return total + products @ differences.apply(white) ** 2, None

    start = jnp.zeros((len(one), frame.root.shape[1]), jnp.float32)
    moments = jax.lax.scan(add, start, _in_blocks(point, frame))[0].astype(dtype)
    mixing = (outputs @ outputs.T).astype(dtype)
    blocks = jnp.moveaxis(moments[pair_index(neurons)], -1, 0) * mixing
    mean = jnp.trace(blocks, axis1=1, axis2=2) / neurons
    least = RIDGE * jnp.maximum(mean, 1e-6 * jnp.max(mean))
    return blocks + least[:, None, None] * jnp.eye(neurons, dtype=dtype)


def _in_blocks(point: Point, frame: Frame) -> tuple[Any, ...]:
    """Slopes, weights, inputs and how rows are compared, block by block in single precision."""
    weights = frame.weights.astype(jnp.float32)
    return point.slopes.astype(jnp.float32), weights, frame.white, frame.differences


@jax.jit
def inverse_factors(
    blocks: Float[Array, "directions neurons neurons"], shift: Float[Array, " directions"]
) -> Float[Array, "directions neurons neurons"]:
    """Inverses of the blocks' Cholesky factors, with a multiple of the identity added to each."""
    identity = jnp.eye(blocks.shape[1], dtype=blocks.dtype)
    factors = jnp.linalg.cholesky(blocks + shift[:, None, None] * identity)
    return jsl.solve_triangular(factors, jnp.broadcast_to(identity, factors.shape), lower=True)


def product(
    curvature: Curvature, move: Float[Array, "neurons directions"], *, refined: bool = False
) -> Float[Array, "neurons directions"]:
    """Gauss-Newton matrix times a move of the input vectors, output weights following.

    Args:
        curvature: The matrix.
        move: What it is multiplied with.
        refined: Whether output weights are solved for once more from what is left: the ridge on the
            features then leaves nothing of moves that output weights undo.
    """
    # All rows in one product: cut into blocks, they would be copied for every one of them.
    inputs, slopes, weights, differences = jax.tree.map(
        _all_rows,
        (curvature.inputs, curvature.slopes, curvature.weights, curvature.differences),
    )
    outputs = curvature.outputs
    change = differences.apply((slopes * (inputs @ move.T)) @ outputs)
    left = _unmatched(curvature, weights, change)
    if refined:
        left = _unmatched(curvature, weights, left)
    back = differences.transpose(left * weights[:, None])
    return (slopes * (back @ outputs.T)).T @ inputs


def _unmatched(
    curvature: Curvature, weights: Float[Array, " rows"], change: Float[Array, "rows outputs"]
) -> Float[Array, "rows outputs"]:
    """What output weights do not make up for."""
    seen = curvature.features @ (weights[:, None] * change)
    followed = jsl.cho_solve((curvature.factor, True), seen)
    # Without barriers, turning is made a part of the product, which then takes longer.
    matched = jax.lax.optimization_barrier(followed.T) @ curvature.features
    return change - jax.lax.optimization_barrier(matched).T


def _all_rows(values: Array) -> Array:
    """One axis of rows instead of blocks of rows.

    Partners are counted within a block, and only pairs laid out in a single block have any.
    """
    return values.reshape(-1, *values.shape[2:])


def by_blocks(
    blocks: Float[Array, "directions neurons neurons"], move: Float[Array, "neurons directions"]
) -> Float[Array, "neurons directions"]:
    """One block for every direction of the inputs, times a move."""
    return jnp.einsum("ikl,li->ki", blocks, move)


def by_transposes(
    blocks: Float[Array, "directions neurons neurons"], move: Float[Array, "neurons directions"]
) -> Float[Array, "neurons directions"]:
    """The transposes of the blocks, times a move."""
    return jnp.einsum("ilk,li->ki", blocks, move)


# What preconditions a step: inverse Cholesky factors of damped blocks, or neurons' own coordinates.
Shape = Float[Array, "directions neurons neurons"] | OwnCoordinates


@jax.jit
def begin_step(gradient: Float[Array, "neurons directions"], shape: Shape) -> Solving:
    """The damped step before the first iteration of conjugate gradients.

    Args:
        gradient: Right-hand side, with a minus.
        shape: What preconditions it.
    """
    return begin_solving(_preconditioner(shape), -gradient)


@jax.jit
def go_on_with_step(
    curvature: Curvature,
    begun: Solving,
    gradient: Float[Array, "neurons directions"],
    damping: Float[Array, ""],
    tolerance: Float[Array, ""],
    iterations: Array,
    shape: Shape,
) -> tuple[Solving, Float[Array, ""]]:
    """The step after more iterations, and the decrease that its quadratic model predicts.

    Args:
        curvature: The matrix.
        begun: The step so far.
        gradient: As when it was begun.
        damping: What is added of the metric.
        tolerance: Residual at which to end, in the preconditioner's norm, relative to the first.
        iterations: Most iterations, those so far included.
        shape: As when it was begun.

    Returns:
        The step, and the decrease of the mean squared error (over samples and outputs).
    """

    def matrix(move: Array) -> Array:
        return product(curvature, move) + damping * curvature.metric * move

    step = go_on_solving(matrix, _preconditioner(shape), begun, tolerance, iterations)
    # move . (H + damping metric) move = move . (-gradient - left)
    damped = damping * jnp.sum(curvature.metric * step.move**2)
    decrease = -jnp.sum(gradient * step.move) + jnp.sum(step.move * step.left) + damped
    return step, decrease / curvature.outputs.shape[1]


def _preconditioner(shape: Shape) -> Callable[[Array], Array]:
    """What it makes of a vector."""
    if isinstance(shape, OwnCoordinates):
        return shape.apply
    return lambda left: by_transposes(shape, by_blocks(shape, left))
