"""Networks with known spare neurons come back at the teacher's width."""

import numpy as np
import pytest

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.reduce import reduce
from expand_and_cluster.scoring.compare import compare

RNG = np.random.default_rng(3)
INPUTS = RNG.normal(size=(500, 3))
W, B = RNG.normal(size=(2, 3)), np.array([0.3, -0.4])
A, C = RNG.normal(size=(2, 2)), np.array([0.1, -0.2])


def planted(activation: str, opposite: bool) -> Network:
    """The teacher's two neurons, one of them split, with a zero pair and a constant neuron."""
    zero, outputs = RNG.normal(size=3), RNG.normal(size=2)
    weight = np.stack([W[0], W[0], W[1], zero, zero, np.zeros(3)])
    bias = np.array([B[0], B[0], B[1], 0.2, 0.2, 0.7])
    out = np.stack([0.3 * A[:, 0], 0.7 * A[:, 0], A[:, 1], outputs, -outputs, [0.5, 0.4]], axis=1)
    if opposite:  # an odd activation: a ± copy whose output weights cancel
        weight = np.concatenate([weight, [zero, -zero]])
        bias = np.concatenate([bias, [-0.6, 0.6]])
        out = np.concatenate([out, outputs[:, None], outputs[:, None]], axis=1)
    return Network.from_arrays([(weight, bias), (out, C)], activation)


@pytest.mark.parametrize("activation", ["g", "tanh", "sigmoid", "softplus", "gelu", "relu"])
def test_spare_neurons_are_removed_and_the_function_kept(activation: str):
    student = planted(activation, opposite=activation == "tanh")
    found = reduce(student, INPUTS)
    assert found.network.hidden_widths == (2,)
    assert found.network.skip is None
    assert len(found.steps) == student.hidden_widths[0] - 2
    assert found.error < 1e-13
    assert max(step.error for step in found.steps) < 1e-13
    # The constant neuron's part is in the output bias now.
    lone = Network.from_arrays([([[0.0]], [0.7]), ([[1.0]], [0.0])], activation)
    shift = np.array([0.5, 0.4]) * lone(np.zeros((1, 1)))[0, 0]
    teacher = Network.from_arrays([(W, B), (A, C + shift)], activation)
    assert compare(found.network, teacher).max_weight_error < 1e-11


def test_a_network_without_spare_neurons_stays():
    teacher = Network.from_arrays([(W, B), (A, C)], "tanh")
    found = reduce(teacher, INPUTS)
    assert found.steps == ()
    assert compare(found.network, teacher).max_weight_error < 1e-12


def test_deep_and_constant_networks_are_refused():
    deep = Network.from_arrays([(W, B), (A, C), (A, C)], "tanh")
    with pytest.raises(InvalidInputError, match="one hidden layer"):
        reduce(deep, INPUTS)
    flat = Network.from_arrays([(0.0 * W, B), (A, C)], "tanh")
    with pytest.raises(InvalidInputError, match="constant on the inputs"):
        reduce(flat, INPUTS)
