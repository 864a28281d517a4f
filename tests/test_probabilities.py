"""Networks behind a softmax or a sigmoid."""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from tests.reconstruction.planted import gaussian, teacher

import expand_and_cluster as eac

QUICK: dict[str, Any] = {"activation": "tanh", "students": 4, "width": 6, "seed": 0}
READINGS = {
    "probabilities": lambda logits: softmax(logits, axis=1),
    "log_probabilities": lambda logits: log_softmax(logits, axis=1),
}


@pytest.fixture(scope="module")
def source():
    return teacher((4, 2, 3), "tanh")


@pytest.mark.parametrize("kind", READINGS)
def test_logits_come_back_but_for_what_all_share(source, kind):
    inputs = gaussian(1200, 4)
    pairs = eac.QueryPairs(inputs, READINGS[kind](source(inputs)))
    recovery = eac.recover(pairs, outputs=kind, **QUICK)
    assert recovery.verdict.identified, recovery.verdict.reasons
    assert any("sum to zero over the classes" in reason for reason in recovery.verdict.reasons)
    assert all("mean output weight" in neuron.unidentifiable for neuron in recovery.neurons)
    np.testing.assert_allclose(recovery.network(inputs).sum(axis=1), 0.0, atol=1e-13)
    # A recovery knows that its outputs are centred; a bare network must be told.
    assert eac.compare(recovery, source).max_weight_error < 1e-11
    assert eac.compare(recovery.network, source, outputs=kind).max_weight_error < 1e-11
    assert eac.compare(recovery.network, source).max_weight_error > 1e-3
    assert recovery.settings["outputs"] == kind


def test_recovery_from_probabilities_is_saved_and_loaded(source, tmp_path):
    inputs = gaussian(600, 4)
    chances = READINGS["probabilities"](source(inputs)).astype(np.float32)
    recovery = eac.recover(eac.QueryPairs(inputs, chances), outputs="probabilities", **QUICK)
    assert recovery.settings["answers_written_in"] == "float32"
    assert eac.compare(recovery, source).max_input_distance < 1e-10
    recovery.save(tmp_path)
    assert eac.load(tmp_path) == recovery


def test_one_column_is_the_probability_of_one_class_of_two():
    source = teacher((4, 2, 1), "tanh")
    inputs = gaussian(1200, 4)
    pairs = eac.QueryPairs(inputs, expit(4.0 * source(inputs)))
    recovery = eac.recover(pairs, outputs="probabilities", **QUICK)
    louder = source.replace(
        layers=(
            source.layers[0],
            type(source.layers[1])(4.0 * source.layers[1].weight, 4.0 * source.layers[1].bias),
        )
    )
    assert eac.compare(recovery, louder).max_weight_error < 1e-9
    assert all(neuron.unidentifiable == ("sign",) for neuron in recovery.neurons)


def test_answers_are_kept_as_they_came(source, tmp_path):
    def oracle(rows):
        return softmax(source(rows), axis=1)

    recovery = eac.recover(
        oracle,
        inputs=eac.Gaussian(4, scale=1.0),
        max_queries=1200,
        outputs="probabilities",
        checkpoint=tmp_path,
        **QUICK,
    )
    assert recovery.queries == 1200
    assert eac.compare(recovery, source).max_weight_error < 1e-11
    # The same folder as logits is another recovery.
    with pytest.raises(eac.InvalidInputError, match="outputs"):
        eac.recover(
            oracle,
            inputs=eac.Gaussian(4, scale=1.0),
            max_queries=1200,
            checkpoint=tmp_path,
            **QUICK,
        )


def test_saturated_answers_are_set_aside_and_too_few_are_refused(source):
    inputs = gaussian(300, 4)
    logits = source(inputs)
    loud = 3e7 * (logits - logits.mean(axis=0))
    with pytest.raises(eac.InvalidInputError, match="not saturated"):
        eac.recover(
            eac.QueryPairs(inputs, softmax(loud, axis=1)),
            outputs="probabilities",
            **QUICK,
        )


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "distance"), [(np.float32, 1e-4), (np.float64, 1e-9)])
def test_digits_classifier_is_recovered_from_its_softmax(dtype, distance):
    source = eac.teachers.trained("digits", (64, 32, 10), "tanh", seed=0)

    def oracle(rows):
        return softmax(source(rows), axis=1).astype(dtype)

    recovery = eac.recover(
        oracle,
        inputs=eac.Gaussian(64),
        activation="tanh",
        outputs="probabilities",
        max_queries=12_000,
        students=4,
        seed=0,
    )
    scores = eac.compare(recovery, source)
    assert (scores.missing, scores.excess) == (0, 0)
    assert scores.max_input_distance <= distance
