"""How finely answers are written is read off them."""

import numpy as np
import pytest

from expand_and_cluster.queries.resolution import Resolution

ANSWERS = 3.0 * np.random.default_rng(0).normal(size=(200, 3))


@pytest.mark.parametrize("decimals", range(1, 13))
def test_decimals_are_found(decimals):
    assert Resolution.of(np.round(ANSWERS, decimals)) == Resolution(False, decimals)


@pytest.mark.parametrize("decimals", range(1, 4))
def test_decimals_are_found_in_float32(decimals):
    rounded = np.round(ANSWERS, decimals).astype(np.float32).astype(np.float64)
    assert Resolution.of(rounded) == Resolution(True, decimals)


def test_other_numbers_have_none():
    assert Resolution.of(ANSWERS) == Resolution(False)
    assert Resolution.of(ANSWERS.astype(np.float32).astype(float)) == Resolution(True)
    assert Resolution.of(np.round(ANSWERS[:1, :1], 3)).decimals is None  # too few to tell


def test_zeros_that_come_first_are_no_decimals():
    assert Resolution.of(np.zeros((20, 2))).decimals is None
    answers = np.concatenate([np.zeros((5000, 1)), ANSWERS.reshape(-1, 1)])
    assert Resolution.of(answers) == Resolution(False)


def test_error_of_decimals_is_that_of_a_uniform_one():
    rounded = np.round(ANSWERS, 2)
    measured = np.std(rounded - ANSWERS)
    assert np.mean(Resolution.of(rounded).errors(rounded)) == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize("single", [True, False])
def test_error_of_floating_numbers_grows_with_them(single):
    resolution = Resolution(single)
    errors = resolution.errors(np.array([1.0, -8.0]))
    assert errors[1] == pytest.approx(8.0 * errors[0])
    assert errors[0] == pytest.approx(resolution.unit)


def test_of_two_the_finest_counts():
    assert Resolution(True).finest(Resolution(False)) == Resolution(False)
    assert Resolution(False, 2).finest(Resolution(False, 4)) == Resolution(False, 4)
    assert Resolution(False, 2).finest(Resolution(False)) == Resolution(False)
    assert Resolution(True, 2).finest(None) == Resolution(True, 2)


def test_names_are_words():
    names = [Resolution(False).name, Resolution(True).name, Resolution(True, 3).name]
    assert names == ["float64", "float32", "3 decimals"]
