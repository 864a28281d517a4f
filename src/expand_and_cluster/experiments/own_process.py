"""One task in a process of its own: its memory can be told, and what it reports is passed on."""

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from expand_and_cluster.core.errors import EacError
from expand_and_cluster.core.progress import Reporter

ROW, REPORT, ERROR = "row", "report", "error"


def in_own_process(work: Callable[[Any, Reporter], Any], task: Any, report: Reporter) -> Any:
    """What `work(task, report)` returns, computed in a new process.

    Args:
        work: Module-level function.
        task: What it is given; can be pickled, as must be what it returns.
        report: Called here with everything that is reported there.

    Raises:
        EacError: The process ended without a result.
        Exception: What `work` raised, with the other process's traceback as a note.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(there, work, task))
    process.start()
    # The end of the other process is seen here only if nobody here holds its end.
    there.close()
    try:
        while True:
            kind, value = here.recv()
            if kind == ROW:
                return value
            if kind == ERROR:
                raise value
            report(value)
    except EOFError:
        process.join()
        raise EacError(
            f"the process of this task ended without a result (exit code {process.exitcode}); "
            "where memory ran out, run fewer other programs and resume."
        ) from None
    finally:
        process.terminate()
        process.join()
        here.close()


def _serve(connection: Connection, work: Callable[[Any, Reporter], Any], task: Any) -> None:
    try:
        row = work(task, lambda progress: connection.send((REPORT, progress)))
        connection.send((ROW, row))
    except KeyboardInterrupt:
        return
    except Exception as error:
        error.add_note(traceback.format_exc())
        connection.send((ERROR, error))
