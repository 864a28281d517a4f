"""Many independent recoveries: one process for each core, every finished row kept."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from expand_and_cluster.core.checkpoint import write_atomically
from expand_and_cluster.core.progress import Progress, Reporter
from expand_and_cluster.core.strict_json import dumps, loads
from expand_and_cluster.experiments.own_process import in_own_process

Row = dict[str, Any]
Task = Mapping[str, Any]

ROWS = "rows.jsonl"
MANIFEST = "experiment.json"


def run_study(
    name: str,
    work: Callable[..., Row],
    tasks: Sequence[Task],
    folder: Path,
    *,
    workers: int,
    report: Reporter,
) -> list[Row]:
    """Rows of all tasks, in their order; rows that the folder already holds are not redone.

    Args:
        name: Name of the experiment, kept in the folder for the report.
        work: Module-level function from a task to its row; with `workers=0` from a task and a
            reporter.
        tasks: JSON-ready descriptions; each appears in its row unchanged.
        folder: Where rows are appended as they come.
        workers: Processes; each is held to cores of its own. 0 gives every task a process of its
            own, one after the other with all cores, so that memory can be told for each.
        report: Receives progress.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / MANIFEST, dumps({"experiment": name}).encode())
    done = {_key(row["task"]): row for row in read_rows(folder)}
    left = [task for task in tasks if _key(task) not in done]
    began = time.monotonic()
    report(Progress(name, len(done), len(tasks)))
    with (folder / ROWS).open("a") as file:
        for row in _results(work, left, workers, report):
            done[_key(row["task"])] = row
            file.write(dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
            note = f"{row.get('label', '')} {time.monotonic() - began:.0f} s"
            report(Progress(name, len(done), len(tasks), note=note))
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
    work: Callable[..., Row], tasks: Sequence[Task], workers: int, report: Reporter
) -> Iterator[Row]:
    if workers == 0:
        for task in tasks:
            yield in_own_process(partial(_timed, work), task, report)
        return
    if workers == 1:
        for task in tasks:
            yield _timed(work, task)
        return
    context = multiprocessing.get_context("spawn")
    counter = context.Value("i", 0)
    # Leaving the block, by an error or by Ctrl-C too, ends the processes at once.
    with context.Pool(workers, initializer=_settle, initargs=(counter, workers)) as pool:
        yield from pool.imap_unordered(partial(_timed, work), tasks)


def all_in_time(rows: Sequence[Row], exact: Callable[[Row], bool], minutes: float) -> bool:
    """Whether every recovery is exact, called identified, and took at most so many minutes."""
    return all(
        exact(row) and row["identified"] and row["recovery_seconds"] <= 60.0 * minutes
        for row in rows
    )


def _settle(counter: Any, workers: int) -> None:
    """Hold this process to its share of the cores, before any thread is started."""
    with counter.get_lock():
        index = counter.value
        counter.value += 1
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        share = max(1, len(cores) // workers)
        first = (index * share) % len(cores)
        os.sched_setaffinity(0, cores[first : first + share])


def _timed(work: Callable[..., Row], task: Task, *report: Reporter) -> Row:
    began = time.monotonic()
    row = work(task, *report)
    return {"task": dict(task), **row, "seconds": time.monotonic() - began}


def _key(task: Task) -> str:
    return dumps(dict(sorted(task.items())))
