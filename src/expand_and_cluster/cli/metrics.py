"""Progress reports as JSON lines in the run folder."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from expand_and_cluster.core.checkpoint import drop_half_line
from expand_and_cluster.core.progress import Progress
from expand_and_cluster.core.strict_json import dumps


class MetricsLog:
    """A reporter that appends one strict JSON line for each report, at most so many a second.

    The first and the last report of a stage are always written. NaN and infinity are null.

    Args:
        path: The file; lines of earlier runs stay.
        interval: Least time between two lines of one stage, in seconds.
        clock: Seconds that only grow.
    """

    def __init__(
        self, path: Path, interval: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = interval
        self._clock = clock
        self._written = 0.0
        self._stage: str | None = None
        self._waiting: str | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        drop_half_line(path)
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> "MetricsLog":
        """The log itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what still waits, and close the file."""
        self._flush()
        self._file.close()

    def __call__(self, progress: Progress) -> None:
        """Keep or write one report."""
        line = dumps(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                **vars(progress),
            },
            lossy=True,
        )
        new_stage = progress.stage != self._stage
        if new_stage:
            self._flush()  # the last report of the stage before
        if new_stage or self._clock() - self._written >= self._interval:
            self._write(line)
        else:
            self._waiting = line
        self._stage = progress.stage

    def _flush(self) -> None:
        if self._waiting is not None:
            self._write(self._waiting)

    def _write(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()
        self._written = self._clock()
        self._waiting = None
