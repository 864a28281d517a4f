"""`expand-and-cluster demo`: the main job on bundled data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expand_and_cluster.cli.guard import IDENTIFIED, NOT_IDENTIFIED, Debug, guarded

if TYPE_CHECKING:  # imported when needed: this pulls in JAX
    from expand_and_cluster.core.network import Network

WIDTHS = (64, 32, 10)
QUERIES = 8_192
# Half the default: enough for a network of this size, and the demo is to be quick.
STUDENTS = 5


@guarded
def demo(
    folder: Annotated[Path, typer.Option(help="Where both run folders go.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Fixes the teacher and both recoveries.")] = 0,
    debug: Debug = False,
) -> int:
    """Recover a network trained on handwritten digits: from pairs, and by asking it freely."""
    from expand_and_cluster.cli.execution import Question, run
    from expand_and_cluster.datasets import load
    from expand_and_cluster.queries.pairs import QueryPairs
    from expand_and_cluster.queries.samplers import Gaussian

    teacher = _teacher(folder, seed)
    sizes = "-".join(map(str, WIDTHS))
    options = {"activation": "tanh", "seed": seed, "students": STUDENTS}
    images = load("digits").train_inputs
    common = {"seed": seed, "teacher": f"digits {sizes} tanh"}
    typer.echo(f"\n1. {sizes} tanh teacher, from its answers on {len(images):,} images alone")
    passive = run(
        folder / "pairs",
        "demo",
        {**common, "questions": "training images"},
        lambda: Question(QueryPairs(images, teacher(images)), options),
        teacher,
    )
    typer.echo(f"\n2. the same teacher, asked freely at {QUERIES:,} inputs at most")
    active = run(
        folder / "queries",
        "demo",
        {**common, "questions": "gaussian", "max_queries": QUERIES},
        lambda: Question(
            teacher, {**options, "inputs": Gaussian(WIDTHS[0]), "max_queries": QUERIES}
        ),
        teacher,
    )
    return IDENTIFIED if passive == active == IDENTIFIED else NOT_IDENTIFIED


def _teacher(folder: Path, seed: int) -> "Network":
    from expand_and_cluster.teachers import trained

    typer.echo("training the teacher on scikit-learn's digits", err=True)
    return trained("digits", WIDTHS, activation="tanh", seed=seed, cache=folder / "teacher")
