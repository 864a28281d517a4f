"""A study says what its unfinished rows are at, whatever process these are worked on in."""

import time

import numpy as np
import pytest

from expand_and_cluster.core.progress import Progress
from expand_and_cluster.experiments.running import INTERVAL, RunningRows
from expand_and_cluster.experiments.studies import read_rows, run_study


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def slow(task, report):
    for step in range(task["steps"]):
        report(Progress("count", step + 1, task["steps"], np.array([2.0**-step])))
        time.sleep(task["seconds"])
    return {"label": f"{task['steps']} steps", "steps": task["steps"]}


def refusing(task, report):
    raise ValueError(f"no steps in {task['steps']}")


def test_unfinished_rows_are_told_now_and_then():
    clock, reports = Clock(), []
    rows = RunningRows("study", 1, 4, reports.append, clock=clock)
    assert (reports[0].stage, reports[0].done, reports[0].total) == ("study", 1, 4)
    rows.reporter(2)(Progress("train students", 10, 2000, np.array([np.nan, 0.5, 0.25])))
    assert len(reports) == 1
    clock.now = INTERVAL
    rows.reporter(3)(Progress("ask the oracle", 7))
    assert reports[1].done == 1
    assert (
        reports[1].note == "row 2: train students 10 of 2,000 at 2.5e-01; row 3: ask the oracle 7"
    )


def test_a_finished_row_is_told_at_once_and_again_beside_the_others_but_not_as_unfinished():
    clock, reports = Clock(), []
    rows = RunningRows("study", 0, 3, reports.append, clock=clock)
    rows.heard(1, Progress("cluster", 1, 2))
    rows.finished(1, "8-4-1 12 s")
    assert (reports[-1].done, reports[-1].note) == (1, "8-4-1 12 s")
    clock.now = INTERVAL
    rows.heard(1, Progress("came late", 1, 2))
    assert len(reports) == 2
    rows.heard(2, Progress("cluster", 0, 2, np.array([np.inf])))
    assert reports[-1].note == "8-4-1 12 s; row 2: cluster 0 of 2"


def test_a_reporter_that_never_hears_a_loss_says_none():
    clock, reports = Clock(), []
    rows = RunningRows("study", 0, 1, reports.append, clock=clock)
    clock.now = INTERVAL
    rows.heard(1, Progress("polish", 3, 5, np.array([])))
    assert reports[-1].note == "row 1: polish 3 of 5"


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_come_back_in_order_with_reports_of_unfinished_ones(workers, tmp_path, monkeypatch):
    monkeypatch.setattr("expand_and_cluster.experiments.running.INTERVAL", 0.0)
    reports = []
    # The first ends last where both are worked on at once, and its number is its own all the same.
    tasks = [{"steps": 40, "seconds": 0.05}, {"steps": 2, "seconds": 0.05}]
    rows = run_study("count", slow, tasks, tmp_path, workers=workers, report=reports.append)
    assert [row["steps"] for row in rows] == [40, 2]
    assert all(report.stage == "count" and report.total == 2 for report in reports)
    assert any("row 1: count" in report.note for report in reports)
    assert reports[-1].done == 2


def test_a_line_that_a_kill_cut_off_is_not_glued_to_the_next(tmp_path):
    tasks = [{"steps": 1, "seconds": 0.0}, {"steps": 2, "seconds": 0.0}]
    run_study("count", slow, tasks[:1], tmp_path, workers=1, report=lambda _: None)
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('{"task": {"ste')
    run_study("count", slow, tasks, tmp_path, workers=1, report=lambda _: None)
    assert [row["steps"] for row in read_rows(tmp_path)] == [1, 2]


def test_an_error_in_another_process_ends_the_study(tmp_path):
    with pytest.raises(ValueError, match="no steps in 3"):
        run_study("count", refusing, [{"steps": 3}], tmp_path, workers=2, report=lambda _: None)
