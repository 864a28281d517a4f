"""The integer problem behind signs, against trying everything."""

import itertools

import numpy as np
import pytest

from expand_and_cluster.symmetries.sign_choice import choose_signs

RNG = np.random.default_rng(2)


@pytest.mark.parametrize(("equations", "count"), [(1, 6), (3, 8), (8, 8), (12, 5), (2, 12)])
def test_planted_choices_are_found_and_unique(equations, count):
    for _ in range(10):
        columns = RNG.normal(size=(equations, count))
        true = RNG.random(count) < 0.5
        found = choose_signs(columns, columns @ true, 1e-10)
        np.testing.assert_array_equal(found.chosen, true)
        assert found.error < 1e-12
        assert found.count == 1


def test_all_choices_within_the_tolerance_are_counted():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        columns = rng.integers(-1, 2, (2, 9)).astype(float)
        wanted = columns @ (rng.random(9) < 0.5)
        errors = [
            np.linalg.norm(columns @ np.array(choice) - wanted)
            for choice in itertools.product((0.0, 1.0), repeat=9)
        ]
        found = choose_signs(columns, wanted, 1e-9)
        assert found.count == sum(error <= 1e-9 for error in errors)
        assert found.error < 1e-12


def test_where_no_choice_fits_the_rounded_regression_is_given():
    columns = RNG.normal(size=(4, 3))
    found = choose_signs(columns, columns @ [0.9, 0.2, 0.1], 1e-9)
    np.testing.assert_array_equal(found.chosen, [True, False, False])
    assert found.count == 0
    assert found.error > 0.1


def test_a_sum_outside_what_the_columns_span_is_no_answer():
    columns = np.eye(4)[:, :2]
    assert choose_signs(columns, np.array([1.0, 0.0, 1e-3, 0.0]), 1e-6).count == 0


def test_too_many_open_signs_are_not_counted():
    columns = RNG.normal(size=(1, 40))
    assert choose_signs(columns, columns @ np.ones(40), 1e-9).count is None
