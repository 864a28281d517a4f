"""Progress for people: a live bar on a terminal, now and then a line elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from expand_and_cluster.core.progress import Progress

_SHOWN = 6  # stages on the screen at once


class ProgressRenderer:
    """A reporter that shows stage, amount, rate, time left and losses.

    Use it as a context manager. Without a terminal it prints a plain line at most every
    `interval` seconds, and always the first and the last of a stage, unless the stage returns
    sooner than that.

    Args:
        console: Where to write; None means stderr.
        interval: Least time between two plain lines, in seconds.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        interval: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._interval = interval
        self._clock = clock
        self._begun = self._printed = clock()
        self._pace = _Pace(clock())
        self._last: Progress | None = None
        self._waiting: str | None = None
        # When each stage last had a line, and whether the present one has returned soon after.
        self._shown: dict[str, float] = {}
        self._returned = False
        self._bars = _live_bars(self._console) if self._console.is_terminal else None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "ProgressRenderer":
        """Start the live display, if there is one."""
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Show what still waits, and leave the terminal as it was."""
        if self._bars is not None:
            self._bars.stop()
        self._flush()

    def __call__(self, progress: Progress) -> None:
        """Show one report."""
        now = self._clock()
        last = self._last
        # A stage that counts from the beginning again is another one.
        new_stage = last is None or progress.stage != last.stage or progress.done < last.done
        if new_stage:
            self._pace = _Pace(now, progress.done)
        facts = describe(progress, self._pace.rate(progress.done, now))
        if self._bars is not None:
            self._draw(self._bars, progress, facts, new_stage)
        else:
            self._print(progress, facts, now, new_stage)
        self._last = progress

    def _draw(self, bars: Bars, progress: Progress, facts: str, new_stage: bool) -> None:
        if new_stage:
            old = self._tasks.pop(progress.stage, None)
            if old is None and len(self._tasks) == _SHOWN:
                old = self._tasks.pop(next(iter(self._tasks)))
            if old is not None:
                bars.remove_task(old)
            task = bars.add_task(progress.stage, total=progress.total, facts=facts)
            self._tasks[progress.stage] = task
        bars.update(
            self._tasks[progress.stage],
            completed=progress.done,
            total=progress.total,
            facts=facts,
        )

    def _print(self, progress: Progress, facts: str, now: float, new_stage: bool) -> None:
        if new_stage:
            if not self._returned:
                self._flush()
            last = self._shown.get(progress.stage, float("-inf"))
            self._returned = now - last < self._interval
        line = f"[{duration(now - self._begun)}] {progress.stage}: {facts}"
        whole = progress.total is not None and progress.done >= progress.total
        to_be_seen = (new_stage or whole) and not self._returned
        if to_be_seen or now - self._printed >= self._interval:
            self._console.print(line, soft_wrap=True, markup=False)
            self._printed, self._waiting = now, None
            self._shown[progress.stage] = now
        else:
            self._waiting = line

    def _flush(self) -> None:
        if self._waiting is not None:
            self._console.print(self._waiting, soft_wrap=True, markup=False)
            self._waiting = None


class _Pace:
    """Units a second since the stage began (a resumed stage does not begin at zero)."""

    def __init__(self, begun: float, done: int = 0) -> None:
        self._begun = begun
        self._done = done

    def rate(self, done: int, now: float) -> float:
        passed = now - self._begun
        return (done - self._done) / passed if passed > 0 else 0.0


def describe(progress: Progress, rate: float) -> str:
    """Amount, rate, time left, losses and note of one report, in words.

    Args:
        progress: The report.
        rate: Units a second; 0 if not known yet.
    """
    total = progress.total
    parts = [f"{progress.done:,}" + ("" if total is None else f" of {total:,}")]
    if rate > 0:
        parts.append(f"{rate:.3g}/s")
        if total is not None and progress.done < total:
            parts.append(f"at most {duration((total - progress.done) / rate)} left")
    if progress.losses is not None and np.size(progress.losses):
        losses = np.where(np.isnan(progress.losses), np.inf, progress.losses)
        parts.append(
            f"loss best {np.min(losses):.1e}, median {np.median(losses):.1e} "
            f"of {losses.size} student{'s' * (losses.size != 1)}"
        )
    return ", ".join(parts) + (f" ({progress.note})" if progress.note else "")


def duration(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return (f"{hours}:" if hours else "") + f"{minutes:02d}:{whole % 60:02d}"


def _live_bars(console: Console) -> Bars:
    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[facts]}", markup=False),
        console=console,
    )
