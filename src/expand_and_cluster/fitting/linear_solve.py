"""Conjugate gradients with a preconditioner, on arrays or pytrees of arrays."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

Move = TypeVar("Move")


def inner(one: Move, other: Move) -> Float[Array, ""]:
    """Scalar product."""
    products = jax.tree.map(lambda a, b: jnp.sum(a * b), one, other)
    return jax.tree.reduce(jnp.add, products)


def solve_by_conjugate_gradients(
    matrix: Callable[[Move], Move],
    precondition: Callable[[Move], Move],
    right: Move,
    tolerance: Float[Array, ""],
    iterations: Array,
) -> tuple[Move, Move, Array]:
    """The solution of `matrix(x) = right`, what is left of `right`, and iterations taken.

    Args:
        matrix: Symmetric and positive definite.
        precondition: An approximation of its inverse, symmetric and positive definite.
        right: The right-hand side.
        tolerance: Residual at which to end, in the preconditioner's norm, relative to the first.
        iterations: Most iterations.
    """

    def plus(one: Move, share: Array, other: Move) -> Move:
        return jax.tree.map(lambda a, b: a + share * b, one, other)

    def proceed(state):  # noqa: ANN001, ANN202 - a while_loop carry
        _, _, _, size, taken = state
        return (taken < iterations) & (size > tolerance**2 * first)

    def advance(state):  # noqa: ANN001, ANN202 - a while_loop carry
        move, left, direction, size, taken = state
        image = matrix(direction)
        length = size / inner(direction, image)
        move, left = plus(move, length, direction), plus(left, -length, image)
        shaped = precondition(left)
        new = inner(left, shaped)
        return move, left, plus(shaped, new / size, direction), new, taken + 1

    shaped = precondition(right)
    first = inner(right, shaped)
    start = (jax.tree.map(jnp.zeros_like, right), right, shaped, first, jnp.asarray(0))
    move, left, _, _, taken = jax.lax.while_loop(proceed, advance, start)
    return move, left, taken
