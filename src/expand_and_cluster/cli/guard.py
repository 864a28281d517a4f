"""From exceptions to sentences and exit codes: the edge of every command."""

import contextlib
import functools
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Annotated, Any

import typer

from expand_and_cluster.core.errors import EacError

IDENTIFIED = 0
ERROR = 1
NOT_IDENTIFIED = 3
STOPPED = 130

Debug = Annotated[bool, typer.Option("--debug", help="Show where an error came from.")]


class StoppedError(EacError):
    """The user stopped the command; the sentence says how to go on."""


def guarded(command: Callable[..., int]) -> Callable[..., None]:
    """Turn a command that returns an exit code, or raises, into one that always exits with one.

    Errors become one sentence on stderr; the traceback is shown only with `--debug`.
    """

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        try:
            code = command(**arguments)
        except (typer.Exit, typer.BadParameter):
            raise
        except KeyboardInterrupt:
            typer.echo("stopped", err=True)
            code = STOPPED
        except StoppedError as stop:
            typer.echo(str(stop), err=True)
            code = STOPPED
        except Exception as error:
            if arguments.get("debug"):
                traceback.print_exc()
            else:
                typer.echo(f"error: {sentence(error)}", err=True)
            code = ERROR
        raise typer.Exit(code)

    # The exit code has no place in Typer's view of the command.
    run.__annotations__ = {**command.__annotations__, "return": None}
    return run


def sentence(error: Exception) -> str:
    """One line that says what went wrong."""
    if isinstance(error, EacError):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{place}."
    detail = " ".join(str(error).split())
    return f"unexpected {type(error).__name__} ({detail}); --debug shows where it came from."


@contextlib.contextmanager
def stoppable(hint: str) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the block with a `StoppedError`.

    Args:
        hint: How to go on, for example "the same command resumes from runs/a".

    Raises:
        StoppedError: A signal came, or the library reports an interruption that a signal caused.
    """
    came: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    with _handlers(stop):
        try:
            yield
        except KeyboardInterrupt as error:
            raise StoppedError(f"stopped; {hint}") from error
        except EacError as error:
            if came:
                raise StoppedError(f"stopped; {hint}", partial=error.partial) from error
            raise


@contextlib.contextmanager
def _handlers(stop: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
