"""Weights beside a subspace, against those of the network that answered."""

import numpy as np
import pytest

from expand_and_cluster.core.network import Layer
from expand_and_cluster.reconstruction.deep_completion import complete_layers
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.teachers.untrained import untrained

WIDTHS = (20, 4, 3, 2)


def off_by(size, rows, name="g"):
    """A network, the same with its first layer off beside four known directions, and pairs."""
    rng = np.random.default_rng(0)
    network = untrained(WIDTHS, name, seed=1)
    first = network.layers[0]
    known = np.linalg.svd(first.weight + size * rng.normal(size=(4, 20)))[2][:4].T
    seen = first.weight @ known @ known.T
    start = network.replace(layers=(Layer(seen, first.bias), *network.layers[1:]))
    inputs = 0.7 + rng.normal(size=(rows, 20))
    outputs = network(inputs)
    standard = Standardisation.fit(inputs, outputs)
    pairs = TrainingData(standard.inputs(inputs), standard.targets(outputs))
    half = rows // 2
    training = TrainingData(pairs.inputs[:half], pairs.targets[:half])
    held_out = TrainingData(pairs.inputs[half:], pairs.targets[half:])
    return network, complete_layers(start, training, held_out, standard, known=known)


@pytest.mark.parametrize("name", ["g", "tanh", "relu"])
def test_small_weights_beside_the_subspace_are_found(name):
    network, found = off_by(1e-4, 1000, name)
    assert compare(found.network, network).max_weight_error < 1e-11
    assert found.fitted
    assert found.held_out < 10.0 * found.floor
    assert found.loose < 1e-10


def test_too_few_pairs_leave_weights_loose():
    _, found = off_by(1e-4, 50)
    assert found.loose == np.inf


def test_the_error_of_other_weights_stays():
    network, found = off_by(1e-4, 1000)
    wrong = found.network.layers[1].weight.copy()
    wrong[0, 0] += 1e-3
    layers = (found.network.layers[0], Layer(wrong, found.network.layers[1].bias))
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(600, 20))
    standard = Standardisation.fit(inputs, network(inputs))
    pairs = TrainingData(standard.inputs(inputs), standard.targets(network(inputs)))
    again = complete_layers(
        network.replace(layers=(*layers, network.layers[2])),
        pairs.first(500),
        TrainingData(pairs.inputs[500:], pairs.targets[500:]),
        standard,
        known=np.linalg.svd(network.layers[0].weight)[2][:4].T,
    )
    assert not again.fitted
    assert again.held_out > 1e-5
