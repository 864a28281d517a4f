"""What counts as a recovery from given images, bar by bar."""

from pathlib import Path

import numpy as np
import pytest
from tests.report.fakes import fake_recovery

from expand_and_cluster import teachers
from expand_and_cluster.datasets.dataset import Dataset
from expand_and_cluster.experiments import given_data
from expand_and_cluster.experiments.given_data import GIVEN, GIVEN_WIDE, SMALL, reached
from expand_and_cluster.experiments.studies import run_study
from expand_and_cluster.report.studies import write_study

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


def test_rows_make_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Only the recovery and Boruta, which take long, are stand-ins."""
    rng = np.random.default_rng(0)
    images, labels = rng.uniform(size=(60, 8)), np.arange(60) % 3
    data = Dataset("digits", images[:40], labels[:40], images[40:], labels[40:], (2, 4))
    teacher = teachers.synthetic(8, 4, seed=0)
    monkeypatch.setattr(given_data, "load", lambda name: data)
    monkeypatch.setattr(given_data, "trained", lambda *rest, **options: teacher)
    monkeypatch.setattr(given_data, "recover", lambda *rest, **options: fake_recovery(inputs=8))
    monkeypatch.setattr(given_data, "boruta_mask", lambda inputs, labels: np.zeros(8, bool))

    def in_this_process(name, work, tasks, folder, *, workers, report):
        return run_study(name, work, tasks, folder, workers=1, report=report)

    monkeypatch.setattr(given_data, "run_study", in_this_process)
    given_data.run(tmp_path, True, 1, lambda _: None, name="given-data", rows=(SMALL,), seconds=1.0)
    table = next(path for path in write_study(tmp_path) if path.name == "table.md").read_text()
    assert "spectrum missing" in table.splitlines()[0]
    assert len(table.strip().splitlines()) == 3
