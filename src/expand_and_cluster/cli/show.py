"""Prints recoveries and comparisons, and keeps comparisons in run folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from expand_and_cluster.core.checkpoint import write_atomically
from expand_and_cluster.core.strict_json import dumps

if TYPE_CHECKING:  # imported when needed: these pull in JAX
    from expand_and_cluster.recovery import Recovery
    from expand_and_cluster.scoring import Comparison

SUMMARY = (
    "missing",
    "excess",
    "size_ratio",
    "mean_input_distance",
    "max_input_distance",
    "mean_output_distance",
    "max_output_distance",
    "max_weight_error",
)


def console() -> Console:
    """Where results go: stdout, without colours or wrapping of its own where it is a file."""
    return Console(highlight=False, soft_wrap=True)


def show_recovery(recovery: "Recovery", folder: Path) -> None:
    """The recovery's summary and where everything is."""
    typer.echo(str(recovery))
    typer.echo(f"run folder: {folder}")


def show_comparison(comparison: "Comparison", recovered: Any) -> None:
    """The comparison's summary, and which inputs it leaves out."""
    typer.echo(str(comparison))
    masked = getattr(recovered, "masked_inputs", None)
    if masked is not None and masked.any():
        typer.echo(
            f"{int(masked.sum())} of {masked.size} inputs hardly vary; their weights cannot be "
            "seen from outside and are left out of the comparison"
        )


def comparison_record(comparison: "Comparison") -> dict[str, Any]:
    """Everything a comparison says, as plain values; `neurons` holds one list for each quantity."""
    known = [neuron for neuron in comparison.neurons if neuron.teacher is not None]
    excess = [neuron for neuron in comparison.neurons if neuron.teacher is None]
    return {
        **{name: getattr(comparison, name) for name in SUMMARY},
        "neurons": {
            "layer": [neuron.layer for neuron in known],
            "teacher_index": [neuron.teacher for neuron in known],
            "distance": [neuron.input_distance for neuron in known],
            "output_distance": [neuron.output_distance for neuron in known],
            "flipped": [neuron.flipped for neuron in known],
            "output_norm": [neuron.output_norm for neuron in known],
            "excess_output_norms": [neuron.output_norm for neuron in excess],
        },
    }


def keep_comparison(comparison: "Comparison", folder: Path) -> None:
    """Write `comparison.json`, from which the pictures draw every neuron's distance.

    Infinity is written as null.
    """
    text = dumps(comparison_record(comparison), indent=2, lossy=True)
    write_atomically(folder / "comparison.json", text.encode())
