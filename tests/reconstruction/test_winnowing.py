"""Neurons to spare are lost while errors are large, and those of the teacher are not."""

from dataclasses import replace

import numpy as np
import pytest
from tests.reconstruction.planted import distance, gaussian, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.reconstruction import winnowing, workbench
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.fusing import FREE, fuse
from expand_and_cluster.reconstruction.ordinary import ORDINARY
from expand_and_cluster.reconstruction.thinning import thin
from expand_and_cluster.reconstruction.winnowing import winnow
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData


def planted(activation: str, samples: int = 800) -> tuple[Network, Workbench, Candidate]:
    """A teacher, a bench of its answers, and its neurons moved, two copied, two of nothing."""
    rng = np.random.default_rng(1)
    source = teacher((6, 5, 3), activation)
    inputs = gaussian(samples, 6)
    data = TrainingData(inputs, source(inputs))
    bench = Workbench(data, source.activation, skip=source.activation.leaves_line)
    near = source.input_vectors + 0.05 * rng.normal(size=(5, 7))
    copies = source.input_vectors[:2] + 0.05 * rng.normal(size=(2, 7))
    vectors = np.vstack([near, copies, rng.normal(size=(2, 7))])
    return source, bench, bench.start(vectors, 16)


def ordinary(candidate: Candidate, data: TrainingData) -> float:
    """Mean squared error of the samples that are off by least."""
    squares = np.sort(np.mean((candidate.compact()(data.inputs) - data.targets) ** 2, axis=1))
    return float(np.mean(squares[: round(ORDINARY * len(squares))]))


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_what_is_lost_is_made_up_for_as_by_least_squares(activation):
    """Of all neurons, without one that moves the outputs least, by brute force."""
    _, bench, candidate = planted(activation)
    values = np.concatenate([bench.features(candidate.network), bench.fixed], axis=1)
    places = np.flatnonzero(candidate.present)
    weights = candidate.network.layers[1].weight
    moved = {}
    for place in places:
        others = [*places[places != place], *range(16, values.shape[1])]
        share = np.linalg.lstsq(values[:, others], values[:, place], rcond=None)[0]
        given = np.outer(values[:, others] @ share - values[:, place], weights[:, place])
        moved[place] = candidate.compact()(bench.training.inputs) + given
    expected = min(
        moved.values(), key=lambda one: np.mean((one - moved_from(bench, candidate)) ** 2)
    )
    squares = np.sort(np.mean((expected - bench.training.targets) ** 2, axis=1))
    error = float(np.mean(squares[: round(ORDINARY * len(squares))]))
    thinned, removals = thin(bench, candidate, 1.01 * error)
    assert removals[0].loss == pytest.approx(error, rel=1e-4)
    assert thinned.width == candidate.width - len(removals)
    assert ordinary(thinned, bench.training) == pytest.approx(thinned.loss, rel=1e-6)


def moved_from(bench: Workbench, candidate: Candidate) -> np.ndarray:
    """Outputs before anything is lost."""
    return candidate.compact()(bench.training.inputs)


def test_nothing_is_thinned_out_beyond_the_ceiling():
    _, bench, candidate = planted("tanh")
    assert thin(bench, candidate, 0.0)[1] == ()
    alone, removals = thin(bench, candidate, np.inf)
    assert (alone.width, len(removals)) == (1, candidate.width - 1)
    assert [removal.width for removal in removals] == list(range(8, 0, -1))


@pytest.mark.parametrize("most", [0.0, 1e-2, np.inf])
@pytest.mark.parametrize("activation", ["tanh", "g", "softplus", "relu"])
def test_the_teachers_neurons_are_left(activation, most, monkeypatch):
    """However many are lost at once on trial: what steps do not make up for is undone."""
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    monkeypatch.setattr(winnowing, "MOST", most)
    source, bench, candidate = planted(activation)
    left, removals = winnow(bench, candidate)
    assert left.width == 5
    assert len(removals) == 4
    vectors = left.compact().input_vectors
    assert distance(vectors, source.input_vectors, source.activation.symmetry) < 1e-3
    error = left.compact()(bench.training.inputs) - bench.training.targets
    assert left.loss == pytest.approx(np.mean(error**2), rel=1e-6, abs=1e-28)


def test_samples_far_off_decide_nothing(monkeypatch):
    """One in fifty answers is wrong by as much as the outputs vary; the others are fitted."""
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    source, bench, candidate = planted("tanh", 2000)
    wrong = bench.training.targets.copy()
    wrong[::50] += np.random.default_rng(3).normal(size=wrong[::50].shape) * wrong.std(axis=0)
    spoiled = Workbench(TrainingData(bench.training.inputs, wrong), source.activation)
    left, _ = winnow(spoiled, replace(candidate, loss=1.0))
    assert left.width == 5
    vectors = left.compact().input_vectors
    assert distance(vectors, source.input_vectors, source.activation.symmetry) < 1e-3


def test_a_neuron_that_few_samples_show_is_not_thinned_out():
    """Among ordinary samples it costs little; one in fifty shows it."""
    source = teacher((6, 5, 3), "relu")
    first, last = source.layers
    bias = first.bias.copy()
    inputs = gaussian(2000, 6)
    bias[0] = -np.quantile(inputs @ first.weight[0], 0.98)
    source = source.replace(layers=(Layer(first.weight, bias), last))
    data = TrainingData(inputs, source(inputs))
    bench = Workbench(data, source.activation)
    rng = np.random.default_rng(0)
    vectors = source.input_vectors + 1e-4 * rng.normal(size=(5, 7))
    candidate = bench.start(vectors, 8)
    without = bench.solve_outputs(candidate.network, candidate.present & (np.arange(8) != 0))
    assert thin(bench, candidate, 1.01 * ordinary(without, data)) == (candidate, ())


def pieces() -> tuple[Workbench, Candidate]:
    """A teacher's neurons moved, and two in the place of one of them, read alike."""
    source, bench, _ = planted("tanh")
    rng = np.random.default_rng(2)
    apart = 0.1 * rng.normal(size=7)
    first, others = source.input_vectors[:1], source.input_vectors[1:]
    moved = others + 0.03 * rng.normal(size=others.shape)
    candidate = bench.start(np.vstack([first + apart, first - apart, moved]), 16)
    return bench, replace(candidate, loss=ordinary(candidate, bench.training))


@pytest.mark.parametrize(("share", "width"), [(0.9, 6), (1.5, 5)])
def test_neurons_that_are_read_alike_are_made_one_up_to_the_ceiling(share, width):
    bench, candidate = pieces()
    fused, removals = fuse(bench, candidate, np.inf)
    # It costs more than what is made one after any step.
    assert fused.loss > FREE * candidate.loss
    left, lost = winnowing._fuse(bench, candidate, share * fused.loss)
    assert (left.width, len(lost)) == (width, 6 - width)
    assert len(removals) == 1


@pytest.mark.parametrize(("better", "width"), [(0.4, 5), (0.6, 6)])
def test_what_is_made_one_on_trial_stays_where_steps_bring_the_error_back(
    better, width, monkeypatch
):
    """Steps come to nothing, but from one neuron less."""
    bench, candidate = pieces()
    monkeypatch.setattr(winnowing, "MOST", np.inf)
    monkeypatch.setattr(winnowing, "STEPS", 1)
    monkeypatch.setattr(winnowing, "thin", lambda bench, candidate, ceiling: (candidate, ()))
    monkeypatch.setattr(winnowing, "STRAIGHT", ())

    def steps(bench: Workbench, one: Candidate):
        if one.width < candidate.width:
            yield replace(one, loss=better * one.loss)

    monkeypatch.setattr(winnowing, "_steps", steps)
    left, removals = winnow(bench, candidate, winnowing.Pace(patience=1))
    assert (left.width, len(removals)) == (width, 6 - width)
