"""Neurons with a kink are found on common pairs first, and others explained after them."""

import time

import numpy as np
from tests.reconstruction.planted import images, teacher

from expand_and_cluster.core.network import Layer
from expand_and_cluster.reconstruction import kinked, workbench
from expand_and_cluster.reconstruction.kinked import descend_with_kinks
from expand_and_cluster.reconstruction.ordinary import whole_error
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData


def test_weights_that_few_samples_tell_are_found_whatever_they_begin_with(monkeypatch):
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    inputs = images(3000, 6, 60, 40)
    source = teacher((8, 5, 4), "leaky_relu")
    bench = Workbench(TrainingData(inputs, source(inputs)), source.activation)
    common = bench.training.shown.common(kinked.COMMON)
    assert common is not None
    assert common.inputs.sum() == 6
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


def test_weights_that_nothing_tells_any_more_stay_when_time_is_up():
    inputs = images(3000, 6, 60, 40)
    source = teacher((8, 5, 4), "leaky_relu")
    bench = Workbench(
        TrainingData(inputs, source(inputs)), source.activation, deadline=time.monotonic() - 1.0
    )
    assert bench.training.shown.common(kinked.COMMON) is not None
    begun = bench.start(source.input_vectors, 8)
    left, removals = descend_with_kinks(bench, begun)
    assert not removals
    assert left.loss == whole_error(bench, begun) < 1e-20
    assert left.network.layers[0].weight[:, 6:].any()
