"""Whole recoveries from rounded and from noisy answers."""

from typing import Any

import numpy as np
import pytest
from tests.reconstruction.planted import gaussian, teacher

import expand_and_cluster as eac
from expand_and_cluster.queries.reading import Reader
from expand_and_cluster.scoring.coverage import coverage

QUICK: dict[str, Any] = {"students": 4, "width": 6, "seed": 0}
ROWS = 1600


def noisy_pairs(source, noise, *, seed=5):
    inputs = gaussian(ROWS, source.input_size)
    answers = source(inputs)
    answers = answers + noise * np.random.default_rng(seed).normal(size=answers.shape)
    return eac.QueryPairs(inputs, answers)


def assert_as_stated(recovery, source):
    """Every weight within five standard errors, most of them within two."""
    assert recovery.verdict.identified, recovery.verdict.reasons
    found = coverage(recovery, source)
    assert found is not None
    assert np.abs(found.deviations).max() < 5.0
    assert found.within(2.0) > 0.7


@pytest.mark.parametrize(
    ("activation", "outputs", "noise"),
    [
        ("tanh", 2, 1e-6),
        pytest.param("g", 1, 1e-2, marks=pytest.mark.slow),
        pytest.param("sigmoid", 1, 1e-4, marks=pytest.mark.slow),
        pytest.param("relu", 1, 1e-3, marks=pytest.mark.slow),
        pytest.param("softplus", 2, 1e-5, marks=pytest.mark.slow),
    ],
)
def test_weights_come_back_as_near_as_the_standard_errors_say(activation, outputs, noise):
    source = teacher((4, 2, outputs), activation)
    recovery = eac.recover(noisy_pairs(source, noise), activation=activation, **QUICK)
    assert_as_stated(recovery, source)
    assert recovery.settings["noise_found"] == pytest.approx(noise, rel=0.2)
    assert recovery.network.skip is None


def test_rounded_answers_are_noise_whose_size_is_known(tmp_path):
    source = teacher((4, 2, 1), "tanh")
    inputs = gaussian(ROWS, 4)
    pairs = eac.QueryPairs(inputs, np.round(source(inputs), 4))
    recovery = eac.recover(pairs, activation="tanh", **QUICK)
    assert_as_stated(recovery, source)
    assert recovery.settings["answers_written_in"] == "4 decimals"
    assert recovery.settings["noise_found"] == pytest.approx(1e-4 / np.sqrt(12.0), rel=0.2)
    assert any("times what was known" in reason for reason in recovery.verdict.reasons)
    recovery.save(tmp_path)
    again = eac.load(tmp_path)
    assert again == recovery
    assert again.standard_errors is not None


def test_more_noise_than_is_known_of_is_not_identified():
    source = teacher((4, 2, 1), "tanh")
    recovery = eac.recover(noisy_pairs(source, 1e-2), activation="tanh", noise=1e-3, **QUICK)
    assert not recovery.verdict.identified
    assert any("too much" in reason for reason in recovery.verdict.reasons)


@pytest.mark.slow
def test_too_much_noise_to_see_a_neuron_is_not_identified():
    source = teacher((4, 2, 1), "tanh")
    recovery = eac.recover(noisy_pairs(source, 0.5), activation="tanh", **QUICK)
    assert not recovery.verdict.identified


def test_exact_answers_state_no_standard_errors():
    source = teacher((4, 2, 1), "tanh")
    recovery = eac.recover(noisy_pairs(source, 0.0), activation="tanh", **QUICK)
    assert recovery.verdict.identified
    assert recovery.standard_errors is None
    assert coverage(recovery, source) is None


def test_an_input_that_never_varies_keeps_nothing_from_being_identified():
    source = teacher((3, 3, 2), "tanh")
    inputs = np.column_stack([gaussian(ROWS, 3), np.full(ROWS, 0.7)])
    wider = eac.Network.from_arrays(
        [
            (np.column_stack([source.layers[0].weight, np.ones(3)]), source.layers[0].bias),
            (source.layers[1].weight, source.layers[1].bias),
        ],
        "tanh",
    )
    answers = wider(inputs) + 1e-4 * np.random.default_rng(5).normal(size=(ROWS, 2))
    recovery = eac.recover(eac.QueryPairs(inputs, answers), activation="tanh", **QUICK)
    assert list(np.flatnonzero(recovery.masked_inputs)) == [3]
    assert_as_stated(recovery, wider)


def test_another_activation_is_not_taken_for_noise(monkeypatch):
    monkeypatch.setattr("expand_and_cluster.one_layer.ROUNDS", 1)
    source = teacher((4, 2, 1), "g")
    recovery = eac.recover(noisy_pairs(source, 1e-3), activation="tanh", **QUICK)
    assert not recovery.verdict.identified


def test_differences_are_not_asked_of_noisy_answers():
    reader = Reader("logits", noise=1e-3)
    answers = reader.read(np.random.default_rng(0).normal(size=(20, 2)))
    assert reader.precision(answers) is None
    assert reader.noise == 1e-3
    rounded = Reader("logits")
    assert rounded.precision(rounded.read(np.round(answers, 2))) is None
    assert rounded.noise == pytest.approx(1e-2 / np.sqrt(12.0))
