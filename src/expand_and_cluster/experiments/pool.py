"""Tasks in several processes, each on cores of its own, with what they report passed on."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.queues import Queue
from typing import Any

from expand_and_cluster.core.progress import Progress, Reporter

# Seconds between two looks at what was reported; a process sends no more often.
INTERVAL = 1.0

# Of a process of a pool: where its tasks' reports go.
_reports: "Queue[tuple[int, Progress]] | None" = None


def in_pool(
    work: Callable[[Any, Reporter], Any],
    tasks: Sequence[tuple[int, Any]],
    workers: int,
    heard: Callable[[int, Progress], None],
) -> Iterator[tuple[int, Any]]:
    """Numbers and results of all tasks, in the order in which they come.

    Args:
        work: Can be pickled; a function of a task and a reporter.
        tasks: A number and what `work` is given, for each.
        workers: Processes; each is held to its share of the cores.
        heard: Called here with a task's number and the newest that it reported.
    """
    context = multiprocessing.get_context("spawn")
    counter, reports = context.Value("i", 0), context.Queue()
    # Leaving the block, by an error or by Ctrl-C too, ends the processes at once.
    with context.Pool(workers, _settle, (counter, workers, reports)) as pool:
        results = pool.imap_unordered(_Numbered(work), tasks)
        for _ in tasks:
            while True:
                try:
                    result = results.next(timeout=INTERVAL)
                    break
                except multiprocessing.TimeoutError:
                    _pass_on(reports, heard)
            yield result


def _pass_on(
    reports: "Queue[tuple[int, Progress]]", heard: Callable[[int, Progress], None]
) -> None:
    while not reports.empty():
        heard(*reports.get())


class _Numbered:
    """Works on a numbered task, and sends what is reported, now and then, to the one process."""

    def __init__(self, work: Callable[[Any, Reporter], Any]) -> None:
        self._work = work

    def __call__(self, numbered: tuple[int, Any]) -> tuple[int, Any]:
        number, task = numbered
        sent = time.monotonic() - INTERVAL

        def report(progress: Progress) -> None:
            nonlocal sent
            now = time.monotonic()
            if _reports is not None and now - sent >= INTERVAL:
                sent = now
                _reports.put((number, progress))

        return number, self._work(task, report)


def _settle(counter: Any, workers: int, reports: "Queue[tuple[int, Progress]]") -> None:
    """Hold this process to its share of the cores, before any thread is started."""
    global _reports
    _reports = reports
    with counter.get_lock():
        index = counter.value
        counter.value += 1
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        share = max(1, len(cores) // workers)
        first = (index * share) % len(cores)
        os.sched_setaffinity(0, cores[first : first + share])
