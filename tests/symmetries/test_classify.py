"""Every neuron of hand-built students is named, and their teachers come back."""

import numpy as np
import pytest
from tests.oracles.legal_students import case

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.reduce import reduce
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.symmetries.classify import classify
from expand_and_cluster.symmetries.kinds import NeuronType

RNG = np.random.default_rng(5)
INPUTS = RNG.uniform(-1.5, 1.5, (400, 3))
# Random cases for each activation and noise; `benchmarks/symmetries.py` runs many more.
CASES = 8


def in_order(groups):
    """Group numbers by first appearance: how groups are numbered is not part of the answer."""
    seen = {}
    return [seen.setdefault(group, len(seen)) for group in groups]


@pytest.mark.parametrize("noise", [0.0, 1e-10, 1e-6])
@pytest.mark.parametrize("activation", list(catalogue))
def test_types_groups_and_teachers_of_hand_built_students(activation, noise):
    for seed in range(1000, 1000 + CASES):
        made = case(activation, seed, noise)
        found = classify(made.student, made.inputs)
        if noise < 1e-6:  # at 1e-6 output weights of a split neuron can be as small as its error
            assert [str(neuron.type) for neuron in found.neurons] == list(made.types)
            assert in_order(n.group for n in found.neurons) == in_order(made.groups)
        assert [neuron.side for neuron in found.neurons] == list(made.sides)
        reduced = reduce(made.student, made.inputs)
        assert reduced.network.widths == made.teacher.widths
        assert reduced.network.skip is None
        # No weight can be known better than the student knows the function.
        own = np.sqrt(np.mean((made.student(made.inputs) - made.teacher(made.inputs)) ** 2))
        error = compare(reduced.network, made.teacher).max_weight_error
        assert error <= 10.0 * max(own, 1e-14)


@pytest.mark.parametrize(
    ("activation", "seed"),
    [("elu", 52), ("relu", 62), ("relu", 91), ("relu", 173), ("leaky_relu", 339), ("silu", 50)],
)
def test_a_neuron_that_adds_little_is_not_zero_if_another_type_leaves_far_less(activation, seed):
    """Copies, constants and members of linear groups with small shares of the output weights."""
    made = case(activation, seed, 1e-6, bounded=activation != "elu")
    found = classify(made.student, made.inputs)
    assert [str(neuron.type) for neuron in found.neurons] == list(made.types)
    assert in_order(n.group for n in found.neurons) == in_order(made.groups)
    worst = max(step.error for step in reduce(made.student, made.inputs).steps)
    assert worst < 1e-4


def network(weight, bias, out, activation):
    out = np.asarray(out, dtype=float)
    return Network.from_arrays([(weight, bias), (out, np.zeros(len(out)))], activation)


def types(found):
    return [str(neuron.type) for neuron in found.neurons]


W = np.array([1.2, -0.7, 0.4])


@pytest.mark.parametrize("activation", ["tanh", "softplus", "g", "gelu"])
def test_a_pair_on_a_channel_to_infinity_is_named_and_stays(activation):
    step = 1e-3 * np.array([0.5, 0.2, -0.9])
    student = network(
        [W - step, W + step, -W[::-1]], [0.2, 0.2, 0.5], [[-400.0, 401.0, 1.0]], activation
    )
    found = classify(student, INPUTS)
    assert types(found) == ["channel-to-infinity pair"] * 2 + ["single"]
    assert found.neurons[0].group == found.neurons[1].group != found.neurons[2].group
    assert reduce(student, INPUTS).network.hidden_widths == (3,)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "silu"])
def test_a_channel_pair_may_point_both_ways(activation):
    """The second is flipped: its output weight changes sign where the activation is odd."""
    step = 1e-3 * np.array([0.5, 0.2, -0.9])
    sign = 1.0 if activation == "silu" else -1.0
    student = network([W - step, -W - step], [0.2, -0.2], [[-400.0, sign * 401.0]], activation)
    found = classify(student, INPUTS)
    assert set(types(found)) == {"channel-to-infinity pair"}
    assert [neuron.sign for neuron in found.neurons] == [1, -1]


def test_parallel_neurons_of_other_steepness_are_apart_unless_the_scale_is_hidden():
    weight, bias, out = [W, 2.0 * W, W[::-1]], [0.1, 0.2, 0.0], [[1.0, 0.5, 1.0]]
    assert types(classify(network(weight, bias, out, "gelu"), INPUTS)) == ["single"] * 3
    merged = classify(network(weight, bias, out, "relu"), INPUTS)
    assert types(merged) == ["duplicate", "duplicate", "single"]


def test_off_bound_is_decided_on_the_inputs():
    student = network([W, W[::-1]], [1.5, 0.0], [[1.0, 1.0]], "relu")
    assert types(classify(student, INPUTS)) == ["single", "single"]
    near = INPUTS[INPUTS @ W > -1.4]
    found = classify(student, near)
    assert types(found) == ["off-bound", "single"]
    assert found.neurons[0].side == 1
    assert classify(network([-W, W], [-1.5, 0], [[1, 1]], "relu"), near).neurons[0].side == -1


def test_a_known_error_widens_what_counts_as_a_copy():
    student = network([W, W + 1e-3, -W[::-1]], [0.2, 0.2, 0.1], [[1.0, 0.7, 1.0]], "tanh")
    assert types(classify(student, INPUTS)) == ["single"] * 3
    found = classify(student, INPUTS, error=1e-3)
    assert types(found) == ["duplicate", "duplicate", "single"]
    assert found.source == ("given",)
    assert found.tolerance[0] == pytest.approx(1e-2)
    assert found.neurons[0].merging <= found.tolerance[0]


def test_the_error_is_read_off_the_copies():
    made = case("softplus", 3, 1e-9)
    found = classify(made.student, made.inputs)
    spread = np.sqrt(np.mean(made.teacher(made.inputs).var(axis=0)))
    true = np.sqrt(np.mean((made.student(made.inputs) - made.teacher(made.inputs)) ** 2)) / spread
    assert found.source == ("copies",)
    assert 0.1 * true < found.error[0] < 10.0 * true
    assert classify(made.student, made.inputs, error=0.0).error[0] < 1e-12


def test_the_numbers_say_what_the_type_says():
    made = case("relu", 2)
    found = classify(made.student, made.inputs)
    limit = found.tolerance[0]
    for neuron in found.neurons:
        assert neuron.merging <= limit
        assert (neuron.variation <= limit) == (neuron.type == NeuronType.CONSTANT) or (
            neuron.type in (NeuronType.ZERO, NeuronType.LINEAR_GROUP)
        )
        if neuron.type == NeuronType.OFF_BOUND:
            assert neuron.bend <= limit
    lines = str(found).splitlines()
    assert len(lines) == 1 + len(found.neurons)
    assert found.groups[0][0] == found.neurons[0]


def test_layers_of_a_deep_network_are_classified_one_by_one():
    deep = Network.from_arrays(
        [
            (np.stack([W, W, 0.0 * W, W[::-1]]), [0.1, 0.1, 0.4, -0.2]),
            (RNG.normal(size=(3, 4)), np.zeros(3)),
            ([[1.0, 0.0, -1.0]], [0.0]),
        ],
        "sigmoid",
    )
    found = classify(deep, INPUTS)
    assert types(found) == [
        "duplicate",
        "duplicate",
        "constant",
        "single",
        "single",
        "zero",
        "single",
    ]
    assert [neuron.layer for neuron in found.neurons] == [0] * 4 + [1] * 3
    assert len(found.groups) == 6
    assert len(found.tolerance) == 2


def test_an_activation_that_is_symmetric_about_another_point():
    import jax.numpy as jnp

    def moved(z):
        return jnp.tanh(z - 0.5)

    # The opposite of (w, b) is (-w, 1 - b).
    student = network([W, -W, W[::-1]], [0.2, 0.8, 0.0], [[1.0, 0.6, 1.0]], moved)
    found = classify(student, INPUTS)
    assert types(found) == ["duplicate", "duplicate", "single"]
    reduced = reduce(student, INPUTS).network
    assert reduced.hidden_widths == (2,)
    np.testing.assert_allclose(reduced(INPUTS), student(INPUTS), atol=1e-12)


def test_bad_arguments_are_refused(unchecked):
    good = network([W], [0.1], [[1.0]], "tanh")
    with pytest.raises(InvalidInputError, match="ensemble of 2"):
        classify(Network.stack([good, good]), INPUTS)
    with pytest.raises(InvalidInputError, match="must be a Network"):
        classify("network", INPUTS)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInputError, match=r"inputs must be \(samples, 3\)"):
        classify(good, INPUTS[:, :2])
    with pytest.raises(InvalidInputError, match="error must be a number"):
        classify(good, INPUTS, error=float("nan"))


def test_a_large_error_does_not_make_all_neurons_spare():
    made = case("tanh", 7)
    assert classify(made.student, made.inputs, error=0.05).tolerance == pytest.approx((0.05,))
    assert classify(made.student, made.inputs, error=0.003).tolerance == pytest.approx((0.01,))
