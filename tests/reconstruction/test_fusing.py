"""Pieces of one neuron are told by their output vectors, and become it again."""

import numpy as np
import pytest
from tests.reconstruction.planted import distance, gaussian, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.reconstruction.fusing import fuse
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


def test_vectors_of_two_outputs_say_nothing():
    source = teacher((6, 5, 2), "tanh")
    bench = bench_of(source)
    vectors = source.input_vectors
    candidate = bench.start(np.vstack([0.9 * vectors[:1], 1.1 * vectors[:1], vectors[1:]]), 8)
    assert fuse(bench, candidate) == (candidate, ())
