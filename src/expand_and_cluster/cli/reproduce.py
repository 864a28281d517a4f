"""`expand-and-cluster reproduce`: the paper's experiments by name."""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from expand_and_cluster.cli.guard import Debug, guarded, stoppable


@guarded
def reproduce(
    name: Annotated[
        str | None, typer.Argument(help="Which experiment; left out, they are listed.")
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A small version that only shows that it runs.")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(help="Where results go; default runs/<name>.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes to use.")] = 2,
    debug: Debug = False,
) -> int:
    """Run an experiment of the paper; without a name, list them."""
    from expand_and_cluster.experiments import catalogue

    if name is None:
        _list()
        return 0
    if name not in catalogue:
        near = get_close_matches(name, catalogue)
        known = f"there are {', '.join(catalogue) or 'none'}."
        hint = f"did you mean {near[0]}?" if near else known
        raise typer.BadParameter(f"there is no experiment {name!r}; {hint}")
    from expand_and_cluster.cli.progress import ProgressRenderer
    from expand_and_cluster.report.studies import write_study

    place = folder or Path("runs") / (f"{name}-smoke" if smoke else name)
    with stoppable(f"the same command resumes from {place}"), ProgressRenderer() as renderer:
        code = catalogue[name].run(place, smoke, workers, renderer)
    for path in write_study(place):
        typer.echo(f"wrote {path}")
    typer.echo((place / "table.md").read_text())
    return code


def _list() -> None:
    from rich.table import Table

    from expand_and_cluster.cli.show import console
    from expand_and_cluster.experiments import catalogue

    table = Table("name", "minutes", "claim", box=None, pad_edge=False)
    for experiment in catalogue.values():
        table.add_row(experiment.name, f"{experiment.minutes:g}", experiment.claim)
    console().print(table)
