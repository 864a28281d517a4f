"""`expand-and-cluster explain`: what every neuron of a network does, and what it reduces to."""

from pathlib import Path
from typing import Annotated

import typer

from expand_and_cluster.cli.guard import Debug, guarded


@guarded
def explain(
    network: Annotated[Path, typer.Argument(help="A network (.safetensors) or a run folder.")],
    inputs: Annotated[
        Path, typer.Option(help="Inputs (.npy, .npz, .csv) on which the network matters.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the pictures and the reduced network.")],
    error: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Root mean squared error of the network, relative to the outputs' spread; left "
            "out, it is read off the network.",
        ),
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help="For files that do not name their activation.")
    ] = None,
    debug: Debug = False,
) -> int:
    """Name the type of every hidden neuron, and reduce the network step by step."""
    from expand_and_cluster.cli.inputs import read_array, read_network
    from expand_and_cluster.reconstruction.reduce import reduce
    from expand_and_cluster.report.explanation import write_explanation
    from expand_and_cluster.symmetries.classify import classify

    whole, rows = read_network(network, activation), read_array(inputs)
    classification = classify(whole, rows, error=error)
    reduction = reduce(whole, rows, error=error)
    typer.echo(str(classification))
    typer.echo("")
    typer.echo(str(reduction))
    written = write_explanation(out, whole, rows, classification, reduction)
    reduction.network.save(out / "reduced.safetensors")
    for path in (*written, out / "reduced.safetensors"):
        typer.echo(f"wrote {path}")
    return 0
