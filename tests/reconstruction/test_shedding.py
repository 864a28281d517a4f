"""Large candidates with neurons to spare end as the teacher, without any matrix."""

from dataclasses import replace

import numpy as np
import pytest
from tests.reconstruction.planted import distance, gaussian, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.fitting.gauss_newton import GaussNewton, GaussNewtonSettings
from expand_and_cluster.fitting.result import Fit, StopReason
from expand_and_cluster.reconstruction import shedding, winnowing, workbench
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.consensus import gather
from expand_and_cluster.reconstruction.filling import filled_up
from expand_and_cluster.reconstruction.prune import Removal, without
from expand_and_cluster.reconstruction.rebuild import rebuild
from expand_and_cluster.reconstruction.starts import SearchSettings, starts
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData


@pytest.mark.parametrize(
    ("activation", "own"), [("tanh", 1 << 31), ("g", 1 << 31), ("softplus", 1 << 31), ("tanh", 0)]
)
def test_spare_neurons_are_shed(activation, own, monkeypatch):
    """In each neuron's own coordinates, and in common ones where these would take too much."""
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    monkeypatch.setattr(workbench, "MOST_OWN", own)
    rng = np.random.default_rng(1)
    source = teacher((6, 5, 3), activation)
    inputs = gaussian(800, 6)
    data = TrainingData(inputs, source(inputs))
    bench = Workbench(data, source.activation, skip=source.activation.leaves_line)
    near = source.input_vectors + 0.05 * rng.normal(size=(5, 7))
    copies = source.input_vectors[:2] + 0.05 * rng.normal(size=(2, 7))
    vectors = np.vstack([near, copies, rng.normal(size=(2, 7))])
    rebuilt = rebuild(bench, vectors, 16, spare=True)
    assert rebuilt.exact
    assert rebuilt.network.hidden_widths == (5,)
    assert len(rebuilt.removals) == 4
    assert all(removal.reason for removal in rebuilt.removals)
    symmetry = source.activation.symmetry
    assert distance(rebuilt.network.input_vectors, source.input_vectors, symmetry) < 1e-7


def test_pieces_of_one_neuron_become_it_on_trial(monkeypatch):
    """They fit what is left of the error, and so none is free, nor are all of them at first."""
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    monkeypatch.setattr(shedding, "winnow", lambda bench, candidate: (candidate, ()))
    source = teacher((6, 5, 4), "tanh")
    inputs = gaussian(800, 6)
    bench = Workbench(TrainingData(inputs, source(inputs)), source.activation)
    vectors = source.input_vectors
    pieces = np.array([0.8, 1.1, 1.3])[:, None] * vectors[:1]
    left, removals = shedding.shed(bench, bench.start(np.vstack([pieces, vectors[1:]]), 8))
    assert bench.at_floor(left)
    assert [removal.width for removal in removals] == [5]
    assert removals[0].reason == "3 neurons with parallel output vectors do what one does"


def test_neurons_that_cannot_be_one_do_not_keep_others_from_being_joined(monkeypatch):
    """Steps do not make up for one of the teacher's: that trial is undone, the next one made."""
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    source = teacher((6, 5, 4), "tanh")
    inputs = gaussian(800, 6)
    bench = Workbench(TrainingData(inputs, source(inputs)), source.activation)
    vectors = source.input_vectors + 0.02 * np.random.default_rng(2).normal(size=(5, 7))
    candidate = bench.start(np.vstack([vectors, 1.02 * vectors[:1]]), 8)

    def fused(bench: Workbench, candidate: Candidate, rise: float):
        fewer = without(bench, candidate, 3)
        return fewer, (Removal(fewer.width, "one of the teacher's", fewer.loss),)

    monkeypatch.setattr(shedding, "fuse", fused)
    left, removals = shedding._lightened(bench, candidate)
    assert left.loss <= candidate.loss
    assert [removal.reason for removal in removals] == ["it acts as one with another neuron"]


def test_nothing_is_shed_where_all_are_needed(monkeypatch):
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    source = teacher((6, 5, 3), "tanh")
    inputs = gaussian(800, 6)
    bench = Workbench(TrainingData(inputs, source(inputs)), source.activation)
    start = source.input_vectors + 0.1 * np.random.default_rng(2).normal(size=(5, 7))
    rebuilt = rebuild(bench, start, 8, spare=True)
    assert rebuilt.exact
    assert rebuilt.removals == ()


def test_samples_far_off_are_let_in_little_by_little(monkeypatch):
    """One step for each share of the samples, then steps that count all alike."""
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    source = teacher((6, 5, 3), "tanh")
    inputs = gaussian(800, 6)
    bench = Workbench(TrainingData(inputs, source(inputs)), source.activation)
    descents = []

    def watched(candidate: Candidate, settings: GaussNewtonSettings) -> GaussNewton:
        descents.append(Workbench.descent(bench, candidate, settings))
        return descents[-1]

    monkeypatch.setattr(bench, "descent", watched)
    start = source.input_vectors + 0.1 * np.random.default_rng(2).normal(size=(5, 7))
    left, _ = shedding.shed(bench, bench.start(start, 8))
    assert bench.at_floor(left)
    shares = [descent.settings.robust for descent in descents]
    last = len(shares) - shares[::-1].index(winnowing.NEAREST)
    assert shares[last : last + 4] == [0.9, 0.99, 0.999, None]
    assert all(descent.step <= 1 for descent in descents[last : last + 3])


def test_tightened_candidates_are_the_same_network():
    source = teacher((4, 5, 2), "tanh")
    inputs = gaussian(100, 4)
    bench = Workbench(TrainingData(inputs, source(inputs)), source.activation)
    wide = bench.start(np.vstack([source.input_vectors, np.ones((12, 5))]), 24)
    few = Candidate(wide.network, np.isin(np.arange(24), [0, 2, 4]), wide.loss)
    tight = few.tightened()
    assert len(tight.present) == 8
    assert tight.width == 3
    np.testing.assert_array_equal(tight.compact()(inputs), few.compact()(inputs))


def test_only_neurons_far_from_all_known_fill_up():
    population = population_of_two()
    known = np.array([[1.0, 0.0, 0.0]])
    filled = filled_up(known, population, sign_free=True, angle=np.pi / 12, most=9)
    np.testing.assert_array_equal(filled, [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]])
    signed = filled_up(known, population, sign_free=False, angle=np.pi / 12, most=9)
    best_first = [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [-2.0, -0.02, 0.0], [0.0, 0.0, 2.0]]
    np.testing.assert_allclose(signed, best_first)
    few = filled_up(known, population, sign_free=False, angle=np.pi / 12, most=3)
    assert len(few) == 3
    np.testing.assert_array_equal(few[1], [0.0, 2.0, 0.0])
    assert len(filled_up(known, population, sign_free=False, angle=np.pi / 12, most=1)) == 1


def test_what_two_students_share_is_filled_up_from_both():
    students, losses, _ = two_students()
    fit = Fit(students, losses, np.array([1]), losses[:, None], (StopReason.STEPS,) * 2)
    settings = SearchSettings(2, 2, 0, 0.5, np.pi / 12, "adam", 1, given=True)
    population = population_of_two()
    found = list(starts(population, fit, students.activation, settings, equations=1000))
    assert [start.source for start in found] == ["consensus, filled up"]
    assert found[0].filled
    assert found[0].consensus is not None
    # What only one of two students holds is no agreement.
    assert len(found[0].consensus.candidates) == 1
    assert len(found[0].vectors) == 2
    np.testing.assert_array_equal(found[0].vectors[1], [0.0, 2.0, 0.0])
    assert list(starts(population, fit, students.activation, settings, equations=3)) == []
    # Where pairs determine no more, nothing fills up what two agree on.
    one = found[0].vectors.shape[1] + students.output_size
    least = next(starts(population, fit, students.activation, settings, equations=one))
    assert len(least.vectors) == 1
    # Their directions are a hundredth of a radian apart.
    strict = replace(settings, max_cluster_angle=1e-3)
    alone = next(starts(population, fit, students.activation, strict, equations=1000))
    assert alone.consensus is not None
    assert len(alone.consensus.candidates) == 0


def two_students():
    """Two students that share one neuron, up to its sign; the first one is the better."""
    first = np.array([[[2.0, 0.0], [0.0, 2.0]], [[-2.0, -0.02], [0.0, 0.0]]])
    bias = np.array([[0.0, 0.0], [0.0, 2.0]])
    last = np.ones((2, 1, 2))
    activation = teacher((2, 2, 1), "tanh").activation
    students = Network((Layer(first, bias), Layer(last, np.zeros((2, 1)))), activation)
    return students, np.array([1e-6, 2e-6]), gaussian(300, 2)


def population_of_two():
    students, losses, inputs = two_students()
    values = np.ones((2, len(inputs), 2)) * np.linspace(-1.0, 1.0, len(inputs))[:, None]
    return gather(students, losses, values, inputs)
