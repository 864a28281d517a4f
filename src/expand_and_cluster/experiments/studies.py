"""Many independent recoveries: one process for each core, every finished row kept."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from expand_and_cluster.core.checkpoint import drop_half_line, write_atomically
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.core.strict_json import dumps, loads
from expand_and_cluster.experiments.own_process import in_own_process
from expand_and_cluster.experiments.pool import in_pool
from expand_and_cluster.experiments.running import RunningRows

Row = dict[str, Any]
Task = Mapping[str, Any]
# With its number among all tasks, from 1 on.
Numbered = tuple[int, Task]

ROWS = "rows.jsonl"
MANIFEST = "experiment.json"


def run_study(
    name: str,
    work: Callable[[Task, Reporter], Row],
    tasks: Sequence[Task],
    folder: Path,
    *,
    workers: int,
    report: Reporter,
) -> list[Row]:
    """Rows of all tasks, in their order; rows that the folder already holds are not redone.

    Args:
        name: Name of the experiment, kept in the folder for the report.
        work: Module-level function from a task and a reporter to the task's row.
        tasks: JSON-ready descriptions; each appears in its row unchanged.
        folder: Where rows are appended as they come.
        workers: Processes; each is held to cores of its own, and what their rows report is told in
            one line. 0 gives every task a process of its own, one after the other with all cores,
            so that memory can be told for each, and passes on what it reports as it is.
        report: Receives progress.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / MANIFEST, dumps({"experiment": name}).encode())
    done = {_key(row["task"]): row for row in read_rows(folder)}
    drop_half_line(folder / ROWS)
    left = [(index, task) for index, task in enumerate(tasks, 1) if _key(task) not in done]
    running = RunningRows(name, len(tasks) - len(left), len(tasks), report)
    with (folder / ROWS).open("a") as file:
        for index, row in _results(work, left, workers, running, report):
            done[_key(row["task"])] = row
            file.write(dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
            running.finished(index, f"{row.get('label', '')} {row['seconds']:.0f} s")
    return [done[_key(task)] for task in tasks]


def read_rows(folder: Path) -> list[Row]:
    """Rows of a study's folder; a last line that was cut off by a kill is left out."""
    path = folder / ROWS
    if not path.exists():
        return []
    rows = []
    lines = path.read_text().split("\n")
    for line in lines:
        if not line:
            continue
        try:
            rows.append(loads(line))
        except (json.JSONDecodeError, ValueError):
            continue
    return rows


def _results(
    work: Callable[[Task, Reporter], Row],
    tasks: Sequence[Numbered],
    workers: int,
    running: RunningRows,
    report: Reporter,
) -> Iterator[tuple[int, Row]]:
    if workers == 0:
        for index, task in tasks:
            yield index, in_own_process(partial(_timed, work), task, report)
    elif workers == 1:
        for index, task in tasks:
            yield index, _timed(work, task, running.reporter(index))
    else:
        yield from in_pool(partial(_timed, work), tasks, workers, running.heard)


def all_in_time(rows: Sequence[Row], exact: Callable[[Row], bool], minutes: float) -> bool:
    """Whether every recovery is exact, called identified, and took at most so many minutes."""
    return all(
        exact(row) and row["identified"] and row["recovery_seconds"] <= 60.0 * minutes
        for row in rows
    )


def _timed(work: Callable[[Task, Reporter], Row], task: Task, report: Reporter) -> Row:
    began = time.monotonic()
    row = work(task, report)
    return {"task": dict(task), **row, "seconds": time.monotonic() - began}


def _key(task: Task) -> str:
    return dumps(dict(sorted(task.items())))
