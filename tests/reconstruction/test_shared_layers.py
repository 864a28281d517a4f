"""What students share in all layers: against students made by hand from a known teacher."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from expand_and_cluster.convolutions_given import votes_of
from expand_and_cluster.core.conv_geometry import Conv, Convolutional
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.layer_blocks import Block, blocks_of, network_of
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.symmetry import Flip
from expand_and_cluster.reconstruction.shared_layers import (
    fit_outputs,
    share_layers,
    what_is_lost,
)
from expand_and_cluster.reconstruction.shared_search import SharedOutcome


def a_network(activation: str, seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    widths = (6, 5, 4, 3)
    layers = [
        (rng.normal(size=(above, below)), 0.3 * rng.normal(size=above))
        for below, above in pairwise(widths)
    ]
    return Network.from_arrays(layers, activation)


def a_conv(activation: str, seed: int = 0) -> ConvNetwork:
    rng = np.random.default_rng(seed)
    return ConvNetwork.from_arrays(
        Convolutional((1, 10, 10), [Conv(3, pool="max"), Conv(3)]),
        [
            (rng.normal(size=(3, 1, 3, 3)), rng.normal(size=3)),
            (rng.normal(size=(4, 3, 3, 3)), rng.normal(size=4)),
        ],
        [(rng.normal(size=(5, 16)), rng.normal(size=5)), (rng.normal(size=(2, 5)), np.zeros(2))],
        activation,
    )


def a_student(teacher: Any, seed: int, *, flip: bool = False, stretch: bool = False) -> Any:
    """The teacher with its neurons in another order, one of each layer twice, and one to spare.

    The neuron to spare gives a constant that the biases above take back.
    """
    rng = np.random.default_rng(seed)
    blocks = list(blocks_of(teacher))
    for layer in range(len(blocks) - 1):
        own, above = blocks[layer], blocks[layer + 1]
        count = len(own.bias)
        factor = rng.uniform(0.5, 2.0, size=count) if stretch else np.ones(count)
        signs = rng.choice([-1.0, 1.0], size=count) if flip else np.ones(count)
        weight = own.weight * (factor * signs)[:, None, None]
        bias = own.bias * factor * signs
        up = above.weight * (signs / factor)[None, :, None]
        # One neuron twice, its output weights shared between the two.
        twice = int(rng.integers(count))
        # s(z) = sign s(-z) + constant, for odd and even activations alike.
        rule = teacher.activation.symmetry.flip if flip else Flip(1, 0.0, 0.0)
        other = -1.0 if flip else 1.0
        down = -rule.constant * (0.3 * up[:, twice] + above.weight[:, signs < 0.0].sum(axis=1))
        weight = np.concatenate([weight, other * weight[[twice]]])
        bias = np.append(bias, other * bias[twice])
        up = np.concatenate([up, rule.sign * 0.3 * up[:, [twice]]], axis=1)
        up[:, twice] *= 0.7
        # One that is constant.
        weight = np.concatenate([weight, np.zeros((1, *weight.shape[1:]))])
        bias = np.append(bias, 0.7)
        constant = float(teacher.activation.values(np.array([0.7]))[0])
        more = rng.normal(size=(len(above.weight), 1, up.shape[2]))
        up = np.concatenate([up, more], axis=1)
        down = (down + constant * more[:, 0]).sum(axis=1)
        order = rng.permutation(len(bias))
        blocks[layer] = Block(weight[order], bias[order])
        blocks[layer + 1] = Block(up[:, order], above.bias - down)
    return network_of(tuple(blocks), teacher)


CASES = [
    (a_network, "g", {}),
    (a_network, "tanh", {"flip": True}),
    (a_network, "sigmoid", {"flip": True}),
    (a_network, "relu", {"stretch": True}),
    (a_conv, "relu", {"stretch": True}),
    (a_conv, "g", {}),
]


@pytest.mark.parametrize(("make", "activation", "how"), CASES)
def test_students_made_of_the_teacher_give_the_teacher(make: Any, activation: str, how: Any):
    teacher = make(activation)
    inputs = np.random.default_rng(1).normal(size=(600, teacher.input_size))
    targets = teacher(inputs)
    students = [a_student(teacher, seed, **how) for seed in (1, 2, 3)]
    for student in students:
        np.testing.assert_allclose(student(inputs), targets, atol=1e-8)
    shared = share_layers(students, np.full(3, 1e-8), inputs, targets, max_angle=0.26)
    assert shared is not None
    assert [len(block.bias) for block in blocks_of(shared.network)] == [
        len(block.bias) for block in blocks_of(teacher)
    ]
    unseen = np.random.default_rng(2).normal(size=(100, teacher.input_size))
    np.testing.assert_allclose(
        shared.network(unseen), teacher(unseen), atol=2e-3 * np.abs(targets).max()
    )
    for consensus in shared.consensus:
        assert all(len(cluster.students) == 3 for cluster in consensus.selection.clusters)


def test_channels_of_opposite_signs_are_two_under_max_pooling():
    teacher = a_conv("tanh")
    first, *above = blocks_of(teacher)
    weight, bias = first.weight.copy(), first.bias.copy()
    weight[1], bias[1] = -weight[0], -bias[0]
    teacher = network_of((Block(weight, bias), *above), teacher)
    inputs = np.random.default_rng(1).normal(size=(600, teacher.input_size))
    students = [a_student(teacher, seed) for seed in (1, 2)]
    shared = share_layers(students, np.full(2, 1e-8), inputs, teacher(inputs), max_angle=0.26)
    assert shared is not None
    assert shared.network.channels == teacher.channels


def test_votes_count_channels_that_one_student_alone_has():
    teacher = a_conv("g")
    first, second, *dense = blocks_of(teacher)
    without = np.arange(3) != 2
    fewer = network_of(
        (
            Block(first.weight[without], first.bias[without]),
            Block(second.weight[:, without], second.bias),
            *dense,
        ),
        teacher,
    )
    inputs = np.random.default_rng(1).normal(size=(600, teacher.input_size))
    # Without that channel below, little is shared above: the best student's stand for themselves.
    shared = share_layers(
        [teacher, fewer, fewer], np.array([1e-10, 2e-10, 2e-10]), inputs, teacher(inputs),
        max_angle=0.26,
    )  # fmt: skip
    assert shared is not None
    outcome = SharedOutcome(shared.network, 1e-10, shared)
    votes = votes_of(outcome, shared.network.channels)
    assert [len(each) for each in votes] == list(shared.network.channels)
    assert votes[0].count(1) == 1


def test_a_student_far_worse_than_the_best_is_no_evidence():
    teacher = a_network("g")
    inputs = np.random.default_rng(1).normal(size=(300, 6))
    good = [a_student(teacher, seed) for seed in (1, 2)]
    other = a_student(a_network("g", seed=5), 3)
    losses = np.array([1e-8, 1e-8, 1.0])
    shared = share_layers([*good, other], losses, inputs, teacher(inputs), max_angle=0.26)
    assert shared is not None
    assert shared.network.hidden_widths == teacher.hidden_widths
    assert not shared.populations[0].imitating[2]


def test_students_of_different_teachers_share_nothing():
    students = [a_student(a_network("g", seed), seed) for seed in (1, 2)]
    inputs = np.random.default_rng(1).normal(size=(300, 6))
    targets = a_network("g", 1)(inputs)
    assert share_layers(students, np.full(2, 1.0), inputs, targets, max_angle=0.26) is None


@pytest.mark.parametrize(("loss", "kept"), [(1e-10, 5), (1.0, 4)])
def test_a_neuron_far_above_the_error_stands_for_itself(loss: float, kept: int):
    teacher = a_network("g")
    first, second, last = blocks_of(teacher)
    without = np.arange(5) != 2
    fewer = network_of(
        (
            Block(first.weight[without], first.bias[without]),
            Block(second.weight[:, without], second.bias),
            last,
        ),
        teacher,
    )
    # What lacks a neuron below has other neurons above, but for the best student's.
    inputs = np.random.default_rng(1).normal(size=(600, 6))
    students, losses = [teacher, fewer, fewer], np.array([loss, 2.0 * loss, 2.0 * loss])
    shared = share_layers(students, losses, inputs, teacher(inputs), max_angle=0.26)
    if shared is not None:
        assert shared.network.hidden_widths[0] == kept
    else:
        assert kept == 4


def test_what_is_lost_with_a_neuron_is_what_the_outputs_move_by():
    network = a_network("g")
    inputs = np.random.default_rng(1).normal(size=(300, 6))
    lost = what_is_lost(network, inputs)
    first, second, last = blocks_of(network)
    weight = last.weight.copy()
    weight[:, 2] = 0.0
    moved = network_of((first, second, Block(weight, last.bias)), network)(inputs)
    # In the last hidden layer a mean is a constant of the outputs.
    expected = np.sqrt(np.mean((moved - network(inputs)).var(axis=0)))
    np.testing.assert_allclose(lost[1][2], expected, rtol=1e-4)
    silent = last.weight.copy()
    silent[:, 1] = 0.0
    nothing = network_of((first, second, Block(silent, last.bias)), network)
    assert what_is_lost(nothing, inputs)[1][1] < 1e-6


def test_the_output_layer_is_solved_for():
    teacher = a_network("tanh")
    inputs = np.random.default_rng(1).normal(size=(400, 6))
    blocks = blocks_of(teacher)
    blank = Block(np.zeros_like(blocks[-1].weight), np.zeros(3))
    spoilt = network_of((*blocks[:-1], blank), teacher)
    solved = fit_outputs(spoilt, inputs, teacher(inputs))
    np.testing.assert_allclose(solved(inputs), teacher(inputs), atol=1e-4)
