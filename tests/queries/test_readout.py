"""Probabilities become logits, with an honest account of their rounding."""

import numpy as np
import pytest
from scipy.special import expit, log_expit, log_softmax, softmax

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.queries.reading import Reader
from expand_and_cluster.queries.readout import COARSEST, Readout
from expand_and_cluster.queries.resolution import Resolution

LOGITS = 4.0 * np.random.default_rng(1).normal(size=(300, 5))
CENTRED = LOGITS - LOGITS.mean(axis=1, keepdims=True)
DOUBLE = Resolution(single=False)


@pytest.mark.parametrize(
    ("kind", "function"),
    [("probabilities", softmax), ("log_probabilities", log_softmax)],
)
def test_contrasts_hold_the_centred_logits(kind, function):
    readout = Readout(kind, 5)
    values = readout.read(function(LOGITS, axis=1), DOUBLE)
    assert values.shape == (300, 4)
    np.testing.assert_allclose(values @ readout.contrasts.T, CENTRED, atol=1e-13)
    np.testing.assert_allclose(readout.contrasts.sum(axis=0), 0.0, atol=1e-15)
    assert readout.usable(values, DOUBLE).all()
    assert readout.shared


@pytest.mark.parametrize(
    ("kind", "function"), [("probabilities", expit), ("log_probabilities", log_expit)]
)
def test_one_column_is_the_probability_of_one_class(kind, function):
    readout = Readout(kind, 1)
    logit = np.linspace(-30.0, 3.0, 100)[:, None]
    np.testing.assert_allclose(readout.read(function(logit), DOUBLE), logit, atol=1e-13)
    assert not readout.shared


def test_logits_are_left_alone():
    readout = Readout("logits", 5)
    assert readout.read(LOGITS, DOUBLE) is LOGITS
    assert readout.usable(LOGITS, DOUBLE).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_errors_cover_those_that_are_made(dtype):
    raw = softmax(LOGITS.astype(dtype), axis=1).astype(dtype).astype(np.float64)
    reader = Reader("probabilities")
    values = reader.read(raw)
    exact = log_softmax(LOGITS.astype(dtype).astype(np.float64), axis=1) @ reader.readout.contrasts
    made = np.sqrt(np.mean((values - exact) ** 2, axis=0))
    stated = reader.errors(values)
    assert np.all(made < stated)
    assert np.all(stated < 30.0 * made)


def test_rows_that_rounding_has_eaten_are_not_usable():
    logits = np.array([[0.0, 0.0], [0.0, 60.0], [0.0, 98.0], [0.0, 200.0]])
    reader = Reader("probabilities")
    values = reader.read(softmax(logits, axis=1).astype(np.float32).astype(np.float64))
    # The third probability is a denormal number, the fourth is 0.
    assert reader.usable(values).tolist() == [True, True, False, False]
    assert np.isfinite(values).all()
    single = Reader("probabilities")
    chances = np.array([[1e-30], [0.5], [1.0 - 0.5 / COARSEST], [1.0]])
    assert single.usable(single.read(chances)).tolist() == [True, True, False, False]


def test_decimals_of_probabilities_leave_the_rows_without_small_ones():
    chances = np.round(softmax(LOGITS / 4.0, axis=1), 3)
    reader = Reader("probabilities")
    usable = reader.usable(reader.read(chances))
    np.testing.assert_array_equal(usable, chances.min(axis=1) >= 1.0 / COARSEST)
    assert reader.resolution.decimals == 3
    assert reader.precision(chances) is None


def test_network_of_contrasts_becomes_one_of_centred_logits():
    rng = np.random.default_rng(3)
    readout = Readout("probabilities", 3)
    skip = (rng.normal(size=(2, 4)), rng.normal(size=2))
    network = Network.from_arrays(
        [
            (rng.normal(size=(2, 4)), rng.normal(size=2)),
            (rng.normal(size=(2, 2)), rng.normal(size=2)),
        ],
        "tanh",
        skip=skip,
    )
    inputs = rng.normal(size=(10, 4))
    whole = readout.restore(network)
    np.testing.assert_allclose(whole(inputs), network(inputs) @ readout.contrasts.T, atol=1e-14)
    assert isinstance(whole.layers[1], Layer)
    np.testing.assert_allclose(whole(inputs).sum(axis=1), 0.0, atol=1e-14)
    assert Readout("logits", 2).restore(network) is network


@pytest.mark.parametrize(
    ("kind", "answers", "sentence"),
    [
        ("probabilities", LOGITS, "between 0 and 1, but row 0"),
        ("probabilities", expit(LOGITS), "row 0 of pairs sum to"),
        ("log_probabilities", LOGITS, "between minus infinity and 0"),
        ("log_probabilities", -np.abs(LOGITS), "sum to"),
    ],
)
def test_answers_of_another_kind_are_refused(kind, answers, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        Reader(kind).read(answers)
