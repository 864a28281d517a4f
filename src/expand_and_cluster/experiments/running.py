"""What a study says while its rows are being worked on: each row's own stage, in one line."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from expand_and_cluster.core.progress import Progress, Reporter

# Least seconds between two lines about rows that are not finished.
INTERVAL = 5.0


class RunningRows:
    """Turns what rows report into reports of the study.

    Args:
        name: The study's.
        done: Rows that are finished already.
        total: All rows.
        report: Where to.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        name: str,
        done: int,
        total: int,
        report: Reporter,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Say how many rows are finished."""
        self._name, self._done, self._total = name, done, total
        self._report, self._clock = report, clock
        self._said, self._last = clock(), ""
        self._stages: dict[int, str] = {}
        self._over: set[int] = set()
        self._say("")

    def reporter(self, row: int) -> Reporter:
        """What the row of this number, from 1 on, is to report to."""
        return partial(self.heard, row)

    def heard(self, row: int, progress: Progress) -> None:
        """A row has reported; the study does if it has not for a while."""
        if row in self._over:  # From another process it may come late.
            return
        self._stages[row] = f"row {row}: {_in_short(progress)}"
        if self._clock() - self._said >= INTERVAL:
            stages = [self._stages[number] for number in sorted(self._stages)]
            self._say("; ".join([self._last] * bool(self._last) + stages))

    def finished(self, row: int, label: str) -> None:
        """A row is finished."""
        self._stages.pop(row, None)
        self._over.add(row)
        self._done, self._last = self._done + 1, label
        self._say(label)

    def _say(self, note: str) -> None:
        self._said = self._clock()
        self._report(Progress(self._name, self._done, self._total, note=note))


def _in_short(progress: Progress) -> str:
    """Stage, amount and the best loss, in a few words."""
    amount = f"{progress.stage} {progress.done:,}"
    amount += "" if progress.total is None else f" of {progress.total:,}"
    losses = progress.losses
    if losses is None or not np.isfinite(losses).any():
        return amount
    return f"{amount} at {np.min(losses[np.isfinite(losses)]):.1e}"
