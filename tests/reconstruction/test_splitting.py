"""A neuron that bends for two, and a straight one beside it, become the two."""

import numpy as np
import pytest
from tests.reconstruction.planted import distance, gaussian, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.reconstruction import workbench
from expand_and_cluster.reconstruction.bending import bends
from expand_and_cluster.reconstruction.ordinary import ordinary_error
from expand_and_cluster.reconstruction.splitting import split
from expand_and_cluster.reconstruction.winnowing import winnow
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData

ACTIVATIONS = ["tanh", "sigmoid", "g"]


def between(activation: str) -> tuple[Network, Workbench, np.ndarray]:
    """A teacher with two neurons that bend alike and little, and vectors that stand in for its own.

    The first is straight, the second lies between the two.
    """
    source = teacher((6, 6, 4), activation)
    first, last = source.layers
    weight, bias, read = first.weight.copy(), first.bias.copy(), last.weight.copy()
    along, across = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 2)))[0].T
    weight[0], weight[1] = 0.6 * along + 0.2 * across, 0.6 * along - 0.2 * across
    bias[:2], read[:, :2] = 0.8, 0.3 * read[:, :2]
    source = source.replace(layers=(Layer(weight, bias), Layer(read, last.bias)))
    inputs = gaussian(2000, 6)
    bench = Workbench(TrainingData(inputs, source(inputs)), source.activation)
    one, straight = source.input_vectors[:2].mean(axis=0), np.append(0.01 * across, 0.2)
    return source, bench, np.vstack([straight, one, source.input_vectors[2:]])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_two_are_near_the_teachers(activation):
    source, bench, vectors = between(activation)
    candidate = bench.start(vectors, 8)
    left, lost = split(bench, candidate, candidate.loss)
    assert lost == ()
    assert left.width == 6
    assert left.loss == ordinary_error(bench, left)
    assert left.loss < 0.1 * ordinary_error(bench, candidate)
    symmetry = source.activation.symmetry
    assert distance(left.compact().input_vectors, source.input_vectors, symmetry) < 0.1
    moves = bends(bench, left)[:2]
    assert moves.max() < 4.0 * moves.min()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_steps_go_on_from_there(activation, monkeypatch):
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    source, bench, vectors = between(activation)
    left, _ = winnow(bench, bench.start(vectors, 8))
    symmetry = source.activation.symmetry
    assert distance(left.compact().input_vectors, source.input_vectors, symmetry) < 1e-3


def test_neurons_stay_where_two_that_bend_cost_more():
    _, bench, vectors = between("tanh")
    candidate = bench.start(vectors, 8)
    assert split(bench, candidate, 0.0) == (candidate, ())


def test_neurons_stay_where_none_is_straight():
    source, bench, _ = between("tanh")
    candidate = bench.start(source.input_vectors, 8)
    assert split(bench, candidate, np.inf)[0] is candidate


def test_neurons_stay_beside_a_skip():
    source, bench, vectors = between("sigmoid")
    beside = Workbench(bench.training, source.activation, skip=True)
    candidate = beside.start(vectors, 8)
    assert split(beside, candidate, np.inf)[0] is candidate


def test_constants_are_no_pair():
    """Two neurons that never vary bend alike, and span no plane."""
    _, bench, vectors = between("tanh")
    constant = np.zeros((2, 7))
    constant[:, -1] = 0.3, 0.7
    candidate = bench.start(np.vstack([constant, vectors[2:4]]), 8)
    left, _ = split(bench, candidate, candidate.loss)
    assert np.isfinite(left.loss)
    assert left.loss <= candidate.loss
