"""Pairs that show nothing unusual are told by counting, and others are explained after them."""

import numpy as np
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.reconstruction import workbench
from expand_and_cluster.reconstruction.common_pairs import CommonPairs, without_weights
from expand_and_cluster.reconstruction.kinked import descend_with_kinks
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData

SAMPLES, USUAL = 3000, -0.2


def images(*shown: int) -> np.ndarray:
    """Six inputs that all samples show, and one for each number of samples that show it."""
    rng = np.random.default_rng(3)
    rare = np.full((SAMPLES, len(shown)), USUAL)
    for column, count in enumerate(shown):
        some = rng.choice(SAMPLES, count, replace=False)
        rare[some, column] = rng.uniform(0.5, 1.5, count)
    return np.concatenate([gaussian(SAMPLES, 6), rare], axis=1)


def bench_of(inputs: np.ndarray, activation: str = "leaky_relu") -> tuple[Workbench, Network]:
    """A teacher of five neurons on these samples."""
    source = teacher((inputs.shape[1], 5, 4), activation)
    return Workbench(TrainingData(inputs, source(inputs)), source.activation), source


def test_they_are_those_that_show_no_seldom_shown_input():
    inputs = images(40, 900, 5)
    common = CommonPairs.of(bench_of(inputs)[0])
    assert common is not None
    np.testing.assert_array_equal(common.seldom, [False] * 6 + [True, False, True])
    kept = ~np.any(inputs[:, [6, 8]] != USUAL, axis=1)
    np.testing.assert_array_equal(common.bench.training.inputs, inputs[kept])
    assert not common.bench.skip


def test_enough_are_left_where_many_show_one_input_or_another():
    inputs = images(*[150] * 20)
    common = CommonPairs.of(bench_of(inputs)[0])
    # All are shown as often, and nearly two samples in three show one.
    assert common is None
    inputs = images(*range(10, 410, 20))
    common = CommonPairs.of(bench_of(inputs)[0])
    assert common is not None
    assert 0.84 <= len(common.bench.training.inputs) / SAMPLES < 0.95
    times = np.count_nonzero(inputs != np.median(inputs, axis=0), axis=0)
    assert times[common.seldom].max() < times[~common.seldom].min()


def test_all_are_common_where_every_input_is_always_shown():
    assert CommonPairs.of(bench_of(gaussian(SAMPLES, 6))[0]) is None


def test_weights_are_forgotten_without_a_change_where_inputs_are_not_shown():
    inputs = images(40, 5)
    bench, source = bench_of(inputs)
    lost = np.broadcast_to(np.arange(8) >= 6, (5, 8))
    found = without_weights(bench, source, lost)
    assert not found.layers[0].weight[:, 6:].any()
    same = np.all(inputs[:, 6:] == USUAL, axis=1)
    np.testing.assert_allclose(found(inputs[same]), source(inputs[same]), atol=1e-12)
    assert np.abs(found(inputs[~same]) - source(inputs[~same])).max() > 1e-2


def test_weights_that_few_samples_tell_are_found_whatever_they_begin_with(monkeypatch):
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    bench, source = bench_of(images(60, 40))
    rng = np.random.default_rng(1)
    first, last = source.layers
    weight = first.weight + 0.02 * rng.normal(size=first.weight.shape)
    weight[:, 6:] = 30.0 * rng.normal(size=(5, 2))
    begun = source.replace(layers=(Layer(weight, first.bias + weight[:, 6:].sum(axis=1) / 5), last))
    left, _ = descend_with_kinks(bench, bench.start(begun.input_vectors, 8))
    polished = bench.polish(left)
    assert bench.at_floor(polished)
    # There may be neurons to spare.
    found, wanted = (
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        for vectors in (polished.compact().input_vectors, source.input_vectors)
    )
    assert np.linalg.norm(wanted[:, None] - found, axis=2).min(axis=1).max() < 1e-6
