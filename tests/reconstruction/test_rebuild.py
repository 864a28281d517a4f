import numpy as np
import pytest
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.rebuild import finish, rebuild, slim
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.students.training import TrainingData


def bench_for(source, *, skip=False, samples=500):
    inputs = gaussian(samples, source.input_size)
    return Workbench(TrainingData(inputs, source(inputs)), source.activation, skip=skip)


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("activation", ["g", "tanh", "sigmoid", "softplus", "gelu", "relu"])
def test_perturbed_vectors_with_clutter_become_the_teacher(activation, outputs):
    source = teacher((4, 3, outputs), activation)
    symmetry = source.activation.symmetry
    rng = np.random.default_rng(1)
    vectors = source.input_vectors + 0.02 * rng.normal(size=source.input_vectors.shape)
    if symmetry.flip is not None:
        vectors[1:] *= -1.0
    clutter = rng.normal(size=(2, 5))
    bench = bench_for(source, skip=symmetry.flip is not None and symmetry.flip.linear != 0.0)
    rebuilt = rebuild(bench, np.vstack([vectors, clutter]), 6)
    assert rebuilt.exact is True
    assert rebuilt.skip_left == 0.0
    assert rebuilt.network.skip is None
    assert rebuilt.network.widths == source.widths
    assert len(rebuilt.removals) == 2
    # Softplus hides its signs least well: its regression loses two or three digits.
    assert compare(rebuilt.network, source).max_weight_error < 1e-10


@pytest.mark.parametrize("activation", ["g", "sigmoid", "gelu"])
def test_halves_of_a_neuron_that_nearly_coincide_are_joined(activation):
    """Polished to rounding, they end 1e-7 apart, and neither is free without the other."""
    source = teacher((4, 3, 1), activation)
    vectors = source.input_vectors + 0.02 * np.random.default_rng(1).normal(size=(3, 5))
    rule = source.activation.symmetry.flip
    bench = bench_for(source, skip=rule is not None and rule.linear != 0.0)
    halves = np.vstack([vectors, vectors[:1] + 1e-3])
    rebuilt = slim(bench, rebuild(bench, halves, 4), 4)
    assert rebuilt.exact is True
    assert len(rebuilt.removals) == 1
    assert rebuilt.network.widths == source.widths
    assert compare(rebuilt.network, source).max_weight_error < 1e-10


def test_too_few_neurons_are_not_exact():
    source = teacher((4, 3, 1), "g")
    rebuilt = rebuild(bench_for(source), source.input_vectors[:2], 4)
    assert rebuilt.exact is False
    assert rebuilt.loss > 1e-12
    assert rebuilt.network.hidden_widths[0] <= 2


def test_affine_map_of_the_pairs_is_left_over_and_said():
    source = teacher((4, 3, 1), "gelu")
    inputs = gaussian(400, 4)
    targets = source(inputs) + inputs @ np.array([[0.4], [0.1], [0.0], [-0.3]])
    bench = Workbench(TrainingData(inputs, targets), source.activation, skip=True)
    candidate = bench.start(source.input_vectors, 3)
    result = finish(bench, candidate, ())
    assert result.exact is True
    assert result.skip_left > 0.01
    assert result.network.skip is not None
    np.testing.assert_allclose(result.network(inputs), targets, atol=1e-12)


def test_padding_changes_nothing():
    source = teacher((3, 2, 1), "tanh")
    bench = bench_for(source)
    start = source.input_vectors + 0.05
    narrow, wide = (rebuild(bench, start, capacity).network for capacity in (2, 4))
    assert isinstance(narrow, Network)
    assert narrow.widths == wide.widths
    np.testing.assert_allclose(narrow.input_vectors, wide.input_vectors, atol=1e-12)
