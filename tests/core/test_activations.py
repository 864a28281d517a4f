"""Derivatives, names, and activations of the user's own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expand_and_cluster.core.activations import Activation, catalogue, resolve
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.precision import double

# Away from the corner of the piecewise functions, by more than the difference step.
POINTS = np.concatenate([np.linspace(-7.03, 7.01, 141), [-40.0, -1e-3, 1e-3, 40.0]])


def values(function, z):
    with double():
        return np.asarray(function(jnp.asarray(z)))


def shifted_softsign(z):
    return jax.nn.soft_sign(z + 0.3)


@pytest.mark.parametrize(
    "activation", [*catalogue.values(), resolve(shifted_softsign)], ids=lambda a: a.name
)
def test_derivative_by_finite_differences(activation):
    # Fourth-order differences: error about step**4 and 1e-16 / step.
    step = 2e-4
    near, far = ([values(activation, POINTS + s * k * step) for s in (1, -1)] for k in (1, 2))
    expected = (8 * (near[0] - near[1]) - (far[0] - far[1])) / (12 * step)
    np.testing.assert_allclose(values(activation.derivative, POINTS), expected, atol=5e-11)


@pytest.mark.parametrize("name", catalogue)
def test_derivative_is_that_of_jax(name):
    activation = catalogue[name]
    with double():
        z = jnp.asarray(POINTS)
        expected = jax.vmap(jax.grad(lambda x: activation.function(x)))(z)
    np.testing.assert_allclose(values(activation.derivative, POINTS), expected, atol=1e-14)


@pytest.mark.parametrize("name", catalogue)
def test_no_overflow_far_out(name):
    far = np.array([-1e4, -800.0, 0.0, 800.0, 1e4])
    assert np.all(np.isfinite(values(catalogue[name], far)))
    assert np.all(np.isfinite(values(catalogue[name].derivative, far)))
    assert values(catalogue[name], far).dtype == np.float64
    assert values(catalogue[name].derivative, far).dtype == np.float64


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("g", np.log1p(np.e) + 1 / (1 + np.exp(-4))),
        ("tanh", np.tanh(1)),
        ("sigmoid", 1 / (1 + np.exp(-1))),
        ("softplus", np.log1p(np.e)),
        ("relu", 1.0),
        ("leaky_relu", 1.0),
        ("gelu", 0.8413447460685429),
        ("silu", 1 / (1 + np.exp(-1))),
        ("mish", np.tanh(np.log1p(np.e))),
        ("selu", 1.0507009873554805),
        ("elu", 1.0),
    ],
)
def test_value_at_one(name, expected):
    assert values(catalogue[name], np.array([1.0]))[0] == pytest.approx(expected, rel=1e-15)


def test_names_resolve_to_the_catalogue():
    for name, activation in catalogue.items():
        assert activation.name == name
        assert resolve(name) is activation
        assert resolve(activation) is activation


def test_equal_and_hashable():
    one, two = resolve(shifted_softsign), resolve(shifted_softsign)
    assert one == two
    assert hash(one) == hash(two)
    assert one.name == "shifted_softsign"
    assert len(set(catalogue.values())) == len(catalogue)
    assert isinstance(one, Activation)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.name = "other"  # pyright: ignore[reportAttributeAccessIssue]


def test_the_catalogue_cannot_be_changed():
    with pytest.raises(TypeError):
        catalogue["tanh"] = catalogue["relu"]  # pyright: ignore[reportIndexIssue]


def test_a_users_function_works_in_compiled_programs():
    activation = resolve(shifted_softsign)
    with double():
        got = jax.jit(lambda z: activation(z) * activation.derivative(z))(jnp.asarray(POINTS))
    size = np.abs(POINTS + 0.3) + 1
    np.testing.assert_allclose(got, (POINTS + 0.3) / size**3, rtol=1e-13)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("swish", "choose one of g, tanh"),
        ("", "catalogue"),
        (3, "int"),
        (None, "NoneType"),
        (lambda: 1.0, "failed"),
        (lambda z: z @ z, "elementwise"),
        (lambda z: jnp.tanh(z) if z > 0 else z, "jax.numpy"),
        (np.tanh, "jax.numpy"),
        (lambda z: "text", "jax.numpy"),
        (lambda z: jnp.where(z > 0, z * jnp.log(z), 0.0), "derivative is not finite at z = -"),
    ],
)
def test_refuses(given, words):
    with pytest.raises(InvalidInputError, match=words):
        resolve(given)
