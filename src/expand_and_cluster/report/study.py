"""Pictures of whole studies: many teachers, many trials."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import norm

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.report import style

Row = Mapping[str, Any]

RECOVERED_RMSE = 1e-14
RECOVERED_WEIGHT_ERROR = 1e-10
_FAILED_AT = 10.0  # where a teacher without any recovered network is drawn
_KINDS = (
    ("exact width", style.BLUE),
    ("excess neurons", style.ORANGE),
    ("missing neurons", style.RED),
    ("nothing recovered", style.MUTED),
)


def recovered(row: Row) -> bool:
    """Whether a teacher came back whole: exact width, zero loss, all weights right.

    Args:
        row: `width`, `found_width`, `rmse` and, if known, `max_weight_error`.
    """
    weight_error = row.get("max_weight_error")
    return (
        row.get("found_width") == row["width"]
        and _number(row.get("rmse")) <= RECOVERED_RMSE
        and (weight_error is None or float(weight_error) <= RECOVERED_WEIGHT_ERROR)
    )


def summarise_study(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One line for each input size and width: how many of its teachers came back.

    Args:
        rows: One mapping for each teacher, as in `draw_study`.

    Returns:
        Rows of `input_size`, `width`, `teachers`, `recovered`, `identified`, `median_rmse`,
        `worst_rmse` and `seconds` (mean, None if not given).
    """
    summary = []
    for size, width in sorted({(row["input_size"], row["width"]) for row in rows}):
        group = [r for r in rows if r["input_size"] == size and r["width"] == width]
        rmse = np.array([_number(r.get("rmse")) for r in group])
        times = [float(r["seconds"]) for r in group if r.get("seconds") is not None]
        summary.append(
            {
                "input_size": size,
                "width": width,
                "teachers": len(group),
                "recovered": sum(recovered(r) for r in group),
                "identified": sum(bool(r.get("identified")) for r in group),
                "median_rmse": float(np.quantile(rmse, 0.5, method="lower")),
                "worst_rmse": float(rmse.max()),
                "seconds": float(np.mean(times)) if times else None,
            }
        )
    return summary


def draw_study(rows: Sequence[Row]) -> Figure:
    """One mark for each teacher: error of its recovered network, whether the width is exact.

    Args:
        rows: One mapping for each teacher with `input_size`, `width`, `seed`, `rmse`,
            `found_width` (None if nothing was recovered) and `identified`.

    Raises:
        InvalidInputError: There are no rows.

    Source:
        Figure 5B of the paper.
    """
    if not rows:
        raise InvalidInputError("rows is empty; a study needs at least one teacher.")
    sizes = sorted({int(row["input_size"]) for row in rows})
    widths = sorted({int(row["width"]) for row in rows})
    rmse = np.array([_number(row.get("rmse")) for row in rows])
    floor = min(style.log_floor(rmse), 1e-16)
    failed = bool(np.any(~np.isfinite(rmse)))
    top = style.log_ceiling(rmse, floor=floor) * 3
    top = max(top, 3.0, _FAILED_AT * 5 if failed else 0.0)
    figure = style.new_figure(max(8.0, 1.5 * len(sizes) + 2.2), 1.9 * len(widths) + 1.7)
    panels = figure.subplots(len(widths), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for panel, width in zip(panels, widths, strict=True):
        style.dress(panel, y=f"{style.count(width, 'neuron')}\nRMSE")
        panel.axhline(RECOVERED_RMSE, color=style.INK, linewidth=1.0, linestyle=(0, (5, 3)))
        for column, size in enumerate(sizes):
            group = [r for r in rows if int(r["width"]) == width and int(r["input_size"]) == size]
            _cell(panel, column, sorted(group, key=lambda r: r["seed"]), floor)
        for edge in range(1, len(sizes)):
            panel.axvline(edge - 0.5, color=style.FAINT, linewidth=0.8)
        style.log_y(panel, floor / 3, top)
    panels[-1].set_xticks(np.arange(len(sizes)), [str(s) for s in sizes])
    panels[-1].set_xlim(-0.5, len(sizes) - 0.5)
    panels[-1].set_xlabel("inputs of the teacher")
    _study_legend(figure, rows)
    good = sum(recovered(r) for r in rows)
    style.headline(
        figure,
        f"{good} of {style.count(len(rows), 'teacher')} recovered exactly",
    )
    style.note(
        panels[0],
        f"recovered: exact width, RMSE ≤ {RECOVERED_RMSE:.0e} (dashed), weights within "
        f"{RECOVERED_WEIGHT_ERROR:.0e}; one mark for each teacher",
    )
    return figure


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a success rate; sensible also at 0 and at 1.

    Args:
        successes: Trials that succeeded.
        trials: All trials.
        confidence: Share of such intervals that hold the true rate.

    Raises:
        InvalidInputError: Not 0 <= successes <= trials, or no trial at all.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise InvalidInputError(
            f"successes must lie between 0 and trials, and trials be at least 1, "
            f"got {successes} of {trials}."
        )
    z = float(norm.ppf(0.5 + confidence / 2))
    rate, square = successes / trials, z * z
    centre = (rate + square / (2 * trials)) / (1 + square / trials)
    half = (
        z * np.sqrt(rate * (1 - rate) / trials + square / (4 * trials**2)) / (1 + square / trials)
    )
    # Rounding must not push the ends past the rate itself at 0 and at 1.
    low = 0.0 if successes == 0 else float(centre - half)
    high = 1.0 if successes == trials else float(centre + half)
    return low, high


def draw_success_rates(rows: Sequence[Row]) -> Figure:
    """Success rate against the overparameterisation factor at equal compute.

    Args:
        rows: Mappings with `overparameterisation`, `successes` and `trials`.

    Raises:
        InvalidInputError: There are no rows.

    Source:
        Figure A.2A of the paper.
    """
    if not rows:
        raise InvalidInputError("rows is empty; give at least one overparameterisation factor.")
    rows = sorted(rows, key=lambda row: row["overparameterisation"])
    rates = np.array([100.0 * r["successes"] / r["trials"] for r in rows])
    ends = 100.0 * np.array([wilson_interval(r["successes"], r["trials"]) for r in rows])
    figure = style.new_figure(max(4.8, 1.1 * len(rows) + 2.0), 4.2)
    axes = figure.add_subplot()
    place = np.arange(len(rows))
    axes.bar(place, rates, width=0.6, color=style.BLUE)
    spread = np.maximum(np.stack([rates - ends[:, 0], ends[:, 1] - rates]), 0.0)
    axes.errorbar(place, rates, yerr=spread, fmt="none", ecolor=style.INK, capsize=4,
                  elinewidth=1.3)  # fmt: skip
    for i, row in enumerate(rows):
        axes.text(place[i], ends[i, 1] + 1.5, f"{row['successes']:,} of {row['trials']:,}",
                  ha="center", va="bottom", fontsize=8.5, color=style.INK)  # fmt: skip
    style.dress(axes, x="overparameterisation (student width / teacher width)",
                y="runs that reach zero loss (%)")  # fmt: skip
    axes.set_xticks(place, [f"{row['overparameterisation']:g}" for row in rows])
    axes.set_ylim(0, min(112.0, float(ends.max()) * 1.1 + 6.0))
    axes.set_xlim(-0.6, len(rows) - 0.4)
    style.note(axes, "equal compute for every bar; lines: 95 % Wilson intervals")
    best = rows[int(np.argmax(rates))]
    style.headline(
        figure,
        f"Students {best['overparameterisation']:g} times as wide succeed most often "
        f"({rates.max():.0f} %)",
    )
    return figure


def _number(value: float | None) -> float:
    return float("inf") if value is None or np.isnan(value) else float(value)


def _kind(row: Row) -> int:
    found = row.get("found_width")
    if not found or not np.isfinite(_number(row.get("rmse"))):
        return 3
    return 0 if found == row["width"] else (1 if found > row["width"] else 2)


def _wrongly_identified(row: Row) -> bool:
    return bool(row.get("identified")) and not recovered(row)


def _cell(axes: Axes, column: int, group: Sequence[Row], floor: float) -> None:
    if not group:
        return
    shift = np.linspace(-0.36, 0.36, len(group)) if len(group) > 1 else np.zeros(1)
    for place, row in zip(column + shift, group, strict=True):
        kind = _kind(row)
        rmse = _number(row.get("rmse"))
        y = min(max(rmse, floor), style.HIGHEST) if np.isfinite(rmse) else _FAILED_AT
        marker = "x" if kind == 3 else "*" if row.get("identified") else "o"
        axes.plot(place, y, marker, color=_KINDS[kind][1], markersize=8 if marker == "*" else 4.5,
                  markeredgewidth=1.4 if marker == "x" else 0.0)  # fmt: skip
        if _wrongly_identified(row):  # the one thing that must never be overlooked
            axes.plot(place, y, "o", markersize=13, markerfacecolor="none",
                      markeredgecolor=style.INK, markeredgewidth=1.6)  # fmt: skip
    good = sum(recovered(r) for r in group)
    axes.text(column, 0.99, f"{good}/{len(group)}", transform=axes.get_xaxis_transform(),
              ha="center", va="top", fontsize=8.5, color=style.MUTED)  # fmt: skip


def _study_legend(figure: Figure, rows: Sequence[Row]) -> None:
    kinds = [_kind(r) for r in rows]
    handles = [
        Line2D([], [], linestyle="", marker="x" if i == 3 else "o", color=colour, markersize=5,
               label=f"{name} ({kinds.count(i)})")
        for i, (name, colour) in enumerate(_KINDS) if i in kinds
    ]  # fmt: skip
    stars = sum(bool(r.get("identified")) for r in rows)
    if stars:
        handles.append(Line2D([], [], linestyle="", marker="*", color=style.INK, markersize=8,
                              label=f"called identified ({stars})"))  # fmt: skip
    wrong = sum(_wrongly_identified(r) for r in rows)
    if wrong:
        handles.append(Line2D([], [], linestyle="", marker="o", markersize=10, color="none",
                              markeredgecolor=style.INK, markeredgewidth=1.6,
                              label=f"called identified, but wrong ({wrong})"))  # fmt: skip
    style.legend_below(figure, handles)
