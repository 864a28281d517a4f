"""`expand-and-cluster compare`: a recovered network beside the true one."""

from pathlib import Path
from typing import Annotated

import typer

from expand_and_cluster.cli.guard import Debug, guarded


@guarded
def compare(
    recovered: Annotated[Path, typer.Argument(help="Run folder or .safetensors file.")],
    teacher: Annotated[Path, typer.Argument(help="The true network, likewise.")],
    activation: Annotated[
        str | None, typer.Option(help="For files that do not name their activation.")
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(help="Inputs (.npy, .npz, .csv) at which to compare outputs too."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON; infinity becomes null.")
    ] = False,
    debug: Debug = False,
) -> int:
    """Compare a recovered network with its teacher, up to what no query can tell apart."""
    from expand_and_cluster.cli.inputs import read_array, read_network, read_recovered
    from expand_and_cluster.cli.show import comparison_record, show_comparison
    from expand_and_cluster.core.strict_json import dumps
    from expand_and_cluster.scoring import compare as score

    found = read_recovered(recovered, activation)
    comparison = score(found, read_network(teacher, activation))
    error = None if inputs is None else comparison.output_rmse(read_array(inputs))
    if json:
        record = comparison_record(comparison)
        extra = {} if error is None else {"output_rmse": error}
        typer.echo(dumps(record | extra, indent=2, lossy=True))
        return 0
    show_comparison(comparison, found)
    if error is not None:
        typer.echo(f"root mean squared difference of the outputs: {error:.1e}")
    return 0
