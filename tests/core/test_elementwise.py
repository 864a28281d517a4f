"""Functions of NumPy numbers go through blocks of two sizes, whatever their shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expand_and_cluster.core.activation import mixture
from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.elementwise import FEW, MANY, elementwise
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import double


@pytest.mark.parametrize(
    "shape", [(), (0, 3), (1,), (FEW,), (FEW + 1,), (7, 5, 3), (MANY + 1,), (2, MANY + FEW)]
)
def test_numbers_of_any_shape(shape: tuple[int, ...]):
    numbers = np.random.default_rng(0).normal(size=shape)
    found = elementwise(jnp.arctan, numbers)
    assert found.shape == shape
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.arctan(numbers), rtol=1e-15)


def test_numbers_that_do_not_lie_in_order():
    numbers = np.random.default_rng(0).normal(size=(4, 6)).T[::2]
    np.testing.assert_allclose(elementwise(jnp.sinh, numbers), np.sinh(numbers), rtol=1e-14)


def test_neurons_of_a_mixture_keep_their_kinds():
    kinds = [resolve(name) for name in ("tanh", "relu", "tanh", "softplus")]
    pre = np.random.default_rng(0).normal(size=(3, 5, 4))
    both = mixture(kinds)
    for k, kind in enumerate(kinds):
        np.testing.assert_array_equal(both.values(pre)[..., k], kind.values(pre[..., k]))
        np.testing.assert_array_equal(both.slopes(pre)[..., k], kind.slopes(pre[..., k]))


@pytest.mark.parametrize("activation", ["g", ["tanh", "relu", "gelu"]])
def test_networks_answer_as_their_compiled_form_does(activation):
    rng = np.random.default_rng(1)
    layers = [(rng.normal(size=(3, 2)), rng.normal(size=3)), (rng.normal(size=(2, 3)), np.ones(2))]
    one = Network.from_arrays(layers, activation, (rng.normal(size=(2, 2)), np.ones(2)))
    students = Network.stack([one, one.replace(skip=Layer(np.eye(2), np.zeros(2)))])
    rows = rng.normal(size=(FEW, 2))
    with double():
        whole = np.asarray(jax.vmap(lambda each: each.apply(jnp.asarray(rows)))(students))
    np.testing.assert_allclose(students(rows), whole, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(one(rows), whole[0], rtol=1e-13, atol=1e-13)


def test_weights_beyond_all_bounds_answer_without_a_warning():
    layers = [(np.full((1, 1), 1e300), np.zeros(1)), (np.full((1, 1), 1e300), np.zeros(1))]
    answers = Network.from_arrays(layers, "relu")(np.array([[1e10], [-1.0]]))
    np.testing.assert_array_equal(answers, [[np.inf], [0.0]])
