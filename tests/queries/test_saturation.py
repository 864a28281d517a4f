"""First layers read off steps far out, against the networks' own."""

import numpy as np
import pytest

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.network import Network
from expand_and_cluster.queries.bend_domain import Domain
from expand_and_cluster.queries.limit import Limit, SpentError
from expand_and_cluster.queries.saturation import FirstLayer, saturates
from expand_and_cluster.teachers.untrained import untrained


def read(network, seed=0, most=100_000, center=0.0):
    rng = np.random.default_rng(seed)
    limit = Limit(network, most)
    domain = Domain.of(lambda n: center + rng.normal(size=(n, network.input_size)), rng)
    vectors = FirstLayer(limit.ask, domain, network.activation).read()
    return vectors, limit.asked


@pytest.mark.parametrize(
    ("name", "does"),
    [("tanh", True), ("sigmoid", True), ("relu", False), ("g", False), ("gelu", False)],
)
def test_which_activations_saturate(name, does):
    assert saturates(resolve(name)) is does


@pytest.mark.parametrize(
    ("widths", "name"),
    [((6, 7, 5, 1), "tanh"), ((6, 7, 5, 1), "sigmoid"), ((8, 5, 4, 4, 2), "tanh")],
)
def test_the_first_layer_of_a_deep_network_is_read(widths, name):
    network = untrained(widths, name, seed=1)
    vectors, asked = read(network)
    assert len(vectors) == widths[1]
    assert asked < 20_000
    first = network.layers[0]
    true = np.column_stack([first.weight, first.bias])
    taken = []
    for vector in vectors:
        either = np.array([[np.abs(s * vector - row)[:-1].max() for s in (1, -1)] for row in true])
        index, sign = np.unravel_index(np.argmin(either), either.shape)
        taken.append(int(index))
        assert either[index, sign] < 0.02 * np.linalg.norm(true[index, :-1])
        assert abs((1, -1)[sign] * vector[-1] - true[index, -1]) < 1.0
    assert sorted(taken) == list(range(widths[1]))


def test_a_domain_away_from_zero_is_no_matter():
    network = untrained((6, 4, 3, 1), "tanh", seed=0)
    shifted = Network.from_arrays(
        [
            (
                network.layers[0].weight,
                network.layers[0].bias - network.layers[0].weight.sum(1) * 5,
            ),
            *((layer.weight, layer.bias) for layer in network.layers[1:]),
        ],
        "tanh",
    )
    vectors, _ = read(shifted, center=5.0)
    assert len(vectors) == 4


def test_a_function_without_steps_has_no_neurons():
    vectors, _ = read(
        Network.from_arrays([(np.eye(3), np.zeros(3)), (np.zeros((1, 3)), [1.0])], "tanh")
    )
    assert vectors.shape == (0, 4)


def test_a_budget_is_kept():
    network = untrained((6, 7, 5, 1), "tanh", seed=1)
    with pytest.raises(SpentError):
        read(network, most=500)
