import numpy as np
import pytest
from tests.reconstruction.planted import distance, gaussian, teacher

from expand_and_cluster.reconstruction.prune import prune
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData


def bench_for(source, *, skip=False, samples=400):
    inputs = gaussian(samples, source.input_size)
    return Workbench(TrainingData(inputs, source(inputs)), source.activation, skip=skip)


def spares(kind, source, rng):
    """Input vectors that a network can do without."""
    vectors = source.input_vectors
    size = vectors.shape[1]
    return {
        "duplicate": vectors[:1],
        "two duplicates": vectors[[0, 0]],
        "constant": np.eye(size)[-1:] * 0.4,
        "zero type": rng.normal(size=(1, size)),
        "two zero types": rng.normal(size=(2, size)),
        "opposite": -vectors[:1],
    }[kind]


@pytest.mark.parametrize("kind", ["duplicate", "two duplicates", "constant", "two zero types"])
@pytest.mark.parametrize(("activation", "outputs"), [("g", 1), ("tanh", 3)])
def test_exactly_the_spare_neurons_go(activation, outputs, kind):
    source = teacher((3, 3, outputs), activation)
    bench = bench_for(source)
    extra = spares(kind, source, np.random.default_rng(0))
    start = bench.start(np.vstack([source.input_vectors, extra]), 6)
    pruned, removals = prune(bench, start, sure=True)
    assert pruned.width == 3
    assert len(removals) == len(extra)
    assert [removal.width for removal in removals] == list(range(2 + len(extra), 2, -1))
    assert all("without it" in removal.reason for removal in removals)
    assert bench.at_floor(pruned)
    found = pruned.compact().input_vectors
    assert distance(found, source.input_vectors, source.activation.symmetry) < 1e-12


@pytest.mark.parametrize("activation", ["relu", "softplus", "gelu"])
def test_opposite_copy_goes_where_a_skip_takes_its_linear_part(activation):
    source = teacher((3, 3, 1), activation)
    bench = bench_for(source, skip=True)
    start = bench.start(np.vstack([source.input_vectors, -source.input_vectors[:1]]), 4)
    pruned, removals = prune(bench, start, sure=True)
    assert pruned.width == 3
    assert len(removals) == 1
    assert bench.at_floor(pruned)


def test_neuron_that_the_others_can_learn_to_replace_goes_after_a_polish():
    """Two halves of a neuron, apart: no exact duplicates, so that nothing is free at first."""
    source = teacher((3, 3, 1), "g")
    vectors = source.input_vectors
    apart = np.vstack([vectors, vectors[0] + 0.02])
    bench = bench_for(source)
    moved = np.vstack([vectors[0] - 0.02, vectors[1:], vectors[0] + 0.02])
    start = bench.start(moved, 4)
    assert not bench.at_floor(start)
    pruned, removals = prune(bench, start)
    assert pruned.width == 3
    assert len(apart) - len(removals) == 3
    assert bench.at_floor(pruned)
    found = pruned.compact().input_vectors
    assert distance(found, vectors, source.activation.symmetry) < 1e-9


@pytest.mark.parametrize("sure", [False, True])
def test_nothing_goes_where_every_neuron_is_needed(sure):
    source = teacher((3, 3, 2), "g")
    bench = bench_for(source)
    start = bench.start(source.input_vectors, 4)
    pruned, removals = prune(bench, start, sure=sure)
    assert pruned.width == 3
    assert removals == ()
    np.testing.assert_array_equal(pruned.network.input_vectors, start.network.input_vectors)


def test_one_neuron_always_stays():
    source = teacher((3, 1, 1), "g")
    bench = bench_for(source)
    pruned, removals = prune(bench, bench.start(source.input_vectors[[0, 0]], 2), sure=True)
    assert pruned.width == 1
    assert len(removals) == 1
