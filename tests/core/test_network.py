"""Shapes, refusals and values of networks."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.held import hold
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import double

NUMPY = {
    "g": lambda z: np.logaddexp(z, 0) + 1 / (1 + np.exp(-4 * z)),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softplus": lambda z: np.logaddexp(z, 0),
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "gelu": lambda z: 0.5 * z * (1 + erf(z / np.sqrt(2))),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "mish": lambda z: z * np.tanh(np.logaddexp(z, 0)),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(z)),
    "elu": lambda z: np.where(z > 0, z, np.expm1(z)),
}


def arrays(widths=(3, 5, 4, 2), seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(o, i)), rng.normal(size=o)) for i, o in itertools.pairwise(widths)]


def by_hand(layers, activation, inputs, skip=None):
    values = inputs
    for weight, bias in layers[:-1]:
        values = NUMPY[activation](values @ weight.T + bias)
    values = values @ layers[-1][0].T + layers[-1][1]
    return values if skip is None else values + inputs @ skip[0].T + skip[1]


INPUTS = np.random.default_rng(1).normal(size=(50, 3))
SKIP = arrays((3, 2), seed=4)[0]


@pytest.mark.parametrize("skip", [None, SKIP])
@pytest.mark.parametrize("activation", NUMPY)
def test_calls_are_what_numpy_gives(activation, skip):
    network = Network.from_arrays(arrays(), activation, skip)
    got = network(INPUTS)
    assert isinstance(got, np.ndarray)
    assert got.dtype == np.float64
    # Double precision: a few roundings of sums of at most five terms.
    expected = by_hand(arrays(), activation, INPUTS, skip)
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-14)


def test_shapes():
    network = Network.from_arrays(arrays(), "tanh")
    assert network.widths == (3, 5, 4, 2)
    assert network.hidden_widths == (5, 4)
    assert (network.input_size, network.output_size) == (3, 2)
    assert network.parameter_count == 3 * 5 + 5 + 5 * 4 + 4 + 4 * 2 + 2
    assert network.students is None
    (w1, b1), (w2, _), _ = arrays()
    np.testing.assert_array_equal(network.input_vectors, np.column_stack([w1, b1]))
    np.testing.assert_array_equal(network.output_vectors, w2.T)
    assert network(np.zeros((0, 3))).shape == (0, 2)


def test_an_ensemble_is_its_students():
    singles = [Network.from_arrays(arrays(seed=s), "g", SKIP) for s in range(4)]
    ensemble = Network.stack(singles)
    assert ensemble.students == 4
    assert ensemble.widths == singles[0].widths
    assert ensemble.parameter_count == singles[0].parameter_count
    assert ensemble.input_vectors.shape == (4, 5, 4)
    assert ensemble.output_vectors.shape == (4, 5, 4)
    outputs = ensemble(INPUTS)
    assert outputs.shape == (4, 50, 2)
    for i, single in enumerate(singles):
        # Batched products may sum in another order: a few roundings.
        np.testing.assert_allclose(outputs[i], single(INPUTS), rtol=1e-13, atol=1e-14)
        taken = ensemble.student(i)
        assert taken.students is None
        np.testing.assert_array_equal(taken.input_vectors, single.input_vectors)
        np.testing.assert_array_equal(taken.output_vectors, single.output_vectors)
        np.testing.assert_array_equal(taken(INPUTS), single(INPUTS))


def test_double_precision_stays_local():
    assert not jax.config.read("jax_enable_x64")
    network = Network.from_arrays(arrays(), "sigmoid")
    assert network(INPUTS.astype(np.float32)).dtype == np.float64
    assert not jax.config.read("jax_enable_x64")
    assert jnp.ones(1).dtype == jnp.float32
    assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(network))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(network))


def test_apply_runs_inside_compiled_programs():
    network = Network.from_arrays(arrays(), "tanh", SKIP)
    with double():
        got = jax.jit(lambda n, x: n.apply(x))(network, jnp.asarray(INPUTS))
        gradient = jax.grad(lambda n: jnp.sum(n.apply(jnp.asarray(INPUTS)) ** 2))(network)
    np.testing.assert_allclose(np.asarray(got), network(INPUTS), rtol=1e-13, atol=1e-14)
    assert gradient.widths == network.widths


def test_lists_and_whole_numbers_are_taken():
    network = Network.from_arrays([([[1, 2]], [0]), ([[3]], [1])], "relu")
    np.testing.assert_array_equal(network([[1, 1], [-1, 0]]), [[10.0], [1.0]])


def test_arrays_are_copied():
    given = arrays()
    network = Network.from_arrays(given, "tanh")
    before = network(INPUTS)
    given[0][0][:] = 0.0
    np.testing.assert_array_equal(network(INPUTS), before)


def test_replace_and_at_rest():
    network = Network.from_arrays(arrays(), "tanh")
    other = network.replace(skip=Layer(*SKIP))
    assert network.skip is None
    np.testing.assert_allclose(other(INPUTS) - network(INPUTS), INPUTS @ SKIP[0].T + SKIP[1])
    with double():
        moved = jax.tree.map(jnp.asarray, network)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(moved.at_rest()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.skip = None  # pyright: ignore[reportAttributeAccessIssue]


W, B = np.ones((4, 3)), np.ones(4)
LAST = (np.ones((2, 4)), np.ones(2))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("layers", "skip", "words"),
    [
        ([], None, "at least two layers"),
        ([(W, B)], None, "got 1"),
        ([(W.T, B), LAST], None, "layer 0"),
        ([(W, B), (np.ones((2, 5)), np.ones(2))], None, "layer 1 takes 5 inputs"),
        ([(W, B), (np.ones((2, 4)), np.ones(3))], None, "layer 1"),
        ([(W[0], B), LAST], None, "layer 0"),
        ([(W[None], B[None]), LAST], None, "layer 0"),
        ([(np.ones((0, 3)), np.ones(0)), (np.ones((2, 0)), np.ones(2))], None, "layer 0"),
        ([(W * np.nan, B), LAST], None, "NaN"),
        ([(W, B * np.inf), LAST], None, "infinity"),
        ([([[1.0, 2.0], [3.0]], [0.0, 0.0]), LAST], None, "layer 0"),
        ([([["a", "b"]], [0.0]), LAST], None, "layer 0"),
        ([(W * 1j, B), LAST], None, "layer 0"),
        ([(W,), LAST], None, "layer 0"),
        ([(W, B), LAST], (np.ones((2, 4)), np.ones(2)), "skip"),
        ([(W, B), LAST], (np.ones((2, 3)), np.ones(3)), "skip"),
        ([(W, B), LAST], (np.full((2, 3), np.nan), np.ones(2)), "skip"),
    ],
)
def test_from_arrays_refuses(layers, skip, words):
    with pytest.raises(InvalidInputError, match=words):
        Network.from_arrays(layers, "tanh", skip)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("inputs", [np.ones(3), np.ones((4, 2)), np.ones((1, 4, 3)), 1.0])
def test_call_refuses_other_shapes(inputs):
    with pytest.raises(InvalidInputError, match=r"inputs must be \(samples, 3\)"):
        Network.from_arrays(arrays(), "tanh")(inputs)


def test_stack_refuses():
    one = Network.from_arrays(arrays(), "tanh")
    with pytest.raises(InvalidInputError, match="empty"):
        Network.stack([])
    with pytest.raises(InvalidInputError, match="widths"):
        Network.stack([one, Network.from_arrays(arrays((3, 4, 4, 2)), "tanh")])
    with pytest.raises(InvalidInputError, match="activation"):
        Network.stack([one, Network.from_arrays(arrays(), "relu")])
    with pytest.raises(InvalidInputError, match="skip"):
        Network.stack([one, Network.from_arrays(arrays(), "tanh", SKIP)])
    with pytest.raises(InvalidInputError, match="single"):
        Network.stack([Network.stack([one, one]), Network.stack([one, one])])
    with pytest.raises(InvalidInputError, match="single network"):
        one.student(0)


def test_held_inputs_are_answered_as_at_their_values():
    network = Network.from_arrays(arrays(), "tanh")
    inputs = np.random.default_rng(1).normal(size=(6, 3))
    held, values = np.array([False, True, False]), np.array([9.0, -0.7, 9.0])
    resting = inputs.copy()
    resting[:, 1] = values[1]
    still = hold(network, held, values)
    assert not still.layers[0].weight[:, 1].any()
    # Whatever the held input is, and as the network answers where it rests.
    np.testing.assert_allclose(still(inputs), network(resting), atol=1e-14)
    assert not np.allclose(network(inputs), network(resting))
