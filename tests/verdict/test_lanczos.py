"""Bounds without the Jacobian against the Jacobian."""

import numpy as np
import pytest
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.progress import Progress
from expand_and_cluster.core.symmetry import Symmetry
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.verdict import conditioning, lanczos
from expand_and_cluster.verdict.conditioning import LOOSE, analyse_conditioning, is_held
from expand_and_cluster.verdict.lanczos import bound_amplification

SAMPLES = 300


def bounded(network, inputs):
    return bound_amplification(network, TrainingData(inputs, network(inputs)))


@pytest.fixture
def without_matrix(monkeypatch):
    """Every network counts as large."""
    monkeypatch.setattr(conditioning, "MOST_DENSE", 0)


def held(network, inputs):
    return is_held(network, TrainingData(inputs, network(inputs)))


def with_neuron(source, weight, bias, output=0.5):
    """The network with one more neuron."""
    first, last = source.layers
    extra = np.full((len(last.bias), 1), output)
    return Network.from_arrays(
        [
            (np.vstack([first.weight, weight]), np.append(first.bias, bias)),
            (np.hstack([last.weight, extra]), last.bias),
        ],
        source.activation,
    )


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", ["g", "tanh"])
def test_bound_lies_above_every_amplification(activation, outputs, skip):
    network = teacher((3, 3, outputs), activation)
    if skip:
        rng = np.random.default_rng(0)
        network = network.replace(skip=Layer(rng.normal(size=(outputs, 3)), np.zeros(outputs)))
    inputs = gaussian(SAMPLES, 3)
    data = TrainingData(inputs, network(inputs))
    exact = analyse_conditioning(network, data)
    smallest, bound = bound_amplification(network, data)
    assert bound.shape == exact.amplification.shape
    assert np.all(bound >= exact.amplification)
    # No weight is called loose that is held: the bound is of use.
    assert bound.max() < 1e3 * exact.amplification.max()
    assert 0.0 < smallest < 1.0


@pytest.mark.usefixtures("without_matrix")
def test_iterations_are_reported():
    network = teacher((3, 3, 2), "g")
    inputs = gaussian(SAMPLES, 3)
    reports: list[Progress] = []
    analyse_conditioning(network, TrainingData(inputs, network(inputs)), report=reports.append)
    assert {report.stage for report in reports} == {"see how firmly weights are held"}
    assert [report.done for report in reports] == list(range(len(reports)))
    assert len(reports) >= 3
    assert {report.total for report in reports} == {12}  # three neurons of four weights


def test_bound_knows_the_units_of_the_inputs():
    network = teacher((3, 3, 2), "tanh")
    inputs = gaussian(SAMPLES, 3)
    stretch = np.array([1.0, 1e-3, 50.0])
    first, last = network.layers
    stretched = Network.from_arrays(
        [(first.weight / stretch, first.bias), (last.weight, last.bias)], "tanh"
    )
    data = TrainingData(inputs * stretch, network(inputs))
    _, bound = bound_amplification(stretched, data)
    exact = analyse_conditioning(stretched, data).amplification
    assert np.all(bound >= exact)
    assert np.all(bound < 1e3 * exact)


@pytest.mark.parametrize("output", [1e12, 1e30, 1e200])
def test_neurons_that_cancel_are_not_held_where_their_products_overflow(output: float):
    network, inputs = teacher((3, 3, 2), "sigmoid"), gaussian(SAMPLES, 3)
    weight, bias = network.layers[0].weight[0], network.layers[0].bias[0]
    pair = with_neuron(with_neuron(network, 1.01 * weight, bias, output), weight, bias, -output)
    smallest, bound = bounded(pair, inputs)
    assert smallest == 0.0
    assert np.all(np.isinf(bound))


def test_same_answer_twice():
    network, inputs = teacher((3, 3, 2), "g"), gaussian(SAMPLES, 3)
    first, second = bounded(network, inputs), bounded(network, inputs)
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.usefixtures("without_matrix")
def test_large_networks_are_judged_by_the_bound():
    network, inputs = teacher((3, 3, 1), "g"), gaussian(SAMPLES, 3)
    found = analyse_conditioning(network, TrainingData(inputs, network(inputs)))
    smallest, bound = bounded(network, inputs)
    assert found.smallest == smallest
    np.testing.assert_array_equal(found.amplification, bound)
    assert held(network, inputs)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_free_scale_is_no_uncertainty(activation):
    network = teacher((3, 3, 1), activation)
    inputs = gaussian(600, 3)
    exact = analyse_conditioning(network, TrainingData(inputs, network(inputs)))
    smallest, bound = bounded(network, inputs)
    assert smallest > 1e-3
    assert bound.max() < 1e3 * exact.amplification.max()
    # The scales are fixed in another way there, which moves single weights; not the whole vector.
    assert np.all(np.linalg.norm(bound, axis=1) > np.linalg.norm(exact.amplification, axis=1))
    # Without the symmetry the same network is loose.
    blind = Activation(
        activation, network.activation.function, network.activation.derivative, Symmetry()
    )
    assert bounded(Network(network.layers, blind), inputs)[0] < 1e-6


def test_input_that_never_varies_is_not_held_while_the_others_are():
    network = teacher((3, 3, 1), "g")
    inputs = gaussian(SAMPLES, 3)
    inputs[:, 1] = 0.0
    smallest, bound = bounded(network, inputs)
    assert np.all(np.isinf(bound[:, 1]))
    assert np.all(bound[:, [0, 2, 3]] < LOOSE)
    assert smallest > 1e-6


@pytest.mark.usefixtures("without_matrix")
@pytest.mark.parametrize("activation", ["g", "tanh", "relu"])
def test_duplicate_neuron_is_not_held(activation):
    network = teacher((3, 3, 1), activation)
    first, last = network.layers
    rows, share = [0, 1, 2, 0], np.array([0.4, 1.0, 1.0, 0.6])
    doubled = Network.from_arrays(
        [(first.weight[rows], first.bias[rows]), (share * last.weight[:, rows], last.bias)],
        activation,
    )
    inputs = gaussian(SAMPLES, 3)
    assert held(network, inputs)
    assert not held(doubled, inputs)


@pytest.mark.usefixtures("without_matrix")
def test_neuron_without_output_weights_is_not_held():
    network, inputs = teacher((3, 3, 1), "g"), gaussian(SAMPLES, 3)
    network.layers[1].weight[0, 2] = 0.0
    assert not held(network, inputs)


@pytest.mark.usefixtures("without_matrix")
@pytest.mark.parametrize("activation", ["g", "tanh", "relu"])
def test_constant_neuron_is_not_held(activation):
    """Its bias can move, and the output bias makes up for it."""
    network = teacher((3, 3, 1), activation)
    assert not held(with_neuron(network, np.zeros(3), 1.0), gaussian(SAMPLES, 3))


@pytest.mark.usefixtures("without_matrix")
def test_off_bound_neuron_is_not_held():
    """All the data lie on one side of its hyperplane: an affine map of which much is free."""
    network = teacher((3, 3, 1), "relu")
    assert not held(with_neuron(network, np.array([0.2, -0.3, 0.1]), 9.0), gaussian(SAMPLES, 3))


@pytest.mark.usefixtures("without_matrix")
@pytest.mark.parametrize("iterations", [2, 60])
def test_too_few_pairs_hold_nothing(iterations, monkeypatch):
    monkeypatch.setattr(lanczos, "ITERATIONS", iterations)
    network = teacher((3, 3, 1), "tanh")
    # 16 weights.
    assert np.all(np.isinf(bounded(network, gaussian(15, 3))[1]))
    assert not held(network, gaussian(15, 3))
    assert np.all(np.isfinite(bounded(network, gaussian(40, 3))[1]))


@pytest.mark.usefixtures("without_matrix")
def test_copies_are_seen_however_few_the_iterations(monkeypatch):
    """In a large network the iterations end long before they find what a copy leaves free."""
    monkeypatch.setattr(lanczos, "ITERATIONS", 2)
    network, inputs = teacher((3, 3, 2), "tanh"), gaussian(SAMPLES, 3)
    first, _ = network.layers
    copied = with_neuron(network, first.weight[1], float(first.bias[1]))
    _, bound = bounded(copied, inputs)
    assert np.all(np.isinf(bound[[1, 3]]))
    assert np.all(np.isfinite(bound[[0, 2]]))
    assert held(network, inputs)
    assert not held(copied, inputs)


@pytest.mark.usefixtures("without_matrix")
def test_only_a_network_as_narrow_as_can_be_is_believed_without_its_jacobian():
    source, inputs = teacher((3, 3, 1), "g"), gaussian(SAMPLES, 3)
    first, last = source.layers
    split = np.concatenate([last.weight[:, :1], last.weight], axis=1)
    split[:, :2] *= 0.5
    spare = source.replace(
        layers=(
            Layer(
                np.concatenate([first.weight[:1], first.weight]),
                np.concatenate([first.bias[:1], first.bias]),
            ),
            Layer(split, last.bias),
        )
    )
    assert not conditioning.is_held(spare, TrainingData(inputs, spare(inputs)), least_width=3)
    assert conditioning.is_held(source, TrainingData(inputs, source(inputs)), least_width=3)
