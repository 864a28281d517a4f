"""Masks: own spread against regressions on the other inputs, and what forests cannot miss."""

import numpy as np
import pytest

from expand_and_cluster.core.errors import EacError, InvalidInputError
from expand_and_cluster.queries.masks import boruta_mask, own_spread, spectrum_mask


def correlated(samples: int = 400, size: int = 5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, size)) @ rng.normal(size=(size, size)) + rng.normal(size=size)


def left_by_the_others(inputs: np.ndarray, column: int) -> float:
    others = np.delete(inputs, column, axis=1)
    design = np.concatenate([others, np.ones((len(inputs), 1))], axis=1)
    left = inputs[:, column] - design @ np.linalg.lstsq(design, inputs[:, column])[0]
    return float(np.sqrt(np.sum(left**2) / (len(inputs) - 1)))


def test_own_spread_is_what_a_regression_on_the_others_leaves():
    inputs = correlated()
    expected = [left_by_the_others(inputs, column) for column in range(inputs.shape[1])]
    np.testing.assert_allclose(own_spread(inputs), expected, rtol=1e-10)


def test_own_spread_follows_scale_and_order_and_ignores_shifts():
    inputs = correlated()
    scale, order = np.array([1e-2, 1.0, 3.0, 10.0, 0.5]), np.array([3, 1, 4, 0, 2])
    spread = own_spread(inputs)
    np.testing.assert_allclose(own_spread(inputs * scale + 7.0), spread * scale, rtol=1e-8)
    np.testing.assert_allclose(own_spread(inputs[:, order]), spread[order], rtol=1e-10)


def test_inputs_that_never_vary_or_that_others_determine_have_no_spread_of_their_own():
    inputs = correlated()
    sum_of_two = inputs[:, :1] + inputs[:, 1:2]
    full = np.concatenate([inputs, np.full((len(inputs), 1), 3.0), sum_of_two], axis=1)
    spread = own_spread(full)
    assert np.flatnonzero(spread == 0).tolist() == [0, 1, 5, 6]
    np.testing.assert_allclose(spread[2:5], own_spread(inputs)[2:5], rtol=1e-6)


def test_one_input_and_constant_inputs():
    inputs = np.array([[1.0], [2.0], [4.0]])
    np.testing.assert_allclose(own_spread(inputs), [inputs.std(ddof=1)])
    assert spectrum_mask(np.ones((4, 3))).tolist() == [True, True, True]


def test_the_mask_takes_inputs_that_hardly_vary():
    inputs = np.random.default_rng(0).normal(size=(1000, 4)) * [1.0, 0.02, 1.2, 0.7]
    assert spectrum_mask(inputs).tolist() == [False, True, False, False]
    assert spectrum_mask(inputs, least=1e-3).sum() == 0


@pytest.mark.parametrize("inputs", [np.ones(3), np.ones((1, 3)), [[np.nan, 1.0], [0.0, 1.0]]])
def test_inputs_that_are_no_finite_matrix_are_refused(inputs):
    with pytest.raises(InvalidInputError, match="finite matrix of at least two rows"):
        own_spread(inputs)


def test_a_share_that_is_not_positive_is_refused():
    with pytest.raises(InvalidInputError, match="least must be positive"):
        spectrum_mask(np.eye(3), least=0.0)


def test_boruta_keeps_what_decides_the_class():
    pytest.importorskip("boruta")
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(300, 6))
    labels = (inputs[:, 1] + inputs[:, 4] > 0).astype(int)
    mask = boruta_mask(inputs, labels, rounds=25)
    assert not mask[[1, 4]].any()
    # At its level of five per cent, it now and then confirms one too many.
    assert mask[[0, 2, 3, 5]].sum() >= 3
    with pytest.raises(InvalidInputError, match="one for each row"):
        boruta_mask(inputs, labels[:-1])


def test_without_its_library_boruta_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "boruta", None)
    with pytest.raises(EacError, match=r"boruta_mask needs .* 'expand-and-cluster\[boruta\]'"):
        boruta_mask(np.eye(3), [0, 1, 0])
