"""The command line: parse, call, print."""

from importlib.metadata import version
from typing import Annotated

import typer

from expand_and_cluster.cli.compare import compare
from expand_and_cluster.cli.demo import demo
from expand_and_cluster.cli.explain import explain
from expand_and_cluster.cli.recover import recover
from expand_and_cluster.cli.report import report
from expand_and_cluster.cli.reproduce import reproduce

# What computes (JAX, SciPy, Matplotlib) is imported inside the commands, so that --help and
# mistyped options answer at once.
app = typer.Typer(
    name="expand-and-cluster",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (recover, compare, explain, report, reproduce, demo):
    app.command()(_command)


def _version(asked: bool) -> bool:
    if asked:
        typer.echo(f"expand-and-cluster {version('expand-and-cluster')}")
        raise typer.Exit
    return asked


@app.callback()
def _root(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Recover the weights of a neural network from its inputs and outputs.

    Exit codes: 0 identified, 1 error, 2 usage, 3 finished but not identified, 130 stopped.
    """


def main() -> None:
    """Run the command line of this process."""
    app()
