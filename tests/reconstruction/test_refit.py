"""Neurons of trained students that are to spare, though no symmetry calls them copies."""

import numpy as np
import pytest

import expand_and_cluster as eac
from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.refit import REFITTED

INPUTS = np.random.default_rng(0).uniform(-2.0, 2.0, size=(400, 2))
VECTORS = np.array([[1.0, 2.0, 0.5], [-3.0, 1.0, -0.2]])
OUTPUTS = np.array([1.0, 0.8])


def network(vectors, outputs, activation):
    layers = [(vectors[:, :-1], vectors[:, -1]), (np.asarray(outputs)[None], [0.1])]
    return Network.from_arrays(layers, activation)


def relu_with_kinks_between_the_same_inputs():
    """Two neurons that bend between the same inputs: on these they are the sum of both."""
    pre = INPUTS @ VECTORS[0, :-1] + VECTORS[0, -1]
    gap = float(np.abs(pre).min())
    parts = 0.5 * VECTORS[0] + np.array([[0.0, 0.0, 0.2], [0.0, 0.0, -0.2]]) * gap
    return network(np.vstack([parts, VECTORS[1]]), [1.0, 1.0, 0.8], "relu")


def softplus_with_three_close_neurons():
    """Three neurons that act as one to second order only, the error of a student in a channel."""
    moves = 1e-3 * np.array([[1.0, 0.0, 0.0], [-0.5, 0.9, 0.0], [-0.5, -0.9, 0.0]])
    return network(np.vstack([VECTORS[0] + moves, VECTORS[1]]), [1 / 3] * 3 + [0.8], "softplus")


@pytest.mark.parametrize(
    ("student", "error"),
    [
        (relu_with_kinks_between_the_same_inputs(), 1e-15),
        (softplus_with_three_close_neurons(), 1e-6),
    ],
    ids=["relu", "softplus"],
)
def test_close_neurons_are_fitted_into_one(student, error):
    teacher = network(VECTORS, OUTPUTS, student.activation)
    reduction = eac.reduce(student, INPUTS, error=error)
    assert reduction.network.hidden_widths == (2,)
    assert reduction.network.skip is None
    assert reduction.error <= 10.0 * error
    assert eac.compare(reduction.network, teacher).max_weight_error < 100.0 * error


def test_the_fit_is_named_as_a_step():
    steps = eac.reduce(relu_with_kinks_between_the_same_inputs(), INPUTS, error=1e-15).steps
    assert [step.reason for step in steps if step.reason == REFITTED] == [REFITTED]
    assert steps[-1].network is not None
    assert steps[-1].network.hidden_widths == (2,)


def test_a_network_without_a_neuron_to_spare_stays():
    teacher = network(VECTORS, OUTPUTS, "softplus")
    reduction = eac.reduce(teacher, INPUTS, error=1e-6)
    assert reduction.network.hidden_widths == (2,)
    assert reduction.steps == ()
    assert str(reduction).splitlines() == [
        "layer left     error step",
        "reduced to 2-2-1, error 0.0e+00",
    ]
