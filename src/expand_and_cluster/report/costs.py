"""What recoveries cost, against one thing that varies at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.report import style


def exponents(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Slope of the logarithm of the cost in that of each thing that varies; NaN for one point.

    Args:
        rows: As in `draw_costs`.
    """
    found = {}
    for varied in dict.fromkeys(row["varied"] for row in rows):
        own = [row for row in rows if row["varied"] == varied]
        values, costs = (np.log([row[key] for row in own]) for key in ("value", "cost"))
        found[varied] = float(np.polyfit(values, costs, 1)[0]) if len(own) > 1 else float("nan")
    return found


def draw_costs(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Seconds against each thing that varies, with straight lines whose slope is the exponent.

    Args:
        rows: Mappings with `varied` (its name), `value` and `cost` (seconds).

    Raises:
        InvalidInputError: There are no rows.
    """
    if not rows:
        raise InvalidInputError("rows is empty; give at least one point.")
    found = exponents(rows)
    kinds = list(found)
    figure = style.new_figure(2.5 * len(kinds) + 1.0, 3.4)
    panels = np.atleast_1d(figure.subplots(1, len(kinds), sharey=True))
    slopes = []
    for axes, kind in zip(panels, kinds, strict=True):
        own = sorted((row for row in rows if row["varied"] == kind), key=lambda row: row["value"])
        values, costs = (np.array([float(row[key]) for row in own]) for key in ("value", "cost"))
        axes.loglog(values, costs, "o", color=style.BLUE, markersize=5)
        style.dress(axes, x=kind, y="seconds" if axes is panels[0] else "")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(values, [f"{value:g}" for value in values])
        if len(own) > 1:
            slope = found[kind]
            level = np.mean(np.log(costs) - slope * np.log(values))
            axes.plot(values, np.exp(level) * values**slope, color=style.INK, linewidth=1.0)
            axes.annotate(
                f"exponent {slope:.2f}",
                (0.06, 0.92),
                xycoords="axes fraction",
                fontsize=8.5,
                color=style.INK,
            )
            slopes.append(f"{kind} {slope:.1f}")
    style.headline(figure, "Cost: " + ", ".join(slopes) if slopes else "Cost")
    return figure
