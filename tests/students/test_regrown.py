"""Students start from what is known of a layer, each with other neurons beside it."""

import numpy as np
import pytest

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.fitting.result import Fit, StopReason
from expand_and_cluster.students import regrown
from expand_and_cluster.students.regrown import Ground, regrow
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.teachers.synthetic import synthetic_deep, synthetic_inputs

TEACHER = synthetic_deep((3, 3, 2, 1), seed=0)
INPUTS = synthetic_inputs(2000, 3, seed=1)
DATA = TrainingData(INPUTS, TEACHER(INPUTS))
RNG = np.random.default_rng(0)
OTHERS = RNG.normal(size=(20, 4))


def first_layer() -> np.ndarray:
    layer = TEACHER.layers[0]
    return np.column_stack([layer.weight, layer.bias])


def untouched(students: Network, *_: object, **__: object) -> Fit:
    count = students.students or 0
    stops = (StopReason.UNTRAINED,) * count
    return Fit(students, np.ones(count), np.zeros(1, np.int64), np.ones((count, 1)), stops)


def grown(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> Network:
    """Three students at their start."""
    monkeypatch.setattr(regrown, "fit_adam", untouched)
    return regrow(DATA, ground, (4,), resolve("g"), count=3, seed=(0, 0)).students


@pytest.mark.parametrize(
    ("known", "others", "width"), [(3, 20, 5), (10, 20, 15), (3, 1, 4), (3, 0, 3), (0, 20, 2)]
)
def test_half_as_many_neurons_are_to_spare_where_there_are_others(known, others, width):
    ground = Ground((), RNG.normal(size=(known, 4)), OTHERS[:others], np.ones(others))
    assert ground.width == width


def test_known_neurons_lead_and_others_differ(monkeypatch: pytest.MonkeyPatch):
    ground = Ground((), first_layer(), OTHERS, np.ones(20))
    students = grown(ground, monkeypatch)
    assert students.widths == (3, 5, 4, 1)
    taken = set()
    for index in range(3):
        layer = students.student(index).layers[0]
        vectors = np.column_stack([layer.weight, layer.bias])
        np.testing.assert_array_equal(vectors[:3], first_layer())
        spare = [int(np.flatnonzero((row == OTHERS).all(axis=1))[0]) for row in vectors[3:]]
        assert len(set(spare)) == 2
        taken |= set(spare)
    assert len(taken) > 2


def test_rebuilt_layers_stay_below_what_is_known(monkeypatch: pytest.MonkeyPatch):
    second = TEACHER.layers[1]
    known = np.column_stack([second.weight, second.bias])
    ground = Ground((TEACHER.layers[0],), known, np.zeros((0, 4)), np.zeros(0))
    students = grown(ground, monkeypatch)
    assert students.widths == (3, 3, 2, 4, 1)
    np.testing.assert_array_equal(students.student(1).layers[0].weight, TEACHER.layers[0].weight)
    np.testing.assert_array_equal(students.student(1).layers[1].weight, second.weight)


def test_all_weights_are_trained(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(regrown, "ADAM", regrown.AdamSettings(steps=200, batch_size=256))
    below = (Layer(np.array(TEACHER.layers[0].weight), np.array(TEACHER.layers[0].bias)),)
    ground = Ground(below, RNG.normal(size=(3, 4)), OTHERS, np.ones(20))
    fit = regrow(DATA, ground, (), resolve("g"), count=2, seed=(0, 0))
    assert np.all(fit.losses < 0.5 * np.var(DATA.targets))
    assert not np.allclose(fit.students.student(0).layers[0].weight, below[0].weight)
