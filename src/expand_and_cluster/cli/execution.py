"""Runs one recovery in its folder: start, resume, or show what is finished."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from expand_and_cluster.cli.guard import IDENTIFIED, NOT_IDENTIFIED, stoppable
from expand_and_cluster.cli.metrics import MetricsLog
from expand_and_cluster.cli.progress import ProgressRenderer
from expand_and_cluster.cli.run_folder import RunFolder
from expand_and_cluster.cli.show import keep_comparison, show_comparison, show_recovery
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.progress import Progress

if TYPE_CHECKING:  # imported when needed: these pull in JAX
    from expand_and_cluster.core.network import Network
    from expand_and_cluster.recovery import Recovery


@dataclass(frozen=True)
class Question:
    """What to recover.

    Attributes:
        source: Pairs, or an oracle.
        options: Further keywords of `expand_and_cluster.recover`.
    """

    source: Any
    options: Mapping[str, Any]


def run(
    folder: Path,
    command: str,
    arguments: Mapping[str, Any],
    prepare: Callable[[], Question],
    teacher: "Network | None" = None,
) -> int:
    """Recover into a folder and print the result.

    A folder that holds the finished run with the same arguments is only shown; an unfinished one
    is resumed.

    Args:
        folder: Where everything goes.
        command: Name of the command.
        arguments: Everything that decides the result.
        prepare: Reads the source; not called if the run is finished.
        teacher: A known teacher to compare with.

    Returns:
        The exit code: identified or not.

    Raises:
        StoppedError: Ctrl-C or SIGTERM; the folder can be resumed.
    """
    from expand_and_cluster.recovery import load

    place = RunFolder(folder, command, arguments)
    if place.finished:
        typer.echo(f"{folder} is finished; nothing is computed again")
        recovery = load(folder)
    else:
        if not place.fresh:
            typer.echo(f"resuming {folder}", err=True)
        with stoppable(f"the same command resumes from {folder}"):
            recovery = _recover(place, prepare)
    show_recovery(recovery, folder)
    if teacher is not None:
        _compare(recovery, teacher, folder)
    _draw(folder, again=teacher is not None)
    return IDENTIFIED if recovery.verdict.identified else NOT_IDENTIFIED


def _recover(place: RunFolder, prepare: Callable[[], Question]) -> "Recovery":
    from expand_and_cluster.pipeline import recover

    question = prepare()
    place.start()
    try:
        with ProgressRenderer() as renderer, MetricsLog(place.metrics) as metrics:

            def report(progress: Progress) -> None:
                metrics(progress)
                renderer(progress)

            recovery = recover(
                question.source,
                **question.options,
                progress=report,
                checkpoint=place.checkpoint,
            )
    except InvalidInputError:
        place.discard()  # refused before any work: the corrected command may use this folder
        raise
    recovery.save(place.path)
    return recovery


def _compare(recovery: "Recovery", teacher: "Network", folder: Path) -> None:
    from expand_and_cluster.scoring import compare

    try:
        comparison = compare(recovery, teacher)
    except InvalidInputError as error:
        # The recovery stands, whatever it was to be compared with.
        typer.echo(f"not compared with the teacher: {error}", err=True)
        return
    keep_comparison(comparison, folder)
    show_comparison(comparison, recovery)


def _draw(folder: Path, *, again: bool) -> None:
    from expand_and_cluster.report import write_pictures

    pictures = folder / "pictures"
    if again or not any(pictures.glob("*.png")):
        write_pictures(folder)
    typer.echo(f"pictures: {pictures}")
