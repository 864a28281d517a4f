"""Tables and pictures of a study's folder, made from its rows alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expand_and_cluster.core.errors import FileFormatError
from expand_and_cluster.core.strict_json import loads
from expand_and_cluster.experiments.studies import MANIFEST, Row, read_rows
from expand_and_cluster.report import style
from expand_and_cluster.report.costs import draw_costs
from expand_and_cluster.report.kernels import write_kernels
from expand_and_cluster.report.noise_curve import draw_noise_curve
from expand_and_cluster.report.query_curve import draw_query_curve
from expand_and_cluster.report.study import (
    draw_study,
    draw_success_rates,
    recovered,
    summarise_study,
)
from expand_and_cluster.report.tables import write_table


def write_study(folder: Path) -> list[Path]:
    """Write what a study's rows show: all rows as CSV, a summary as Markdown, a picture.

    Args:
        folder: Folder that `expand-and-cluster reproduce` wrote.

    Returns:
        The files written; none while there are no rows.

    Raises:
        FileFormatError: The folder does not say which experiment it holds.
    """
    try:
        name = loads((folder / MANIFEST).read_text())["experiment"]
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise FileFormatError(
            f"{folder} holds no study: {MANIFEST} is missing or broken; give a folder that "
            "'expand-and-cluster reproduce' wrote."
        ) from error
    rows = read_rows(folder)
    if not rows:
        return []
    nested = ("task", "steps")
    plain = [{key: value for key, value in row.items() if key not in nested} for row in rows]
    summary = _summary(name, plain)
    written = [
        write_table(folder / "rows.csv", plain),
        write_table(folder / "table.md", summary),
    ]
    if name == "synthetic":
        written.append(folder / "study.png")
        style.save(draw_study(plain), written[-1])
    elif name == "trained-students":
        written.append(write_table(folder / "steps.csv", _steps(rows)))
    elif name == "overparameterisation":
        written.append(folder / "success-rates.png")
        style.save(draw_success_rates(summary), written[-1])
    elif name in ("convolutions", "convolutions-given"):
        written += write_kernels(folder)
    elif name == "deep-cost":
        written.append(folder / "costs.png")
        style.save(draw_costs(plain), written[-1])
    elif name == "query-curve":
        written.append(folder / "query-curve.png")
        style.save(draw_query_curve(plain), written[-1])
    elif name in ("rounding", "noise"):
        written.append(folder / f"{name}.png")
        style.save(draw_noise_curve(plain, decimals=name == "rounding"), written[-1])
    return written


def _summary(name: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    if name == "overparameterisation":
        return [_success(factor, rows) for factor in sorted(_values(rows, "overparameterisation"))]
    if name == "activations":
        return [_by_activation(activation, rows) for activation in _values(rows, "activation")]
    if name == "trained-students":
        return [_reduced(row) for row in rows]
    if name == "auto-activation":
        return [_named(row) for row in rows]
    if name == "mixtures":
        return [_mixed(row) for row in rows]
    if name.startswith("chosen-queries"):
        return [_asked(row) for row in rows]
    if name.startswith("given-") or name == "other-data":
        return [_given(row) for row in rows]
    if name in ("convolutions", "convolutions-given", "deep-cost", "deep-images-given"):
        return list(rows)
    if name in ("deep", "deep-queries", "deep-images"):
        return [_deep(row) for row in rows]
    if name == "query-curve":
        return [_counted(row) for row in sorted(rows, key=lambda row: row["queries"])]
    if name == "query-choice":
        kinds = list(
            dict.fromkeys((row["activation"], row["share"], row["choice"]) for row in rows)
        )
        return [_chosen(*kind, rows) for kind in kinds]
    if name in ("rounding", "noise"):
        return [_at_level(level, rows) for level in sorted(_values(rows, "level"))]
    return summarise_study(rows)


def _at_level(level: float, rows: Sequence[Row]) -> Row:
    chosen = [row for row in rows if row["level"] == level]
    stated = [row for row in chosen if row["standard_error"] is not None]

    def middle(key: str) -> float | None:
        return float(np.median([row[key] for row in stated])) if stated else None

    return {
        "level": level,
        "recoveries": len(chosen),
        "exact_width": sum(row["found_width"] == row["width"] for row in chosen),
        "neurons": sum(row["neurons"] for row in chosen),
        "of": sum(row["width"] for row in chosen),
        "identified": sum(bool(row["identified"]) for row in chosen),
        "weight_error": middle("weight_error"),
        "standard_error": middle("standard_error"),
        "covered": float(np.mean([row["covered"] for row in stated])) if stated else None,
        "seconds": float(np.mean([row["seconds"] for row in chosen])),
    }


def _chosen(activation: str, share: float, choice: str, rows: Sequence[Row]) -> Row:
    wanted = (activation, share, choice)
    own = [r for r in rows if (r["activation"], r["share"], r["choice"]) == wanted]
    return {
        "activation": activation,
        "share": share,
        "queries": own[0]["queries"],
        "choice": choice,
        "teachers": len(own),
        "exact": sum(bool(row["exact"]) for row in own),
        "identified": sum(bool(row["identified"]) for row in own),
        "amplification": float(np.median([row["amplification"] for row in own])),
        "seconds": float(np.mean([row["seconds"] for row in own])),
    }


def _counted(row: Row) -> Row:
    names = ("queries", "share", "width", "found_width", "neurons", "max_weight_error")
    return {key: row[key] for key in (*names, "identified", "recovery_seconds", "peak_gib")}


def _steps(rows: Sequence[Row]) -> list[Row]:
    return [{"student": row["label"], **step} for row in rows for step in row["steps"]]


def _reduced(row: Row) -> Row:
    names = ("label", "trained", "student_error", "student_width", "width", "found_width")
    return {key: row[key] for key in (*names, "worst_step", "reduced_error", "max_weight_error")}


def _named(row: Row) -> Row:
    names = ("activation", "seed", "named", "equivalent", "decided", "runner_up", "margin")
    return {key: row[key] for key in (*names, "max_weight_error", "seconds")}


def _mixed(row: Row) -> Row:
    names = ("activations", "width", "seed", "found", "identified", "max_weight_error")
    return {key: row[key] for key in (*names, "rounds", "seconds")}


def _deep(row: Row) -> Row:
    names = ("network", "activation", "seed", "found_widths", "identified", "max_weight_error")
    return {key: row[key] for key in (*names, "rmse", "queries", "rounds", "recovery_seconds")}


def _asked(row: Row) -> Row:
    names = ("dataset", "activation", "width", "found_width", "identified", "max_weight_error")
    return {key: row[key] for key in (*names, "rmse", "queries", "recovery_seconds", "peak_gib")}


def _given(row: Row) -> Row:
    names = ("teacher", "images", "activation", "width", "found_width", "spectrum_missing")
    errors = ("rmse_seen", "rmse", "rmse_within", "paper_rmse")
    near = ("spectrum_inputs", "spectrum_max_distance", "boruta_inputs", "boruta_max_distance")
    return {key: row[key] for key in (*names, *errors, *near, "recovery_seconds", "peak_gib")}


def _values(rows: Sequence[Row], key: str) -> list[Any]:
    return list(dict.fromkeys(row[key] for row in rows))


def _success(factor: float, rows: Sequence[Row]) -> dict[str, Any]:
    chosen = [row for row in rows if row["overparameterisation"] == factor]
    return {
        "overparameterisation": factor,
        "successes": sum(row["successes"] for row in chosen),
        "trials": sum(row["trials"] for row in chosen),
        "operations": sum(row["operations"] for row in chosen),
        "seconds": sum(row["seconds"] for row in chosen),
    }


def _by_activation(activation: str, rows: Sequence[Row]) -> dict[str, Any]:
    chosen = [row for row in rows if row["activation"] == activation]
    return {
        "activation": activation,
        "teachers": len(chosen),
        "recovered": sum(recovered(row) for row in chosen),
        "identified": sum(bool(row["identified"]) for row in chosen),
        "worst_rmse": float(np.max([row["rmse"] for row in chosen])),
        "worst_weight_error": float(np.max([row["max_weight_error"] for row in chosen])),
        "seconds": float(np.mean([row["seconds"] for row in chosen])),
    }
