"""Whether pairs hold all weights of a deep network, against the covariance of a dense Jacobian."""

import numpy as np
import pytest
from tests.oracles.deep import dense

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.teachers.synthetic import synthetic_deep
from expand_and_cluster.teachers.untrained import untrained
from expand_and_cluster.verdict import deep_conditioning
from expand_and_cluster.verdict.deep_conditioning import (
    Analyst,
    DeepConditioning,
    analyse_deep_conditioning,
)

ROWS = np.random.default_rng(0).normal(size=(2000, 4))


def pairs(network: Network) -> TrainingData:
    return TrainingData(ROWS, network(ROWS))


@pytest.mark.parametrize("activation", ["g", "tanh"])
def test_amplification_is_the_root_of_the_covariance(activation: str):
    network = synthetic_deep((4, 3, 2, 2), seed=0, activation=activation)
    found = analyse_deep_conditioning(network, pairs(network))
    given = [np.column_stack([layer.weight, layer.bias]) for layer in network.layers]
    rows = max(256, 8 * network.parameter_count // 2)
    _, jacobian = dense(given, ROWS[:rows], activation)
    flat = jacobian.reshape(2 * rows, -1)
    wanted = np.sqrt(np.diag(np.linalg.inv(flat.T @ flat)))
    np.testing.assert_allclose(
        np.concatenate([part.ravel() for part in found.amplification]), wanted, rtol=1e-6
    )
    assert Analyst().all_held(network, pairs(network))


def test_of_a_network_too_large_to_analyse_nothing_is_held(monkeypatch: pytest.MonkeyPatch):
    network = synthetic_deep((4, 3, 2, 2), seed=0)
    monkeypatch.setattr(deep_conditioning, "MOST_WEIGHTS", network.parameter_count - 1)
    found = analyse_deep_conditioning(network, pairs(network))
    assert found.smallest == 0.0
    assert not found.holds_all
    assert [part.shape for part in found.amplification] == [(3, 5), (2, 4), (2, 3)]


def with_copy(network: Network, layer: int) -> Network:
    """The same function with a neuron split in two."""
    own, above = network.layers[layer], network.layers[layer + 1]
    layers = list(network.layers)
    layers[layer] = Layer(np.vstack([own.weight, own.weight[:1]]), np.append(own.bias, own.bias[0]))
    split = np.column_stack([0.4 * above.weight[:, :1], above.weight[:, 1:], above.weight[:, :1]])
    split[:, -1] *= 0.6
    layers[layer + 1] = Layer(split, above.bias)
    return network.replace(layers=tuple(layers))


@pytest.mark.parametrize("activation", ["g", "tanh", "relu"])
@pytest.mark.parametrize("layer", [0, 1])
def test_a_neuron_to_spare_is_seen(activation: str, layer: int):
    network = untrained((4, 4, 3, 1), activation, seed=1)
    wider = with_copy(network, layer)
    np.testing.assert_allclose(wider(ROWS), network(ROWS), atol=1e-12)
    assert not Analyst().all_held(wider, pairs(wider))


def test_a_free_scale_is_no_uncertainty():
    network = untrained((4, 3, 3, 1), "relu", seed=5)
    assert Analyst().all_held(network, pairs(network))


def test_fewer_pairs_than_weights_hold_nothing():
    network = synthetic_deep((4, 3, 2, 1), seed=0)
    few = TrainingData(ROWS[:20], network(ROWS[:20]))
    assert not Analyst().all_held(network, few)


def test_a_network_is_analysed_once_until_another_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    asked = []

    def count(network: Network, data: TrainingData) -> DeepConditioning:
        asked.append(network)
        return analyse_deep_conditioning(network, data)

    monkeypatch.setattr(deep_conditioning, "analyse_deep_conditioning", count)
    one, other = (untrained((4, 4, 3, 2), "tanh", seed) for seed in (0, 1))
    data, more = pairs(one), pairs(other)
    analyst = Analyst()
    first = analyst.analyse(one, data)
    assert analyst.all_held(one, data) == first.holds_all
    assert analyst.analyse(one, data) is first
    assert len(asked) == 1
    analyst.analyse(one, more)
    analyst.analyse(other, more)
    analyst.analyse(one, data)
    assert len(asked) == 4
