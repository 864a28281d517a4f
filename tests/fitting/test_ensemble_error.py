import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fitting.problems import ensemble, imitation

from expand_and_cluster.core.activations import catalogue, resolve
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting.ensemble_error import errors_and_gradients, mean_squared_errors
from expand_and_cluster.fitting.squared_error import in_blocks


def students_of(widths, activation, *, skip=False, count=3):
    """An ensemble, with random skips if asked for."""
    rng = np.random.default_rng(7)
    networks = [ensemble(widths, count).student(i) for i in range(count)]
    shape = (widths[-1], widths[0])
    return Network.stack(
        [
            Network.from_arrays(
                [(layer.weight, layer.bias) for layer in network.layers],
                activation,
                skip=(rng.normal(size=shape), rng.normal(size=shape[0])) if skip else None,
            )
            for network in networks
        ]
    )


def one_by_one(students, inputs, targets):
    """JAX's own gradient through `Network.apply`, student by student."""

    def error(network):
        return jnp.mean((network.apply(jnp.asarray(inputs)) - targets) ** 2)

    both = jax.jit(jax.value_and_grad(error))
    results = [
        both(jax.tree.map(jnp.asarray, students.student(i))) for i in range(students.students)
    ]
    return np.array([error for error, _ in results]), Network.stack([g for _, g in results])


def assert_same(students, inputs, targets):
    with double():
        errors, gradients = jax.jit(errors_and_gradients)(students, inputs, targets)
        expected_errors, expected = one_by_one(students, inputs, targets)
        np.testing.assert_allclose(errors, expected_errors, rtol=1e-13)
        found, wanted = jax.tree.leaves(gradients), jax.tree.leaves(expected)
        assert len(found) == len(wanted)
        for ours, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("activation", list(catalogue))
def test_the_gradient_of_every_activation_is_that_of_each_student_alone(activation):
    inputs, targets = imitation((5, 3, 2), 40)
    assert_same(students_of((5, 7, 2), activation), inputs, targets)


def test_an_activation_of_the_users_own():
    inputs, targets = imitation((5, 3, 2), 40)
    sine = resolve(lambda z: jnp.sin(z) + 0.3 * z)
    assert_same(students_of((5, 7, 2), sine), inputs, targets)


@pytest.mark.parametrize("widths", [(5, 7, 2), (5, 6, 4, 2), (5, 1, 2)])
@pytest.mark.parametrize("count", [1, 3])
def test_more_layers_skips_and_single_students(widths, count):
    inputs, targets = imitation((5, 3, 2), 40)
    assert_same(students_of(widths, "gelu", skip=True, count=count), inputs, targets)


def test_a_student_without_finite_error_leaves_the_gradients_of_others_alone():
    inputs, targets = imitation((5, 3, 2), 40)
    students = students_of((5, 7, 2), "tanh")
    spoiled = jax.tree.map(np.copy, students)
    spoiled.layers[1].weight[1] = np.inf
    with double():
        _, healthy = jax.jit(errors_and_gradients)(students, inputs, targets)
        errors, gradients = jax.jit(errors_and_gradients)(spoiled, inputs, targets)
    assert not np.isfinite(errors[1])
    for ours, theirs in zip(jax.tree.leaves(gradients), jax.tree.leaves(healthy), strict=True):
        np.testing.assert_array_equal(ours[::2], theirs[::2])


@pytest.mark.parametrize("rows", [16, 100, 1000])
def test_the_error_over_blocks_is_that_over_all_samples(rows):
    inputs, targets = imitation((5, 3, 2), 130)
    students = students_of((5, 7, 2), "g", skip=True)
    expected = np.mean((students(inputs) - targets) ** 2, axis=(1, 2))
    with double():
        data = in_blocks(inputs, targets, dtype=np.float64, rows=rows)
        np.testing.assert_allclose(mean_squared_errors(students, data), expected, rtol=1e-12)
