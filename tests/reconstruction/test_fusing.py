"""Neurons that stand in for one are told by how they are read, or bend, and become it."""

from dataclasses import replace

import numpy as np
import pytest
from tests.reconstruction.planted import distance, gaussian, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.reconstruction.fusing import fuse, fuse_straight
from expand_and_cluster.reconstruction.ordinary import ordinary_error
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData


def bench_of(source: Network) -> Workbench:
    inputs = gaussian(2000, 6)
    data = TrainingData(inputs, source(inputs))
    return Workbench(data, source.activation, skip=source.activation.leaves_line)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "g", "softplus"])
def test_pieces_become_the_neuron_they_stand_in_for(activation):
    source = teacher((6, 5, 4), activation)
    bench = bench_of(source)
    vectors = source.input_vectors
    pieces = np.array([0.8, 1.1, 1.3])[:, None] * vectors[:1]
    candidate = bench.start(np.vstack([pieces, vectors[1:]]), 8)
    left, removals = fuse(bench, candidate)
    assert left.width == 5
    assert [removal.width for removal in removals] == [5]
    assert removals[0].reason.startswith("3 neurons")
    symmetry = source.activation.symmetry
    assert distance(left.compact().input_vectors, vectors, symmetry) < 1e-6
    assert left.loss == ordinary_error(bench, left)


def test_two_neurons_of_the_teacher_that_are_read_alike_stay():
    source = teacher((6, 5, 4), "tanh")
    first, last = source.layers
    weight = last.weight.copy()
    weight[:, 1] = -1.5 * weight[:, 0]
    source = source.replace(layers=(first, Layer(weight, last.bias)))
    bench = bench_of(source)
    near = source.input_vectors + 0.01 * np.random.default_rng(0).normal(size=(5, 7))
    left, removals = fuse(bench, bench.start(near, 8))
    assert left.width == 5
    assert removals == ()


def test_a_neuron_that_few_samples_show_stays_beside_one_that_is_read_alike():
    """One in fifty shows it: ordinary samples would do without."""
    source = teacher((6, 5, 4), "relu")
    first, last = source.layers
    bias, weight = first.bias.copy(), last.weight.copy()
    bias[1] = -np.quantile(gaussian(2000, 6) @ first.weight[1], 0.98)
    weight[:, 1] = 1.5 * weight[:, 0]
    source = source.replace(layers=(Layer(first.weight, bias), Layer(weight, last.bias)))
    bench = bench_of(source)
    near = source.input_vectors + 0.05 * np.random.default_rng(0).normal(size=(5, 7))
    left, removals = fuse(bench, bench.start(near, 8))
    assert left.width == 5
    assert removals == ()


def test_on_trial_two_that_are_read_alike_and_nearly_the_same_become_one():
    """Noise hides most of what one neuron in their place would miss, but not all."""
    source = teacher((6, 5, 4), "tanh")
    first, last = source.layers
    weight, bias, outputs = first.weight.copy(), first.bias.copy(), last.weight.copy()
    weight[1], bias[1], outputs[:, 1] = weight[0] + 0.1, bias[0], outputs[:, 0]
    source = source.replace(layers=(Layer(weight, bias), Layer(outputs, last.bias)))
    inputs = gaussian(2000, 6)
    noise = np.random.default_rng(0).normal(scale=3e-3, size=(2000, 4))
    bench = Workbench(TrainingData(inputs, source(inputs) + noise), source.activation)
    candidate = bench.start(source.input_vectors, 8)
    candidate = replace(candidate, loss=ordinary_error(bench, candidate))
    assert fuse(bench, candidate) == (candidate, ())
    left, removals = fuse(bench, candidate, 10.0)
    assert left.width == 4
    assert len(removals) == 1
    assert 1.2 * candidate.loss < left.loss <= 10.0 * candidate.loss


def test_vectors_of_two_outputs_say_nothing():
    source = teacher((6, 5, 2), "tanh")
    bench = bench_of(source)
    vectors = source.input_vectors
    candidate = bench.start(np.vstack([0.9 * vectors[:1], 1.1 * vectors[:1], vectors[1:]]), 8)
    assert fuse(bench, candidate) == (candidate, ())


def straightened(source: Network, by: float) -> np.ndarray:
    """The teacher's vectors, the first one's place taken by two that are as good as linear."""
    vectors = source.input_vectors
    beside = by * np.random.default_rng(1).normal(size=7)
    straight = 0.01 * np.array([vectors[0] + beside, vectors[0] - beside])
    straight[:, -1] = 0.3, -0.2
    return np.vstack([straight, vectors[1:]])


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "g"])
def test_straight_neurons_become_the_one_that_is_missing(activation):
    source = teacher((6, 5, 4), activation)
    bench = bench_of(source)
    candidate = bench.start(straightened(source, 0.3), 8)
    left, removals = fuse_straight(bench, candidate, np.inf)
    assert left.width == 5
    assert [removal.width for removal in removals] == [5]
    assert removals[0].reason == "2 neurons that hardly bend do what one does"
    symmetry = source.activation.symmetry
    assert distance(left.compact().input_vectors, source.input_vectors, symmetry) < 1e-6
    assert left.loss == ordinary_error(bench, left)


def test_a_mirrored_direction_is_tried_where_the_activation_has_no_such_symmetry():
    """Straight neurons read with the other sign do the same."""
    source = teacher((6, 5, 4), "g")
    bench = bench_of(source)
    vectors = straightened(source, 0.3)
    vectors[:2, :-1] *= -1.0
    left, _ = fuse_straight(bench, bench.start(vectors, 8), np.inf)
    symmetry = source.activation.symmetry
    assert distance(left.compact().input_vectors, source.input_vectors, symmetry) < 1e-6


def test_straight_neurons_stay_where_one_costs_too_much():
    source = teacher((6, 5, 4), "tanh")
    bench = bench_of(source)
    candidate = bench.start(straightened(source, 0.3), 8)
    assert fuse_straight(bench, candidate, 0.0) == (candidate, ())


def test_neurons_that_bend_stay():
    source = teacher((6, 5, 4), "tanh")
    bench = bench_of(source)
    candidate = bench.start(source.input_vectors, 8)
    assert fuse_straight(bench, candidate, np.inf) == (candidate, ())
