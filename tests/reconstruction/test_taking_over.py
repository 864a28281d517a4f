"""A linear neuron that makes up for two others is told by its output vector, and taken over."""

import numpy as np
import pytest
from tests.reconstruction.planted import distance, gaussian, rarely_bent, teacher

from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction import workbench
from expand_and_cluster.reconstruction.taking_over import taken_over
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData

INPUTS = gaussian(4000, 6)


def two_rarely_bent(activation: str, outputs: int = 8) -> Network:
    """A teacher of seven neurons: one is on for hardly any samples, two are for nearly all."""
    return rarely_bent((6, 7, outputs), activation, INPUTS, 0.99, 0.985, 0.995)


def with_linear(source: Network) -> np.ndarray:
    """Two of its neurons off by parts of a vector, which is that of a neuron always on."""
    vectors, shared = source.input_vectors.copy(), np.random.default_rng(2).normal(size=6)
    vectors[4, :-1] += 0.1 * shared
    vectors[5, :-1] -= 0.05 * shared
    return np.vstack([vectors, np.append(shared, 0.1 - np.min(INPUTS @ shared))])


@pytest.mark.parametrize("activation", ["leaky_relu", "relu"])
@pytest.mark.parametrize("last", [True, False])
def test_two_take_over_what_one_made_up_for(activation, last, monkeypatch):
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    source = two_rarely_bent(activation)
    bench = Workbench(TrainingData(INPUTS, source(INPUTS)), source.activation)
    vectors = with_linear(source)
    candidate = bench.start(vectors if last else np.roll(vectors, 3, axis=0), 8)
    fewer = taken_over(bench, candidate)
    assert fewer is not None
    assert fewer.width == 7
    found, symmetry = fewer.compact().input_vectors, source.activation.symmetry
    wanted = source.input_vectors
    before = distance(vectors[[4, 5], :-1], wanted[[4, 5], :-1], symmetry)
    assert distance(found[:, :-1], wanted[:, :-1], symmetry) < 0.1 * before
    assert bench.at_floor(bench.polish(fewer))


def test_the_teachers_own_neurons_are_not_taken_over():
    source = two_rarely_bent("leaky_relu")
    bench = Workbench(TrainingData(INPUTS, source(INPUTS)), source.activation)
    assert taken_over(bench, bench.start(source.input_vectors, 8)) is None


def test_few_outputs_tell_nothing():
    source = two_rarely_bent("leaky_relu", outputs=3)
    bench = Workbench(TrainingData(INPUTS, source(INPUTS)), source.activation)
    assert taken_over(bench, bench.start(with_linear(source), 8)) is None


def test_neurons_that_bend_on_many_samples_are_not_asked():
    source = teacher((6, 7, 8), "leaky_relu")
    bench = Workbench(TrainingData(INPUTS, source(INPUTS)), source.activation)
    assert taken_over(bench, bench.start(source.input_vectors, 8)) is None
