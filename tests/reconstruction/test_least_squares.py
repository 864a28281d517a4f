"""What each feature adds to the others, against least squares solved anew for each."""

import numpy as np
import pytest

from expand_and_cluster.reconstruction.least_squares import added


def left_by_the_others(design, column):
    others = np.delete(design, column, axis=1)
    others = others / np.linalg.norm(others, axis=0)
    best = np.linalg.lstsq(others, design[:, column])[0]
    return np.sqrt(np.mean((design[:, column] - others @ best) ** 2))


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e9])
def test_what_is_left_of_each_column_is_that_of_least_squares(scale):
    rng = np.random.default_rng(0)
    design = rng.normal(size=(40, 6))
    design[:, 2] = 0.3 * design[:, 1] + 1e-5 * design[:, 2]
    design *= scale ** np.arange(6)
    expected = [left_by_the_others(design, column) for column in range(6)]
    np.testing.assert_allclose(added(design), expected, rtol=1e-6)


def test_a_column_that_the_others_span_adds_what_rounding_makes_of_nothing():
    design = np.random.default_rng(0).normal(size=(40, 4))
    design = np.column_stack([design, design @ [1.0, -2.0, 0.0, 0.5], np.zeros(40)])
    found = added(design)
    assert np.all(found[[0, 1, 3, 4, 5]] < 1e-14)
    assert found[2] > 0.5


def test_no_column_adds_anything_where_rows_are_fewer():
    assert np.all(added(np.random.default_rng(0).normal(size=(3, 5))) < 1e-14)


def test_what_others_add_is_right_beside_two_that_are_the_same():
    design = np.random.default_rng(0).normal(size=(40, 4))
    twice = added(np.column_stack([design, design[:, 0]]))
    assert np.all(twice[[0, 4]] < 1e-14)
    np.testing.assert_allclose(twice[1:4], added(design)[1:], rtol=1e-12)
