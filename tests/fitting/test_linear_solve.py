"""Conjugate gradients against a direct solver."""

import jax.numpy as jnp
import numpy as np

from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting.linear_solve import inner, solve_by_conjugate_gradients

MOST = jnp.asarray(100)


def test_a_system_is_solved_as_a_direct_solver_does():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(12, 12))
    matrix, right = root @ root.T + np.eye(12), rng.normal(size=12)
    with double():
        solved, left, taken = solve_by_conjugate_gradients(
            lambda x: matrix @ x,
            lambda x: x,
            jnp.asarray(right),
            jnp.asarray(1e-13),
            jnp.asarray(100),
        )
    np.testing.assert_allclose(solved, np.linalg.solve(matrix, right), rtol=1e-9)
    np.testing.assert_allclose(left, right - matrix @ np.asarray(solved), atol=1e-9)
    assert int(taken) <= 30


def test_the_inverse_as_preconditioner_needs_one_iteration():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(8, 8))
    matrix, right = root @ root.T + np.eye(8), rng.normal(size=8)
    inverse = np.linalg.inv(matrix)
    with double():
        _, _, taken = solve_by_conjugate_gradients(
            lambda x: matrix @ x,
            lambda x: inverse @ x,
            jnp.asarray(right),
            jnp.asarray(1e-6),
            jnp.asarray(100),
        )
    assert int(taken) == 1


def test_pytrees_are_one_long_vector():
    one, other = (jnp.ones(3), jnp.full((2, 2), 2.0)), (jnp.arange(3.0), jnp.ones((2, 2)))
    assert float(inner(one, other)) == 3.0 + 8.0
    solved, _, _ = solve_by_conjugate_gradients(
        lambda x: (2.0 * x[0], 4.0 * x[1]), lambda x: x, one, jnp.asarray(1e-6), MOST
    )
    np.testing.assert_allclose(solved[0], 0.5, rtol=1e-5)
    np.testing.assert_allclose(solved[1], 0.5, rtol=1e-5)
