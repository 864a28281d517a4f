"""What counts as a recovery from given images, bar by bar."""

import pytest

from expand_and_cluster.experiments.given_data import GIVEN, GIVEN_WIDE, reached

ROW = {
    "task": {"seconds": 1800.0},
    "width": 64,
    "found_width": 64,
    "rmse": 1e-4,
    "paper_rmse": 1.1e-3,
    "spectrum_max_distance": 1e-4,
    "boruta_max_distance": 1e-4,
    "recovery_seconds": 1715.0,
}


def test_a_row_within_every_bar_counts():
    assert reached(ROW)


@pytest.mark.parametrize(
    "worse",
    [
        {"found_width": 65},
        {"rmse": 1.2e-4},
        {"spectrum_max_distance": 2e-3},
        {"boruta_max_distance": 2e-3},
        {"recovery_seconds": 1801.0},
        {"resumed": True},
    ],
)
def test_one_bar_that_is_missed_is_enough(worse):
    assert not reached(ROW | worse)


def test_wide_rows_have_four_times_the_time():
    late = ROW | {"recovery_seconds": 7100.0}
    assert reached(late | {"task": {"seconds": 7200.0}})
    assert "at most 30 minutes" in GIVEN.claim
    assert "at most 120 minutes" in GIVEN_WIDE.claim
