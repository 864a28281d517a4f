"""Networks with known spare neurons come back at the teacher's width."""

import numpy as np
import pytest

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Layer, Network
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
    assert found.steps[-1].width == 2
    assert {neuron for step in found.steps for neuron in step.neurons} >= {3, 4, 5}
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


def test_ensembles_and_constant_networks_are_refused(unchecked):
    teacher = Network.from_arrays([(W, B), (A, C)], "tanh")
    with pytest.raises(InvalidInputError, match="ensemble of 2 networks"):
        reduce(Network.stack([teacher, teacher]), INPUTS)
    flat = Network.from_arrays([(0.0 * W, B), (A, C)], "tanh")
    with pytest.raises(InvalidInputError, match="constant on the inputs"):
        reduce(flat, INPUTS)
    with pytest.raises(InvalidInputError, match=r"inputs must be \(samples, 3\)"):
        reduce(teacher, INPUTS[:, :2])
    with pytest.raises(InvalidInputError, match="error must be"):
        reduce(teacher, INPUTS, error=-1.0)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "g", "relu"])
def test_every_layer_of_a_deep_network_is_reduced(activation: str):
    rng = np.random.default_rng(8)
    true = [(rng.normal(size=(3, 3)) * 1.5, rng.normal(size=3)), (rng.normal(size=(2, 3)), C)]
    true.append((rng.normal(size=(1, 2)), np.zeros(1)))
    teacher = Network.from_arrays(true, activation)
    (w, b), (v, c), (u, e) = true
    # Layer 1: a copy of neuron 0; layer 2: two neurons that cancel, which read layer 1 anew.
    w, b = np.vstack([w, w[:1]]), np.append(b, b[0])
    v = np.column_stack([0.25 * v[:, 0], v[:, 1:], 0.75 * v[:, 0]])
    spare = rng.normal(size=(1, 4))
    v, c = np.vstack([v, spare, spare]), np.append(c, [0.3, 0.3])
    u = np.column_stack([u, [[0.8]], [[-0.8]]])
    student = Network.from_arrays([(w, b), (v, c), (u, e)], activation)
    np.testing.assert_allclose(student(INPUTS), teacher(INPUTS), atol=1e-12)
    found = reduce(student, INPUTS)
    assert found.network.hidden_widths == (3, 2)
    assert {step.layer for step in found.steps} == {0, 1}
    assert found.error < 1e-13
    assert compare(found.network, teacher).max_weight_error < 1e-11


def test_a_linear_group_of_a_deep_network_stays():
    """The layer after it reads no inputs, so that the linear map has no other place."""
    rng = np.random.default_rng(4)
    opposite = np.stack([W[0], -W[0], W[1]])
    out = np.array([[1.0, -1.0, 0.7], [0.4, -0.4, -0.3]])
    network = Network.from_arrays(
        [(opposite, [B[0], -B[0], B[1]]), (out, C), (rng.normal(size=(1, 2)), [0.0])], "gelu"
    )
    found = reduce(network, INPUTS)
    assert found.network.hidden_widths == (3, 2)
    assert found.network.skip is None
    assert found.error < 1e-13


def test_an_affine_map_that_no_signs_explain_stays_in_the_skip():
    skip = RNG.normal(size=(2, 3))
    network = Network.from_arrays([(W, B), (A, C)], "softplus", skip=(skip, [0.5, 0.5]))
    found = reduce(network, INPUTS)
    assert found.sign_choices == 0
    assert found.network.skip is not None
    np.testing.assert_allclose(found.network.skip.weight, skip)
    np.testing.assert_allclose(found.network(INPUTS), network(INPUTS), atol=1e-12)


def test_signs_without_a_unique_answer_are_reported():
    """Output weights 1 and -1 on equal directions: both or neither may be flipped."""
    weight, bias = np.array([[1.0, 2.0, -1.0], [1.0, 2.0, -1.0]]), np.array([0.3, -0.6])
    network = Network.from_arrays([(weight, bias), ([[1.0, -1.0]], [0.0])], "silu")
    found = reduce(network, INPUTS)
    assert found.sign_choices == 2
    assert found.network.skip is None
    np.testing.assert_array_equal(found.network.layers[0].weight, weight)


def test_neurons_beyond_the_data_stay_where_only_a_skip_could_replace_them():
    """Two linear maps that nothing takes back: one goes into a skip only if there is one."""
    weight, bias = np.vstack([W, [1.0, 0.0, 0.0]]), np.append(B, 50.0)
    out = np.column_stack([A, [2.0, 1.0]])
    plain = Network.from_arrays([(weight, bias), (out, C)], "relu")
    found = reduce(plain, INPUTS)
    assert found.network.hidden_widths == (3,)
    assert found.network.skip is None
    assert found.steps == ()
    skipped = plain.replace(skip=Layer(np.ones((2, 3)), np.zeros(2)))
    found = reduce(skipped, INPUTS)
    assert found.network.hidden_widths == (2,)
    assert found.network.skip is not None
    assert found.error < 1e-13


def test_an_affine_function_keeps_one_idle_neuron():
    network = Network.from_arrays(
        [([[1.0, 0, 0]], [50.0]), ([[2.0]], [0.0])], "relu", skip=([[0.0, 1.0, 0.0]], [0.0])
    )
    found = reduce(network, INPUTS)
    assert found.network.hidden_widths == (1,)
    assert found.network.skip is not None
    np.testing.assert_allclose(found.network.skip.weight, [[2.0, 1.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(found.network(INPUTS), network(INPUTS), atol=1e-11)


def test_what_the_others_span_by_chance_is_removed():
    """On one input, relu hyperplanes between the same two samples span each other."""
    points = np.linspace(-1.0, 1.0, 9)[:, None]
    weight, bias = np.ones((4, 1)), np.array([0.30, 0.35, 0.40, -0.6])
    network = Network.from_arrays([(weight, bias), ([[1.0, 0.5, -0.7, 1.0]], [0.0])], "relu")
    found = reduce(network, points)
    assert found.network.hidden_widths[0] < 4
    assert found.error < 1e-13


def test_a_reduced_network_needs_no_further_step():
    for activation in ("tanh", "softplus", "relu"):
        once = reduce(planted(activation, opposite=False), INPUTS).network
        assert reduce(once, INPUTS).steps == ()
