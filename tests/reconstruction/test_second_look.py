"""A neuron taken out of a network, and all others bent to make up for it, is found and put back."""

import numpy as np
import pytest

from expand_and_cluster.reconstruction import second_look
from expand_and_cluster.reconstruction.deep_bench import DeepBench, Scored
from expand_and_cluster.reconstruction.one_neuron import (
    MissingNeuron,
    with_neuron,
    without_neuron,
)
from expand_and_cluster.reconstruction.second_look import look_again, worth_trying
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.teachers.synthetic import synthetic_deep

ARRIVED = 1e-18
TEACHER = synthetic_deep((8, 4, 2, 1), seed=2)
ROWS = np.random.default_rng(0).uniform(-(3**0.5), 3**0.5, size=(2000, 8))


def bench() -> DeepBench:
    return DeepBench(TrainingData(ROWS, TEACHER(ROWS)))


def lacking(table: DeepBench, layer: int, neuron: int) -> Scored:
    """The teacher without a neuron, at the best that its other weights can do about it."""
    return table.polish(table.score(table.without(TEACHER, layer, neuron)), steps=60)


@pytest.mark.parametrize(("layer", "neuron"), [(0, 1), (1, 0)])
def test_a_neuron_that_was_taken_out_is_found(layer: int, neuron: int):
    table = bench()
    start = lacking(table, layer, neuron)
    assert start.loss > 1e-4
    found, added = look_again(table, start, arrived=ARRIVED, seed=(0,))
    assert added == (layer,)
    assert found.loss <= ARRIVED
    assert compare(found.network, TEACHER).max_weight_error < 1e-7


def test_where_nothing_is_missing_nothing_is_added():
    table = bench()
    whole = table.score(TEACHER)
    found, added = look_again(table, whole, arrived=ARRIVED, seed=(0,))
    assert found is whole
    assert added == ()


def test_where_time_is_over_the_best_so_far_counts(monkeypatch: pytest.MonkeyPatch):
    table = bench()
    start = table.score(without_neuron(TEACHER, 0, 1))
    own, above = TEACHER.layers[0], np.asarray(TEACHER.layers[1].weight)[:, 1]
    missing = MissingNeuron(0, np.append(own.weight[1], own.bias[1]), above, 0.9)
    none = MissingNeuron(0, np.ones(9), np.zeros(2), 0.8)
    monkeypatch.setattr(second_look, "worth_trying", lambda *_: [missing, none])
    over = iter([False, False, True, True])
    monkeypatch.setattr(second_look, "is_over", lambda _: next(over))
    monkeypatch.setattr(second_look, "_polished", lambda table, put_in, steps: put_in)
    found, _ = look_again(table, start, arrived=-1.0, seed=(0,))
    assert found.loss < 1e-20 < start.loss


def test_noise_is_no_missing_neuron(monkeypatch: pytest.MonkeyPatch):
    # That it is none shows soon.
    monkeypatch.setattr(second_look, "FEW", 8)
    monkeypatch.setattr(second_look, "MANY", 30)
    noise = 0.1 * np.random.default_rng(1).standard_normal((len(ROWS), 1))
    table = DeepBench(TrainingData(ROWS, TEACHER(ROWS) + noise))
    start = table.polish(table.score(TEACHER), steps=30)
    found, added = look_again(table, start, arrived=ARRIVED, seed=(0,))
    assert found is start
    assert added == ()


def test_what_is_tried_reaches_every_layer_and_explains_what_it_says():
    table = bench()
    start = lacking(table, 0, 1)
    tried = worth_trying(table, start, np.random.default_rng(0))
    assert {one.layer for one in tried} == {0, 1}
    shares = [one.share for one in tried]
    assert shares == sorted(shares, reverse=True)
    assert 0.0 < shares[0] <= 1.0
    # A descent on all weights does at least as well as what small changes of them promise.
    best = table.polish(table.score(with_neuron(start.network, tried[0])), steps=60)
    assert best.loss < (1.0 - 0.5 * shares[0]) * start.loss


def test_a_neuron_is_put_in_beside_the_others():
    vector, outputs = np.arange(9.0), np.array([0.5, -0.5])
    grown = with_neuron(TEACHER, MissingNeuron(0, vector, outputs, 1.0))
    assert grown.widths == (8, 5, 2, 1)
    np.testing.assert_array_equal(grown.layers[0].weight[-1], vector[:-1])
    assert grown.layers[0].bias[-1] == vector[-1]
    np.testing.assert_array_equal(grown.layers[1].weight[:, -1], outputs)
    np.testing.assert_array_equal(grown.layers[1].bias, TEACHER.layers[1].bias)
    again = without_neuron(grown, 0, 4)
    for layer, known in zip(again.layers, TEACHER.layers, strict=True):
        np.testing.assert_array_equal(layer.weight, known.weight)
        np.testing.assert_array_equal(layer.bias, known.bias)


def test_a_network_that_is_too_large_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(second_look, "MOST_ENTRIES", 10)
    table = bench()
    start = lacking(table, 1, 0)
    found, added = look_again(table, start, arrived=ARRIVED, seed=(0,))
    assert found is start
    assert added == ()
