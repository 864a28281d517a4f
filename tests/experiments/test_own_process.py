"""A task in its own process: rows, reports and errors arrive, and a death is told."""

import os

import pytest

from expand_and_cluster.core.errors import EacError
from expand_and_cluster.core.progress import Progress
from expand_and_cluster.experiments.own_process import in_own_process
from expand_and_cluster.experiments.studies import run_study


def counted(task, report):
    for step in range(task["steps"]):
        report(Progress("count", step, task["steps"]))
    return {"label": "", "process": os.getpid(), "steps": task["steps"]}


def failing(task, report):
    raise ValueError(f"no such thing as {task}")


def dying(task, report):
    os._exit(7)


def test_reports_and_rows_come_from_another_process(tmp_path):
    reports = []
    tasks = [{"steps": 2}, {"steps": 3}]
    rows = run_study("count", counted, tasks, tmp_path, workers=0, report=reports.append)
    assert [row["steps"] for row in rows] == [2, 3]
    assert len({os.getpid(), *(row["process"] for row in rows)}) == 3
    assert [report.done for report in reports if report.stage == "count"][:3] == [0, 0, 1]
    again = run_study("count", counted, tasks, tmp_path, workers=0, report=reports.append)
    assert again == rows


def test_errors_come_with_the_place_where_they_were_raised():
    with pytest.raises(ValueError, match="no such thing as 3") as caught:
        in_own_process(failing, 3, print)
    assert "in failing" in caught.value.__notes__[0]


def test_a_process_that_dies_is_told():
    with pytest.raises(EacError, match="exit code 7"):
        in_own_process(dying, {}, print)
