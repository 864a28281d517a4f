"""Layers whose neurons have activations of their own."""

import jax.numpy as jnp
import numpy as np
import pytest

from expand_and_cluster.core.activation import mixture
from expand_and_cluster.core.activations import catalogue, resolve
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.files import load_network
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double

NAMES = ("tanh", "relu", "tanh", "silu")


def layers(width=4, inputs=3, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(size=(width, inputs)), rng.normal(size=width)),
        (rng.normal(size=(2, width)), rng.normal(size=2)),
    ]


def neuron_by_neuron(pairs, names, inputs):
    """The network's outputs, one neuron after the other."""
    (w, b), (a, c) = pairs
    total = np.tile(c, (len(inputs), 1))
    for k, name in enumerate(names):
        total += np.outer(catalogue[name].values(inputs @ w[k] + b[k]), a[:, k])
    return total


def test_every_neuron_has_its_own_activation():
    pairs = layers()
    inputs = np.random.default_rng(1).normal(size=(50, 3))
    expected = neuron_by_neuron(pairs, NAMES, inputs)
    for given in (NAMES, list(NAMES), "tanh,relu,tanh,silu", "tanh, relu, tanh, silu"):
        network = Network.from_arrays(pairs, given)
        np.testing.assert_allclose(network(inputs), expected, atol=1e-14)
        assert network.activation == resolve(NAMES)
        assert hash(network.activation) == hash(resolve(NAMES))
    assert network.activation.name == "tanh,relu,tanh,silu"


@pytest.mark.parametrize("width", [1, 4, 7])
def test_kinds_take_turns_along_either_axis(width):
    activation = resolve(NAMES)
    z = np.random.default_rng(2).normal(size=(5, width))
    kinds = [catalogue[NAMES[k % 4]] for k in range(width)]
    with double():
        for part in ("function", "derivative"):
            columns = [
                np.asarray(getattr(kind, part)(jnp.asarray(z[:, k])))
                for k, kind in enumerate(kinds)
            ]
            expected = np.stack(columns, axis=1)
            along_last = getattr(activation, part)(jnp.asarray(z))
            along_rows = getattr(activation.by_rows(), part)(jnp.asarray(z.T))
            np.testing.assert_allclose(np.asarray(along_last), expected, atol=1e-16)
            np.testing.assert_allclose(np.asarray(along_rows), expected.T, atol=1e-16)


def test_neurons_of_one_kind_are_no_mixture():
    assert resolve(("tanh", "tanh")) is catalogue["tanh"]
    assert resolve(NAMES).only([0, 2]) is catalogue["tanh"]
    assert resolve(NAMES).only([3, 1]).name == "silu,relu"
    assert catalogue["tanh"].only([1, 0]) is catalogue["tanh"]


def test_symmetries_are_those_of_each_neuron():
    flips, degrees = resolve((*NAMES, "g")).flips(5), resolve((*NAMES, "g")).degrees(5)
    np.testing.assert_array_equal(flips.possible, [True, True, True, True, False])
    np.testing.assert_array_equal(flips.sign, [-1, 1, -1, 1, 1])
    np.testing.assert_array_equal(flips.linear, [0, -1, 0, -1, 0])
    np.testing.assert_array_equal(degrees, [np.nan, 1, np.nan, np.nan, np.nan])
    assert resolve(NAMES).leaves_line
    assert not resolve(("tanh", "g")).leaves_line


def test_places_are_the_first_of_each_kind():
    tanh, relu = catalogue["tanh"], catalogue["relu"]
    pattern = mixture([tanh, relu, relu])
    np.testing.assert_array_equal(pattern.places([relu, relu, tanh, relu, tanh]), [1, 2, 0, 4, 3])
    np.testing.assert_array_equal(tanh.places([tanh, tanh, tanh]), [0, 1, 2])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("tanh", "relu"), "names 2 activations, .* hidden layers have 4 neurons"),
        (("tanh", "sine"), "must hold names of the catalogue"),
        (("tanh", np.tanh), "must hold names of the catalogue"),
        ((), "must hold names of the catalogue"),
        ("tanh,sine", "is not in the catalogue"),
        (("auto", "tanh"), "must hold names of the catalogue"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_mixture_is_refused(given, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        Network.from_arrays(layers(), given)


def test_several_hidden_layers_are_refused():
    rng = np.random.default_rng(0)
    deep = [(rng.normal(size=(o, i)), rng.normal(size=o)) for i, o in ((3, 2), (2, 2), (2, 1))]
    with pytest.raises(InvalidInputError, match="one hidden layer"):
        Network.from_arrays(deep, ("tanh", "relu"))


def test_a_file_holds_the_activation_of_every_neuron(tmp_path):
    network = Network.from_arrays(layers(), NAMES)
    network.save(tmp_path / "n.safetensors")
    back = load_network(tmp_path / "n.safetensors")
    assert back.activation == network.activation
    np.testing.assert_array_equal(back.input_vectors, network.input_vectors)
    assert load_network(tmp_path / "n.safetensors", NAMES).activation == network.activation
    with pytest.raises(InvalidInputError, match="leave it out"):
        load_network(tmp_path / "n.safetensors", ("tanh", "relu", "silu", "tanh"))
