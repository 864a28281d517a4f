"""Which activations a layer may mix, and one form for equal mixtures."""

from itertools import combinations

import numpy as np
import pytest

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.reduce import reduce
from expand_and_cluster.symmetries.canonical import canonical
from expand_and_cluster.symmetries.classify import classify
from expand_and_cluster.symmetries.mixtures import check_kinds

# Pairs of the catalogue of which one is made of the other, worked out by hand:
# g(z) + g(-z) = 2 softplus(z) - z + 1 and g(z) - g(-z) = z + tanh(2 z).
MADE = {("tanh", "sigmoid"), ("relu", "leaky_relu"), ("g", "tanh"), ("g", "sigmoid")}
MADE |= {("g", "softplus")}


def refused(names):
    try:
        check_kinds([catalogue[name] for name in names])
    except InvalidInputError:
        return True
    return False


def test_pairs_that_are_refused():
    found = {pair for pair in combinations(catalogue, 2) if refused(pair)}
    assert {frozenset(pair) for pair in found} == {frozenset(pair) for pair in MADE}


@pytest.mark.parametrize("names", [("relu", "elu", "selu"), ("leaky_relu", "selu", "elu")])
def test_three_of_which_one_is_made_of_two(names):
    # selu(z) = scale ((1 - alpha) relu(z) + alpha elu(z))
    with pytest.raises(InvalidInputError, match="no answer tells which"):
        check_kinds([catalogue[name] for name in names])


def test_one_activation_is_no_mixture():
    check_kinds([catalogue["tanh"]])
    check_kinds([])


def mixed(order=(0, 1, 2, 3), signs=(1, 1, 1, 1), scales=(1, 1, 1, 1)):
    names = np.array(["relu", "tanh", "g", "tanh"])
    rng = np.random.default_rng(3)
    w, b, a, c = (rng.normal(size=shape) for shape in ((4, 2), 4, (3, 4), 3))
    factor = np.array(signs) * np.array(scales)
    w, b, a = factor[:, None] * w, factor * b, a / factor
    order = list(order)
    return Network.from_arrays([(w[order], b[order]), (a[:, order], c)], names[order].tolist())


def test_equal_mixtures_have_one_form():
    one = canonical(mixed())
    other = canonical(mixed((2, 3, 0, 1), (1, -1, 1, -1), (0.4, 1, 1, 1)))
    assert one.activation == other.activation
    assert one.activation.name == "g,relu,tanh,tanh"
    np.testing.assert_allclose(one.input_vectors, other.input_vectors, atol=1e-15)
    np.testing.assert_allclose(one.output_vectors, other.output_vectors, atol=1e-15)
    inputs = np.random.default_rng(0).normal(size=(30, 2))
    np.testing.assert_allclose(one(inputs), mixed()(inputs), atol=1e-14)
    np.testing.assert_array_equal(canonical(one).input_vectors, one.input_vectors)


@pytest.mark.parametrize("tool", [classify, reduce])
def test_types_of_a_mixture_are_refused(tool):
    inputs = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(InvalidInputError, match=r"several activations \(relu, tanh, g\)"):
        tool(mixed(), inputs)
