"""Neurons that act as one are joined where their sum acts; others are left alone."""

import numpy as np
import pytest
from tests.reconstruction.planted import distance, gaussian, teacher

from expand_and_cluster.core.network import Layer
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.joining import join
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData

ACTIVATIONS = ["tanh", "softplus", "relu", "silu", "g"]


def split_neuron(source, apart, seed=0, opposite=False):
    """The teacher with its first neuron as two, a weighted mean of which it is."""
    rng = np.random.default_rng(seed)
    _, last = source.layers
    move = rng.normal(size=source.input_size + 1)
    move *= apart * np.linalg.norm(source.input_vectors[0]) / np.linalg.norm(move)
    vector, weights = source.input_vectors[0], last.weight[:, 0]
    parts = np.stack([vector + 0.7 * move, vector - 0.3 * move])
    amounts = np.stack([0.3 * weights, 0.7 * weights], axis=1)
    if opposite:
        parts[1] *= -1.0
        amounts[:, 1] *= source.activation.symmetry.flip.sign
    vectors = np.vstack([source.input_vectors[1:], parts])
    outputs = np.concatenate([last.weight[:, 1:], amounts], axis=1)
    return source.replace(
        layers=(Layer(vectors[:, :-1], vectors[:, -1]), Layer(outputs, last.bias))
    )


def bench_of(source, samples=600):
    inputs = gaussian(samples, source.input_size)
    data = TrainingData(inputs, source(inputs))
    return Workbench(data, source.activation, skip=source.activation.leaves_line)


def candidate_of(bench, network):
    return bench.solve_outputs(network, np.ones(network.hidden_widths[0], bool))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_two_halves_are_joined_where_their_sum_acts(activation):
    source = teacher((5, 4, 3), activation)
    bench = bench_of(source)
    # relu bends between the halves: its error grows with their distance there, not its square.
    candidate, removals = join(bench, candidate_of(bench, split_neuron(source, 0.003)), 100.0)
    symmetry = source.activation.symmetry
    assert candidate.width == 4
    assert len(removals) == 1
    assert "acts as one" in removals[0].reason
    # Nearer to the teacher's than either half, by far.
    found = candidate.compact().input_vectors
    near = split_neuron(source, 0.003).input_vectors
    assert distance(found, source.input_vectors, symmetry) < 1e-3 * 0.3
    assert distance(near, source.input_vectors, symmetry) > 1e-3 * 0.3


@pytest.mark.parametrize("activation", ["tanh", "softplus", "gelu"])
def test_halves_of_opposite_sign_are_joined(activation):
    source = teacher((5, 4, 3), activation)
    bench = bench_of(source)
    halves = split_neuron(source, 0.003, opposite=True)
    candidate, removals = join(bench, candidate_of(bench, halves), 100.0)
    assert (candidate.width, len(removals)) == (4, 1)
    found = candidate.compact().input_vectors
    assert distance(found, source.input_vectors, source.activation.symmetry) < 3e-4


def test_neurons_of_the_teacher_are_left_alone():
    source = teacher((5, 4, 3), "tanh")
    bench = bench_of(source)
    start = candidate_of(bench, source)
    candidate, removals = join(bench, start, 100.0)
    assert removals == ()
    assert candidate is start


def test_two_true_neurons_that_are_near_stay_two():
    source = teacher((5, 4, 3), "tanh")
    _, last = source.layers
    vectors = source.input_vectors.copy()
    vectors[1] = vectors[0] + 0.05 * np.linalg.norm(vectors[0]) / np.sqrt(6) * np.ones(6)
    near = source.replace(layers=(Layer(vectors[:, :-1], vectors[:, -1]), last))
    bench = bench_of(near)
    moved = near.replace(layers=(Layer(vectors[:, :-1] + 1e-6, vectors[:, -1]), last))
    candidate, removals = join(bench, candidate_of(bench, moved), 100.0)
    assert (candidate.width, removals) == (4, ())


def test_the_same_direction_with_another_length_is_another_neuron():
    source = teacher((5, 4, 3), "tanh")
    _, last = source.layers
    vectors = source.input_vectors.copy()
    vectors[1] = 0.5 * vectors[0]
    rough = source.replace(layers=(Layer(vectors[:, :-1], vectors[:, -1]), last))
    bench = bench_of(source)
    assert join(bench, candidate_of(bench, rough), 100.0)[1] == ()


def test_absent_neurons_take_no_part():
    source = teacher((5, 4, 3), "tanh")
    bench = bench_of(source)
    halves = split_neuron(source, 0.003)
    present = np.array([True, True, True, True, False])
    start = bench.solve_outputs(halves, present)
    candidate, removals = join(bench, start, 100.0)
    assert isinstance(candidate, Candidate)
    assert removals == ()
