"""Independent fits on threads: compiled programs leave Python's lock while they run."""

import os
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

from threadpoolctl import threadpool_limits

Result = TypeVar("Result")


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_on_threads(work: Callable[[int, Event], Result], count: int) -> list[Result]:
    """Results of `work(0, stop) ... work(count - 1, stop)`, in order.

    LAPACK's own threads are switched off for the duration: on small matrices they only wait for
    each other. When one call raises, or the user interrupts, `stop` is set, which the others look
    at between their compiled calls, and calls that have not begun are dropped.
    """
    stop = Event()
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(max(1, min(cores(), count))) as pool,
    ):
        futures = [pool.submit(work, index, stop) for index in range(count)]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()  # Raises what the call raised, while others still run.
            return [future.result() for future in futures]
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
