"""Conjugate gradients with a preconditioner, on arrays or pytrees of arrays."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

Move = TypeVar("Move")


class Solving(NamedTuple):
    """Conjugate gradients after some iterations.

    Attributes:
        move: The solution so far.
        left: What it leaves of the right-hand side.
        direction: Of the next iteration.
        size: Square of what is left, in the preconditioner's norm.
        first: The same of the right-hand side.
        taken: Iterations so far.
    """

    move: Any
    left: Any
    direction: Any
    size: Float[Array, ""]
    first: Float[Array, ""]
    taken: Int[Array, ""]


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
    begun = begin_solving(precondition, right)
    solved = go_on_solving(matrix, precondition, begun, tolerance, iterations)
    return solved.move, solved.left, solved.taken


def begin_solving(precondition: Callable[[Move], Move], right: Move) -> Solving:
    """Before the first iteration (see `solve_by_conjugate_gradients`)."""
    shaped = precondition(right)
    first = inner(right, shaped)
    nothing = jax.tree.map(jnp.zeros_like, right)
    return Solving(nothing, right, shaped, first, first, jnp.asarray(0))


def go_on_solving(
    matrix: Callable[[Move], Move],
    precondition: Callable[[Move], Move],
    begun: Solving,
    tolerance: Float[Array, ""],
    iterations: Array,
) -> Solving:
    """After more iterations, until there are so many or the tolerance is met."""

    def plus(one: Move, share: Array, other: Move) -> Move:
        return jax.tree.map(lambda a, b: a + share * b, one, other)

    def proceed(state: Solving) -> Array:
        return (state.taken < iterations) & (state.size > tolerance**2 * state.first)

    def advance(state: Solving) -> Solving:
        image = matrix(state.direction)
        length = state.size / inner(state.direction, image)
        move = plus(state.move, length, state.direction)
        left = plus(state.left, -length, image)
        shaped = precondition(left)
        size = inner(left, shaped)
        direction = plus(shaped, size / state.size, state.direction)
        return Solving(move, left, direction, size, state.first, state.taken + 1)

    return jax.lax.while_loop(proceed, advance, begun)
