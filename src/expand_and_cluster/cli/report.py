"""`expand-and-cluster report`: the pictures of a run folder, again."""

from pathlib import Path
from typing import Annotated

import typer

from expand_and_cluster.cli.guard import Debug, guarded


@guarded
def report(
    folder: Annotated[Path, typer.Argument(help="A finished run folder.")],
    debug: Debug = False,
) -> int:
    """Draw the pictures of a finished run again."""
    from expand_and_cluster.report import write_pictures

    for path in write_pictures(folder):
        typer.echo(str(path))
    return 0
