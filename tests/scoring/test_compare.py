"""Comparison undoes exactly what an activation hides, and nothing else."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tests.oracles.compare import (
    RULES,
    best_matching,
    disguise,
    least_weight_error,
    least_weight_error_deep,
)

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.scoring import compare

INPUTS = np.random.default_rng(11).normal(size=(300, 3))
# A few hundred roundings of numbers near one.
ROUNDING = 1e-13


@dataclass(frozen=True)
class Recovery:
    """As much of a recovery as scoring reads."""

    network: Network
    masked_inputs: np.ndarray
    held_inputs: np.ndarray
    settings: dict[str, Any] = field(default_factory=dict)


def random_layers(widths, rng):
    return [(rng.normal(size=(o, i)), rng.normal(size=o)) for i, o in pairwise(widths)]


def noisy(layers, size, rng):
    return [
        (w + size * rng.normal(size=w.shape), b + size * rng.normal(size=b.shape))
        for w, b in layers
    ]


def without(layers, neuron):
    """The network without one neuron of its first hidden layer."""
    (w, b), (a, c), *rest = layers
    return [
        (np.delete(w, neuron, 0), np.delete(b, neuron)),
        (np.delete(a, neuron, 1), c),
        *rest,
    ]


@pytest.mark.parametrize("activation", list(catalogue))
@pytest.mark.parametrize("widths", [(3, 4, 2), (3, 5, 4, 2)])
def test_a_network_equals_itself(activation, widths):
    network = Network.from_arrays(random_layers(widths, np.random.default_rng(0)), activation)
    found = compare(network, network)
    assert (found.missing, found.excess, found.size_ratio) == (0, 0, 1.0)
    assert found.max_weight_error == 0
    assert found.max_input_distance == found.mean_input_distance == 0
    assert found.max_output_distance == found.mean_output_distance == 0
    assert found.output_rmse(INPUTS) == 0


@pytest.mark.parametrize("activation", list(RULES))
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_permutation_sign_and_scale_are_undone_with_their_left_over(activation, outputs, seed):
    rng = np.random.default_rng([5, seed])
    layers = random_layers((3, 4, outputs), rng)
    hidden, skip = disguise(layers, activation, rng)
    found = compare(
        Network.from_arrays(hidden, activation, skip), Network.from_arrays(layers, activation)
    )
    assert found.output_rmse(INPUTS) < ROUNDING
    assert (found.missing, found.excess) == (0, 0)
    assert found.max_weight_error < ROUNDING
    assert found.max_input_distance < ROUNDING**2
    assert found.max_output_distance < ROUNDING**2
    assert any(neuron.flipped for neuron in found.neurons) == (RULES[activation] is not None)


@pytest.mark.parametrize("activation", list(RULES))
@pytest.mark.parametrize("size", [1e-6, 1e-2])
def test_weight_error_agrees_with_trying_everything(activation, size):
    for seed in range(3):
        rng = np.random.default_rng([seed, 9])
        layers = random_layers((3, 4, 2), rng)
        hidden, skip = disguise(noisy(layers, size, rng), activation, rng)
        slow = least_weight_error(
            hidden, skip or (np.zeros((2, 3)), np.zeros(2)), layers, activation
        )
        fast = compare(
            Network.from_arrays(hidden, activation, skip), Network.from_arrays(layers, activation)
        ).max_weight_error
        assert fast == pytest.approx(slow, rel=1e-9, abs=ROUNDING)


@pytest.mark.parametrize(("activation", "constant"), [("tanh", 0.0), ("sigmoid", 1.0)])
def test_deep_networks_agree_with_trying_everything(activation, constant):
    rng = np.random.default_rng(2)
    teacher = random_layers((3, 3, 2, 2), rng)
    other = noisy(teacher, 1e-3, rng)
    for k, (order, signs) in enumerate([([2, 0, 1], [1, -1, -1]), ([1, 0], [-1, 1])]):
        s = np.array(signs)
        (w, b), (a, c) = other[k], other[k + 1]
        other[k] = ((s[:, None] * w)[order], (s * b)[order])
        other[k + 1] = ((a * s)[:, order], c + constant * a @ (s < 0))
    found = compare(
        Network.from_arrays(other, activation), Network.from_arrays(teacher, activation)
    )
    slow = least_weight_error_deep(other, teacher, constant)
    assert slow < 5e-3
    assert found.max_weight_error == pytest.approx(slow, rel=1e-9)
    assert [(n.layer, n.teacher, n.recovered, n.flipped) for n in found.neurons] == [
        (0, 0, 1, False),
        (0, 1, 2, True),
        (0, 2, 0, True),
        (1, 0, 1, True),
        (1, 1, 0, False),
    ]


def test_scale_is_undone_in_every_layer():
    rng = np.random.default_rng(3)
    teacher = random_layers((3, 5, 4, 2), rng)
    (w1, b1), (w2, b2), (w3, b3) = teacher
    one, two = rng.uniform(0.1, 9, size=5), rng.uniform(0.1, 9, size=4)
    other = [
        (one[:, None] * w1, one * b1),
        (two[:, None] * w2 / one, two * b2),
        (w3 / two, b3),
    ]
    relu = compare(Network.from_arrays(other, "relu"), Network.from_arrays(teacher, "relu"))
    assert relu.max_weight_error < ROUNDING
    # Where the activation does not hide a scale, a wrong one counts.
    tanh = compare(Network.from_arrays(other, "tanh"), Network.from_arrays(teacher, "tanh"))
    assert tanh.max_weight_error > 1


@pytest.mark.parametrize("activation", ["softplus", "gelu", "relu"])
def test_opposite_signs_deep_inside_count_unless_they_cancel(activation):
    # Two parallel neurons with opposite output weights: flipping both leaves a constant, which
    # the next bias takes. The same function, and no weight is wrong.
    rng = np.random.default_rng(4)
    (w1, b1), (w2, b2), last = random_layers((3, 3, 2, 1), rng)
    w1[1], w2[:, 1] = w1[0], -w2[:, 0]
    teacher = [(w1, b1), (w2, b2), last]
    s = np.array([-1.0, -1.0, 1.0])
    shift = w2[:, 0] * b1[0] + w2[:, 1] * b1[1]
    both = [(s[:, None] * w1, s * b1), (w2, b2 + shift), last]
    found = compare(Network.from_arrays(both, activation), Network.from_arrays(teacher, activation))
    assert found.output_rmse(INPUTS) < ROUNDING
    assert found.max_weight_error < ROUNDING
    # Flipping one of them leaves a linear map that no ordinary layer holds: it counts in full.
    one = np.array([-1.0, 1.0, 1.0])
    odd = [(one[:, None] * w1, one * b1), (w2, b2), last]
    found = compare(Network.from_arrays(odd, activation), Network.from_arrays(teacher, activation))
    assert found.output_rmse(INPUTS) > 1e-3
    if activation == "relu":  # the wrong bias also changes the scale of the second layer
        assert found.max_weight_error > 1
        return
    left_over = np.outer(w2[:, 0], np.append(w1[0], b1[0]))
    assert found.max_weight_error == pytest.approx(np.abs(left_over).max(), rel=1e-12)


def test_a_left_over_that_the_teacher_lacks_counts_in_full():
    rng = np.random.default_rng(5)
    layers = random_layers((3, 4, 2), rng)
    teacher = Network.from_arrays(layers, "tanh")
    theta = np.zeros((2, 3))
    theta[1, 2] = -0.25
    skipping = Network.from_arrays(layers, "tanh", (theta, np.zeros(2)))
    assert compare(skipping, teacher).max_weight_error == 0.25
    assert compare(teacher, skipping).max_weight_error == 0.25
    assert compare(skipping, skipping).max_weight_error == 0
    # Its bias is part of the output's bias.
    (w, b), (a, c) = layers
    shifted = Network.from_arrays([(w, b), (a, c - 0.5)], "tanh", (theta * 0, np.full(2, 0.5)))
    assert compare(shifted, teacher).max_weight_error < ROUNDING


@pytest.mark.parametrize("activation", ["g", "tanh", "relu"])
def test_missing_and_excess_neurons_are_counted(activation):
    rng = np.random.default_rng(6)
    # Eight inputs: independent directions are far apart.
    layers = random_layers((8, 4, 2), rng)
    full = Network.from_arrays(layers, activation)
    short = Network.from_arrays(without(layers, 2), activation)
    found = compare(short, full)
    assert (found.missing, found.excess, found.size_ratio) == (1, 0, 0.75)
    assert found.max_weight_error == np.inf
    assert found.max_input_distance == found.max_output_distance == 1
    assert found.mean_input_distance == pytest.approx(0.25, abs=1e-15)
    (gone,) = [n for n in found.neurons if n.recovered is None]
    assert (gone.layer, gone.teacher, gone.input_distance) == (0, 2, 1.0)
    assert gone.output_norm == pytest.approx(np.linalg.norm(layers[1][0][:, 2]))

    found = compare(full, short)
    assert (found.missing, found.excess, found.size_ratio) == (0, 1, pytest.approx(4 / 3))
    assert found.max_weight_error == np.inf
    assert found.max_input_distance == 0
    (extra,) = [n for n in found.neurons if n.teacher is None]
    assert extra.recovered == 2
    assert extra.output_norm == pytest.approx(np.linalg.norm(layers[1][0][:, 2]))

    (w, b), output = layers
    w = w.copy()
    w[1] = np.linalg.svd(w)[2][-1]
    found = compare(Network.from_arrays([(w, 0 * b), output], activation), full, matching_limit=0.2)
    assert found.missing == found.excess >= 1


def test_a_duplicate_is_in_excess_at_no_distance():
    (w, b), (a, c) = random_layers((3, 4, 2), np.random.default_rng(7))
    half = a.copy()
    half[:, 3] /= 2
    doubled = [(np.vstack([w, w[3]]), np.append(b, b[3])), (np.column_stack([half, half[:, 3]]), c)]
    found = compare(Network.from_arrays(doubled, "g"), Network.from_arrays([(w, b), (a, c)], "g"))
    assert (found.missing, found.excess) == (0, 1)
    assert found.neurons[-1].input_distance == 0
    assert found.output_rmse(INPUTS) < ROUNDING


def test_a_missing_neuron_in_one_layer_leaves_the_next_comparable():
    layers = random_layers((8, 6, 4, 2), np.random.default_rng(8))
    found = compare(
        Network.from_arrays(without(layers, 5), "tanh"), Network.from_arrays(layers, "tanh")
    )
    assert (found.missing, found.excess) == (1, 0)
    upper = [n for n in found.neurons if n.layer == 1]
    assert [n.recovered for n in upper] == [0, 1, 2, 3]
    w2 = layers[1][0]
    vectors = np.column_stack([w2, layers[1][1]])
    rest = vectors.copy()
    rest[:, 5] = 0
    cosine = (
        np.sum(vectors * rest, 1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(rest, axis=1)
    )
    assert [n.input_distance for n in upper] == pytest.approx(1 - cosine, rel=1e-9)


@pytest.mark.parametrize("activation", ["g", "tanh"])
@pytest.mark.parametrize(("known", "given"), [(3, 3), (4, 2), (2, 4), (1, 3)])
def test_the_assignment_agrees_with_trying_everything(activation, known, given):
    for seed in range(6):
        rng = np.random.default_rng([seed, known, given])
        one = Network.from_arrays(random_layers((2, known, 1), rng), activation)
        two = Network.from_arrays(random_layers((2, given, 1), rng), activation)
        slow = best_matching(one.input_vectors, two.input_vectors, activation == "tanh", 0.5)
        fast = [n.recovered for n in compare(two, one).neurons if n.teacher is not None]
        assert fast == list(slow)


@pytest.mark.parametrize("activation", ["tanh", "g", "softplus"])
def test_parallel_neurons_of_different_steepness_are_told_apart(activation):
    rng = np.random.default_rng(9)
    (w, b), (a, c) = random_layers((3, 3, 2), rng)
    w[1], b[1] = 2 * w[0], 2 * b[0]
    w[2], b[2] = 4 * w[0], 4 * b[0]
    teacher = Network.from_arrays([(w, b), (a, c)], activation)
    order = [2, 0, 1]
    other = noisy([(w[order], b[order]), (a[:, order], c)], 1e-5, rng)
    found = compare(Network.from_arrays(other, activation), teacher)
    assert [n.recovered for n in found.neurons] == [1, 2, 0]
    assert found.max_weight_error < 1e-4


def test_tiny_angles_keep_their_digits():
    (w, b), output = random_layers((3, 1, 1), np.random.default_rng(10))
    vector = np.append(w[0], b[0])
    across = np.linalg.svd(vector[None, :])[2][-1] * np.linalg.norm(vector)
    for angle in (1e-3, 1e-7, 1e-10):
        turned = np.cos(angle) * vector + np.sin(angle) * across
        other = Network.from_arrays([(turned[None, :-1], turned[-1:]), output], "g")
        found = compare(other, Network.from_arrays([(w, b), output], "g"))
        # Rounding of the vectors themselves turns them by about 1e-16.
        assert found.max_input_distance == pytest.approx(angle**2 / 2, rel=1e-5)


def test_masked_inputs_do_not_count_but_what_they_were_held_at_does():
    rng = np.random.default_rng(12)
    layers = random_layers((4, 3, 2), rng)
    (w, b), output = layers
    theta = rng.normal(size=(2, 4))
    masked, held = np.array([False, True, False, True]), np.array([np.nan, 0.5, np.nan, -2.0])
    # The same function on held inputs with other weights into the masked ones.
    change, change_skip = rng.normal(size=(3, 2)), rng.normal(size=(2, 2))
    v, e, rho = w.copy(), b - change @ held[masked], theta.copy()
    v[:, masked] += change
    rho[:, masked] += change_skip
    teacher = Network.from_arrays(layers, "tanh", (theta, np.zeros(2)))
    other = Network.from_arrays([(v, e), output], "tanh", (rho, -change_skip @ held[masked]))
    assert compare(other, teacher).max_weight_error > 0.1
    found = compare(other, teacher, masked_inputs=masked, held_inputs=held)
    assert found.max_weight_error < ROUNDING
    assert found.max_input_distance < ROUNDING**2

    recovery = Recovery(other, masked, held)
    assert compare(recovery, teacher).max_weight_error == found.max_weight_error
    none = compare(recovery, teacher, masked_inputs=np.zeros(4, dtype=bool))
    assert none.max_weight_error == compare(other, teacher).max_weight_error
    # Without a value they were held at zero: here that is wrong, and shows in the biases.
    zero = compare(other, teacher, masked_inputs=masked)
    assert zero.max_weight_error == pytest.approx(
        max(np.abs(change @ held[masked]).max(), np.abs(change_skip @ held[masked]).max())
    )


def test_output_distances_are_those_of_the_output_vectors():
    (w, b), (a, c) = random_layers((3, 2, 2), np.random.default_rng(13))
    turned = a.copy()
    turned[:, 1] = [-a[1, 1], a[0, 1]]
    found = compare(
        Network.from_arrays([(w, b), (turned, c)], "tanh"),
        Network.from_arrays([(w, b), (a, c)], "tanh"),
    )
    assert [n.output_distance for n in found.neurons] == pytest.approx([0, 1])
    assert found.mean_output_distance == pytest.approx(0.5)
    assert found.max_output_distance == pytest.approx(1)
    assert [n.output_norm for n in found.neurons] == pytest.approx(np.linalg.norm(a, axis=0))
    assert found.max_weight_error == pytest.approx(np.abs(turned - a).max())


def test_output_rmse_is_over_samples_and_outputs():
    layers = random_layers((3, 2, 2), np.random.default_rng(14))
    (w, b), (a, c) = layers
    other = Network.from_arrays([(w, b), (a, c + np.array([0.3, 0.0]))], "tanh")
    found = compare(other, Network.from_arrays(layers, "tanh"))
    assert found.output_rmse(INPUTS) == pytest.approx(0.3 / np.sqrt(2))
    for wrong in (INPUTS[:, :2], INPUTS[:0]):
        with pytest.raises(InvalidInputError, match="inputs"):
            found.output_rmse(wrong)


def test_equal_activations_may_have_different_names():
    layers = random_layers((3, 2, 1), np.random.default_rng(15))
    mine = Network.from_arrays(layers, lambda z: catalogue["tanh"](z))
    assert compare(mine, Network.from_arrays(layers, "tanh")).max_weight_error == 0


def test_the_summary_is_readable():
    layers = random_layers((8, 4, 2), np.random.default_rng(6))
    found = compare(Network.from_arrays(without(layers, 2), "g"), Network.from_arrays(layers, "g"))
    assert str(found).splitlines()[0] == (
        "3 of 4 neurons found, 1 missing, 0 in excess (size ratio 0.750)"
    )
    assert str(found).endswith("largest error of any weight or bias: inf")


TEACHER = Network.from_arrays(random_layers((3, 2, 1), np.random.default_rng(16)), "tanh")
REFUSED = [
    ({"recovered": (4, 2, 1)}, "recovered has widths"),
    ({"recovered": (3, 2, 2)}, "recovered has widths"),
    ({"recovered": (3, 2, 2, 1)}, "recovered has widths"),
    ({"activation": "g"}, "activation 'g'"),
    ({"masked_inputs": [True, False]}, "masked_inputs"),
    ({"masked_inputs": [0, 1, 0]}, "masked_inputs"),
    ({"masked_inputs": [True] * 3}, "masked_inputs"),
    ({"masked_inputs": [True, False, False], "held_inputs": [1.0, 2.0]}, "held_inputs"),
    ({"masked_inputs": [True, False, False], "held_inputs": np.nan}, "held_inputs"),
    ({"matching_limit": 0.0}, "matching_limit"),
]


@pytest.mark.parametrize(("case", "words"), REFUSED)
def test_what_cannot_be_compared_is_refused(case, words):
    case = dict(case)
    widths = case.pop("recovered", (3, 2, 1))
    layers = random_layers(widths, np.random.default_rng(17))
    network = Network.from_arrays(layers, case.pop("activation", "tanh"))
    with pytest.raises(InvalidInputError, match=words):
        compare(network, TEACHER, **case)


def test_an_ensemble_is_refused():
    with pytest.raises(InvalidInputError, match="ensemble"):
        compare(Network.stack([TEACHER, TEACHER]), TEACHER)
