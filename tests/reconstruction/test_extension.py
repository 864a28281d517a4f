"""Weights of inputs that few pairs show are told once those of the others are known."""

import time

import numpy as np
import pytest
from tests.reconstruction.planted import USUAL, images, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.queries.common_pairs import Shown
from expand_and_cluster.reconstruction import extension, workbench
from expand_and_cluster.reconstruction.extension import extend
from expand_and_cluster.reconstruction.signs import flip_neurons
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData

SAMPLES = 3000
# Of ten inputs; the last is too rare for five neurons and four outputs.
SHOWN = (200, 150, 60, 3)
COMMON_LEAST = 1000


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch):
    """No network is so small that its normal equations are written out."""
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)


INPUTS = images(SAMPLES, 6, *SHOWN)


def begun(activation: str, moved: float = 0.0, **rest) -> tuple[Workbench, Network, Network]:
    """All pairs, the teacher, and what is known of it: weights of common inputs, a little moved."""
    source = teacher((10, 5, 4), activation)
    bench = Workbench(TrainingData(INPUTS, source(INPUTS)), source.activation, **rest)
    common = Shown(INPUTS).by(COMMON_LEAST)
    known = common.lift(common.restrict(source))
    first = known.layers[0]
    noise = moved * np.random.default_rng(1).normal(size=first.weight.shape) * common.inputs
    return (
        bench,
        source,
        known.replace(layers=(Layer(first.weight + noise, first.bias), known.layers[1])),
    )


@pytest.mark.parametrize(("activation", "moved"), [("tanh", 1e-3), ("softplus", 0.0)])
def test_weights_of_all_but_rare_inputs_are_told(activation: str, moved: float):
    bench, source, known = begun(activation, moved)
    found, removals = extend(bench, known, COMMON_LEAST)
    assert not removals
    wanted = source.layers[0].weight.copy()
    wanted[:, 9] = 0.0
    np.testing.assert_allclose(found.layers[0].weight, wanted, atol=1e-8)
    shown = INPUTS[:, 9] == USUAL
    np.testing.assert_allclose(found(INPUTS[shown]), source(INPUTS[shown]), atol=1e-8)


def test_an_affine_map_that_wrong_signs_leave_vanishes():
    bench, source, known = begun("softplus", skip=True)
    flipped = flip_neurons(known, np.array([True, False, True, False, False]))
    assert flipped.skip is not None
    found, _ = extend(bench, flipped, COMMON_LEAST)
    assert found.skip is None
    wanted = source.layers[0].weight.copy()
    wanted[:, 9] = 0.0
    np.testing.assert_allclose(found.layers[0].weight, wanted, atol=1e-8)


def test_an_affine_map_that_no_signs_explain_stays():
    bench, _, known = begun("softplus", skip=True)
    slopes = np.random.default_rng(2).normal(size=(4, 10))
    slopes[:, 6:] = 0.0
    skip = Layer(slopes, np.zeros(4))
    outputs = bench.training.targets + INPUTS @ skip.weight.T
    bench = Workbench(TrainingData(INPUTS, outputs), bench.activation, skip=True)
    found, _ = extend(bench, known.replace(skip=skip), COMMON_LEAST)
    assert found.skip is not None
    shown = INPUTS[:, 9] == USUAL
    np.testing.assert_allclose(found(INPUTS[shown]), outputs[shown], atol=1e-8)


def test_nothing_is_told_when_time_is_up():
    bench, _, known = begun("tanh", deadline=time.monotonic() - 1.0)
    found, removals = extend(bench, known, COMMON_LEAST)
    assert not removals
    np.testing.assert_array_equal(found.layers[0].weight, known.layers[0].weight)


def test_every_level_has_new_inputs_down_to_the_rare_ones():
    levels = list(extension._levels(Shown(INPUTS), COMMON_LEAST, 4))
    assert [level.inputs.sum() for level in levels] == [6, 8, 9, 9]
    assert levels[-1].least == 4


def test_common_inputs_come_to_rounding_where_no_other_can_be_told(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(extension, "least_shown", lambda *_: COMMON_LEAST + 1)
    bench, source, known = begun("tanh", moved=1e-3)
    found, _ = extend(bench, known, COMMON_LEAST)
    shown = np.all(INPUTS[:, 6:] == USUAL, axis=1)
    np.testing.assert_allclose(found(INPUTS[shown]), source(INPUTS[shown]), atol=1e-8)
    assert not found.layers[0].weight[:, 6:].any()


def test_signs_that_common_pairs_do_not_tell_are_told_by_more_of_them():
    bench, source, known = begun("softplus", moved=1e-2, skip=True)
    flipped = flip_neurons(known, np.array([True, False, True, False, False]))
    noise = 1e-2 * np.random.default_rng(3).normal(size=(4, 10))
    noise[:, 6:] = 0.0
    assert flipped.skip is not None
    skip = Layer(flipped.skip.weight + noise, flipped.skip.bias)
    found, _ = extend(bench, flipped.replace(skip=skip), COMMON_LEAST)
    assert found.skip is None
    shown = INPUTS[:, 9] == USUAL
    np.testing.assert_allclose(found(INPUTS[shown]), source(INPUTS[shown]), atol=1e-8)


def test_signs_are_told_by_common_inputs_where_those_of_others_are_wrong():
    """What the affine map has of seldom shown inputs rests at their usual values."""
    _, source, known = begun("softplus", skip=True)
    flipped = flip_neurons(known, np.array([True, False, True, False, False]))
    assert flipped.skip is not None
    wrong = flipped.skip.weight.copy()
    wrong[:, 8] += np.random.default_rng(4).normal(size=4)
    # The same where the input is at its usual value.
    bias = flipped.skip.bias - USUAL * (wrong - flipped.skip.weight)[:, 8]
    common = Shown(INPUTS).by(COMMON_LEAST)
    found = extension._without_skip(flipped.replace(skip=Layer(wrong, bias)), common)
    assert found.skip is None
    shown = np.all(INPUTS[:, 6:] == USUAL, axis=1)
    np.testing.assert_allclose(found(INPUTS[shown]), source(INPUTS[shown]), atol=1e-12)
