"""The neuron that a network lacks, told from what it leaves."""

from itertools import pairwise

import numpy as np
import pytest

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.fitting.deep_gauss_newton import (
    DeepGaussNewton,
    DeepGaussNewtonSettings,
)
from expand_and_cluster.fitting.deep_pairs import DeepPairs
from expand_and_cluster.reconstruction import missing_evidence
from expand_and_cluster.reconstruction.missing_neurons import find_again, find_missing
from expand_and_cluster.reconstruction.one_neuron import (
    MissingNeuron,
    with_neuron,
    without_neuron,
)


def a_network(widths: tuple[int, ...], activation: str, seed: int) -> Network:
    rng = np.random.default_rng(seed)
    layers = [
        (1.5 * rng.normal(size=(above, below)) / np.sqrt(below), 0.3 * rng.normal(size=above))
        for below, above in pairwise(widths)
    ]
    return Network.from_arrays(layers, activation)


def weakened(network: Network, layer: int, neuron: int, share: float) -> Network:
    """One neuron moves the layer above by a share of what it did."""
    layers = list(network.layers)
    weight = layers[layer + 1].weight.copy()
    weight[:, neuron] *= share
    layers[layer + 1] = Layer(weight, layers[layer + 1].bias)
    return network.replace(layers=tuple(layers))


def polished(network: Network, pairs: DeepPairs) -> DeepGaussNewton:
    descent = DeepGaussNewton(network, pairs, DeepGaussNewtonSettings(steps=40, progress=1e-3))
    list(descent.run())
    return descent


@pytest.mark.parametrize(
    ("layer", "activation"),
    [
        pytest.param(0, "tanh", marks=pytest.mark.slow),
        (2, "tanh"),
        pytest.param(1, "tanh", marks=pytest.mark.slow),
        pytest.param(0, "g", marks=pytest.mark.slow),
        pytest.param(1, "g", marks=pytest.mark.slow),
        pytest.param(2, "g", marks=pytest.mark.slow),
    ],
)
def test_a_neuron_that_was_taken_out_is_told_in_every_layer(layer: int, activation: str):
    teacher = weakened(a_network((6, 5, 5, 5, 3), activation, 4), layer, 2, 0.02)
    inputs = np.random.default_rng(0).normal(size=(3000, 6))
    pairs = DeepPairs(inputs, teacher(inputs))
    lacking = polished(without_neuron(teacher, layer, 2), pairs)
    found = find_missing(lacking.network(), pairs, np.random.default_rng(1))
    assert found is not None
    assert found.layer == layer
    assert found.share > 0.6
    whole = polished(with_neuron(lacking.network(), found), pairs)
    assert whole.network().hidden_widths == teacher.hidden_widths
    assert whole.loss < 0.1 * lacking.loss


def test_noise_is_no_neuron():
    teacher = a_network((6, 5, 5, 3), "tanh", 4)
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(3000, 6))
    pairs = DeepPairs(inputs, teacher(inputs) + 1e-3 * rng.normal(size=(3000, 3)))
    found = find_missing(polished(teacher, pairs).network(), pairs, np.random.default_rng(1))
    assert found is not None
    assert found.share < 0.05


def test_a_network_of_too_many_weights_is_not_looked_at(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(missing_evidence, "MOST", 10)
    teacher = a_network((6, 5, 5, 3), "tanh", 4)
    inputs = np.random.default_rng(0).normal(size=(100, 6))
    pairs = DeepPairs(inputs, teacher(inputs))
    assert find_missing(teacher, pairs, np.random.default_rng(1)) is None


def test_a_neuron_that_is_off_everywhere_explains_nothing():
    teacher = a_network((6, 5, 5, 3), "relu", 4)
    inputs = np.random.default_rng(0).normal(size=(600, 6))
    pairs = DeepPairs(inputs, teacher(inputs) + 0.1)
    evidence = missing_evidence.gather_evidence(teacher, pairs)
    assert evidence is not None
    vectors = np.array([[0.0] * 6 + [-1.0], [1.0] * 6 + [0.0]])
    shares = missing_evidence.screened(vectors, evidence[0], teacher.activation)
    assert float(shares[0]) == 0.0
    assert np.all(np.isfinite(shares))


def test_a_neuron_joins_as_the_last_of_its_layer():
    teacher = a_network((3, 4, 2), "tanh", 0)
    vector, above = np.arange(4.0), np.array([0.5, -2.0])
    more = with_neuron(teacher, MissingNeuron(0, vector, above, 1.0))
    inputs = np.random.default_rng(0).normal(size=(50, 3))
    given = np.tanh(inputs @ vector[:3] + vector[3])
    np.testing.assert_allclose(more(inputs), teacher(inputs) + given[:, None] * above, atol=1e-12)


def test_a_neuron_in_an_exponential_tail_is_moved_to_the_bias_it_has():
    """Far below zero softplus is exponential: a bias and how it is read make up for each other."""
    rng = np.random.default_rng(3)
    first = rng.normal(size=(5, 6)) / np.sqrt(6)
    teacher = Network.from_arrays(
        [
            (first, np.array([0.5, -0.5, 0.2, 0.8, -2.5])),
            (rng.normal(size=(3, 5)), rng.normal(size=3)),
        ],
        "softplus",
    )
    inputs = rng.normal(size=(3000, 6))
    pairs = DeepPairs(inputs, teacher(inputs))
    own, above = teacher.layers
    shift = 5.0
    tail = Layer(own.weight, own.bias - shift * np.eye(5)[4])
    reads = Layer(above.weight * np.exp(shift * np.eye(5)[4]), above.bias)
    moved = polished(teacher.replace(layers=(tail, reads)), pairs).network()
    again = find_again(moved, pairs, 0, 4)
    assert again is not None
    assert again.hidden_widths == (5,)
    # Biases are tried in steps of a quarter, then followed in single precision; polishing is left.
    np.testing.assert_allclose(again.layers[0].bias[-1], -2.5, atol=0.2)
    np.testing.assert_allclose(again.layers[0].weight[:-1], moved.layers[0].weight[:-1])
    assert find_again(teacher, pairs, 0, 4) is None
