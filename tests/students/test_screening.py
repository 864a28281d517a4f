import numpy as np
import pytest
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.students import screening
from expand_and_cluster.students.screening import screen
from expand_and_cluster.students.training import TrainingData

CANDIDATES = [catalogue[name] for name in ("relu", "tanh", "softplus")]


def data(activation="tanh", *, samples=400, noise=0.0, seed=0):
    source = teacher((3, 2, 1), activation)
    inputs = gaussian(samples, 3, seed)
    outputs = source(inputs) + noise * np.random.default_rng(seed).normal(size=(samples, 1))
    return TrainingData(inputs, outputs)


@pytest.fixture(scope="module")
def ranked():
    return screen(data(), data(seed=1), CANDIDATES, seed=0, width=4)


def test_the_right_activation_ranks_first_at_rounding(ranked):
    first, *others = ranked
    assert first.activation.name == "tanh"
    assert first.reached
    assert first.width == 4
    assert not any(trial.reached for trial in others)
    assert others[0].error > 1e6 * first.error


def test_every_candidate_is_ranked(ranked):
    assert {trial.activation.name for trial in ranked} == {each.name for each in CANDIDATES}
    errors = [trial.error for trial in ranked]
    assert errors == sorted(errors)


def test_noise_leaves_nobody_at_rounding():
    noisy = screen(data(noise=1e-3), data(seed=1), CANDIDATES[1:2], seed=0, width=4)
    assert not noisy[0].reached
    assert 1e-4 < noisy[0].error < 1e-2


def test_no_time_leaves_all_untried():
    trials = screen(data(), data(seed=1), CANDIDATES, seed=0, deadline=0.0)
    assert [trial.width for trial in trials] == [0, 0, 0]
    assert all(np.isinf(trial.error) for trial in trials)


def test_the_worse_half_is_left_behind(monkeypatch):
    tried = []

    class Fit:
        def __init__(self, activation):
            self.activation = activation

        def students(self, inputs):
            place = list(catalogue).index(self.activation.name)
            return np.full((3, len(inputs), 1), 1.0 + place)

    def train(data, width, activation, **more):
        tried.append((width, activation.name))
        return Fit(activation)

    monkeypatch.setattr(screening, "train_students", train)
    zeros = TrainingData(np.zeros((900, 3)), np.zeros((900, 1)))
    screen(zeros, zeros, list(catalogue.values()), seed=0)
    counts = [sum(width == each for width, _ in tried) for each in (8, 16, 32, 64)]
    assert counts == [11, 11, 5, 3]
    assert [name for width, name in tried if width == 64] == list(catalogue)[:3]
