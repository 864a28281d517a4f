"""What rounding or noise costs: neurons found, and weight errors beside what was stated of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.report import style


def draw_noise_curve(rows: Sequence[Mapping[str, Any]], *, decimals: bool) -> Figure:
    """Recovered neurons, true weight errors and standard errors against rounding or noise.

    Args:
        rows: Mappings with `level` (decimals, or standard deviation of the noise), `width` and
            `neurons` (of the teacher, recovered), `weight_error` and `standard_error` (root mean
            squares, None where there are none) and `identified`.
        decimals: Whether levels are decimals.

    Raises:
        InvalidInputError: There are no rows.
    """
    if not rows:
        raise InvalidInputError("rows is empty; give at least one level.")
    rows = sorted(rows, key=lambda row: row["level"])
    levels = np.array([row["level"] for row in rows], float)
    each = np.unique(levels)
    figure = style.new_figure(7.5, 5.6)
    above, below = figure.subplots(2, 1, sharex=True)
    share = np.array([row["neurons"] / row["width"] for row in rows])
    above.plot(levels, 100.0 * share, "o", color=style.BLUE, markersize=4, alpha=0.5)
    mean = [100.0 * share[levels == level].mean() for level in each]
    above.plot(each, mean, color=style.BLUE, clip_on=False)
    style.dress(above, y="neurons recovered, %")
    above.set_ylim(0, 108)
    stated = np.array([row["standard_error"] is not None for row in rows])
    true = np.array([row["weight_error"] or np.nan for row in rows], float)
    told = np.array([row["standard_error"] or np.nan for row in rows], float)
    identified = np.array([bool(row["identified"]) for row in rows])
    if stated.any():
        seen = np.unique(levels[stated])
        middle = [np.exp(np.nanmean(np.log(told[levels == level]))) for level in seen]
        below.plot(seen, middle, color=style.INK, linewidth=1.2, label="standard errors")
        for chosen, color, label in (
            (stated & identified, style.BLUE, "true error, called identified"),
            (stated & ~identified, style.ORANGE, "true error, not called identified"),
        ):
            if chosen.any():
                below.plot(
                    levels[chosen], true[chosen], "o", color=color, markersize=4, label=label
                )
        low = min(np.nanmin(true), np.nanmin(told))
        style.log_y(below, low / 10.0, 10.0 * max(np.nanmax(true), np.nanmax(told)))
        below.legend(loc="best", frameon=False, fontsize=8.5)
    name = "decimals of the answers" if decimals else "noise in the answers"
    style.dress(below, x=name, y="weights, root mean square")
    if decimals:
        below.set_xticks(each)
    else:
        below.set_xscale("log")
    left_out = int((~stated).sum())
    if left_out:
        style.note(below, f"{left_out} of {len(rows)} without standard errors")
    style.headline(
        figure,
        f"{int(identified.sum())} of {len(rows)} called identified; errors are "
        f"{np.nanmedian(true / told):.2g} times the standard errors"
        if stated.any()
        else "No standard errors were stated",
    )
    return figure
