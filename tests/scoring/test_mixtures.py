"""Comparison where neurons have activations of their own."""

import numpy as np
from tests.oracles.compare import RULES, flip_neuron

from expand_and_cluster.core.network import Network
from expand_and_cluster.scoring import compare

NAMES = ("tanh", "relu", "gelu", "sigmoid", "g", "relu")


def teacher(seed=0, inputs=3):
    rng = np.random.default_rng(seed)
    width = len(NAMES)
    return [
        (rng.normal(size=(width, inputs)), rng.normal(size=width)),
        (rng.normal(size=(2, width)), rng.normal(size=2)),
    ]


def disguised(layers, flipped, order, scales):
    """The same function: signs flipped with the affine rest as a skip, scales moved, permuted."""
    skip = (np.zeros((2, 3)), np.zeros(2))
    for neuron in flipped:
        layers, skip = flip_neuron(layers, skip, neuron, RULES[NAMES[neuron]])
    (w, b), (a, c) = layers
    w, b, a = scales[:, None] * w, scales * b, a / scales
    names = tuple(NAMES[k] for k in order)
    return Network.from_arrays([(w[order], b[order]), (a[:, order], c)], names, skip)


def test_order_signs_and_scales_are_undone_neuron_by_neuron():
    layers = teacher()
    true = Network.from_arrays(layers, NAMES)
    scales = np.where(np.array(NAMES) == "relu", [1, 2.5, 1, 1, 1, 0.3], 1.0)
    order = np.array([4, 1, 3, 0, 5, 2])
    other = disguised(layers, [0, 1, 2, 3], order, scales)
    inputs = np.random.default_rng(1).normal(size=(40, 3))
    np.testing.assert_allclose(other(inputs), true(inputs), atol=1e-13)
    found = compare(other, true)
    assert found.missing == found.excess == 0
    assert found.max_weight_error < 1e-13
    assert [n.recovered for n in found.neurons] == np.argsort(order).tolist()
    assert [n.flipped for n in found.neurons] == [True, True, True, True, False, False]


def test_neurons_of_different_activations_are_no_match():
    layers = teacher()
    true = Network.from_arrays(layers, NAMES)
    other = Network.from_arrays(layers, ("sigmoid", *NAMES[1:]))
    found = compare(other, true)
    assert (found.missing, found.excess) == (1, 1)
    assert found.max_weight_error == np.inf
    assert found.neurons[0].recovered is None


def test_a_network_of_one_activation_is_compared_with_a_mixture():
    layers = teacher()
    true = Network.from_arrays(layers, NAMES)
    found = compare(Network.from_arrays(layers, "relu"), true)
    assert (found.missing, found.excess) == (4, 4)
    assert [n.recovered for n in found.neurons[:6]] == [None, 1, None, None, None, 5]
