"""What a number of questions buys: neurons and weight error against it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.report import style

# Where a recovery with missing or excess neurons, whose weight error is infinite, is drawn.
UNBOUNDED = 10.0


def draw_query_curve(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Recovered neurons and largest weight error against the number of questions.

    Args:
        rows: Mappings with `queries`, `bound` (the counting bound), `width`, `neurons` (of the
            teacher, recovered), `max_weight_error` and `identified`.

    Raises:
        InvalidInputError: There are no rows.
    """
    if not rows:
        raise InvalidInputError("rows is empty; give at least one number of questions.")
    rows = sorted(rows, key=lambda row: row["queries"])
    queries = np.array([row["queries"] for row in rows])
    bound, width = rows[0]["bound"], rows[0]["width"]
    errors = np.array([float(row["max_weight_error"] or np.inf) for row in rows])
    heights = np.where(np.isfinite(errors), np.maximum(errors, 1e-16), UNBOUNDED)
    figure = style.new_figure(7.5, 5.6)
    above, below = figure.subplots(2, 1, sharex=True)
    found = [row["neurons"] for row in rows]
    above.plot(queries, found, "o-", color=style.BLUE, markersize=5, clip_on=False)
    style.dress(above, y="neurons recovered")
    above.set_ylim(0, 1.08 * width)
    identified = np.array([bool(row["identified"]) for row in rows])
    below.plot(queries, heights, color=style.INK, linewidth=1.2)
    for chosen, color, label in (
        (identified, style.BLUE, "called identified"),
        (~identified, style.ORANGE, "not called identified"),
    ):
        if chosen.any():
            below.plot(queries[chosen], heights[chosen], "o", color=color, label=label)
    style.dress(below, x="questions", y="largest weight error")
    style.log_y(below, 1e-17, 3 * UNBOUNDED)
    below.set_xscale("log")
    below.set_xlim(0.9 * bound, 1.05 * queries.max())  # the bound beside the axis, not on it
    below.xaxis.set_minor_locator(NullLocator())
    ticks = [bound, *queries[:: max(1, len(queries) // 5)]]
    below.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    for axes in (above, below):
        axes.axvline(bound, color=style.RED, linestyle=(0, (5, 3)), linewidth=1.2)
    above.annotate(
        "counting bound",
        (bound, 0.06 * width),
        xytext=(6, 0),
        textcoords="offset points",
        fontsize=8.5,
        color=style.RED,
    )
    below.legend(loc="upper right", frameon=False, fontsize=8.5)
    if not np.all(np.isfinite(errors)):
        style.note(below, f"missing or excess neurons: drawn at {UNBOUNDED:g}")
    exact = queries[(heights <= 1e-9)]
    text = (
        f"Exact from {exact.min():,} questions, {exact.min() / bound:.2f} times the counting bound"
        if len(exact)
        else "No number of questions was enough"
    )
    style.headline(figure, text)
    return figure
