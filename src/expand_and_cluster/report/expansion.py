"""How wide students must be: the expansion curve."""

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from expand_and_cluster.report import style


def draw_expansion(
    widths: Int[np.ndarray, " widths"],
    losses: Float[np.ndarray, "widths students"],
    criterion: float,
    chosen: int,
) -> Figure:
    """Held-out loss of every probing student against its width.

    Args:
        widths: Widths that were tried.
        losses: Held-out relative root mean squared error; NaN or infinity for a failed student.
        criterion: Loss that counts as near zero.
        chosen: Width that was taken.

    Source:
        Figure A.2B of the paper.
    """
    figure = style.new_figure(7.5, 4.4)
    axes = figure.add_subplot()
    floor = style.log_floor(losses, [criterion])
    ceiling = style.log_ceiling(losses, [criterion], floor=floor)
    linear = bool(np.max(widths) <= 6 * np.min(widths))
    if not linear:
        axes.set_xscale("log", base=2)
    axes.axvline(chosen, color=style.SKY, linewidth=9, alpha=0.35, label=f"chosen width {chosen}")
    students = losses.shape[1]
    usable = np.isfinite(losses)
    for i in range(students):
        seen = usable[:, i]
        heights = style.on_log_axis(losses[seen, i], floor)
        axes.plot(
            widths[seen], heights, "o", markersize=4.5, alpha=0.65,
            color=style.BLUE, markeredgewidth=0, clip_on=False,
            label="a student" if i == 0 else None,
        )  # fmt: skip
    any_usable = usable.any(axis=1)
    best = np.min(np.where(usable, losses, np.inf), axis=1, initial=np.inf)[any_usable]
    axes.plot(widths[any_usable], style.on_log_axis(best, floor), color=style.INK, linewidth=1.6,
              label="best student")  # fmt: skip
    if criterion > 0:
        axes.axhline(criterion, color=style.RED, linewidth=1.2, linestyle=(0, (5, 3)),
                     label=f"criterion {style.short(criterion)}")  # fmt: skip
    style.dress(
        axes, x="width of the students (hidden neurons)", y="relative RMSE on held-out pairs"
    )
    style.log_y(axes, floor / 1.6, ceiling * 1.6)
    _width_ticks(axes.xaxis, widths)
    low, high = float(np.min(widths)), float(np.max(widths))
    margin = max(0.06 * (high - low), 0.5)
    limits = (low - margin, high + margin) if linear else (low / 1.2, high * 1.2)
    axes.set_xlim(*limits)
    style.legend_below(figure, axes.get_legend_handles_labels()[0])
    reached = [int(w) for w, row in zip(widths, losses, strict=True)
               if np.any(row[np.isfinite(row)] <= criterion)]  # fmt: skip
    style.headline(
        figure,
        f"Width {min(reached)} is the first with near-zero loss; width {chosen} was taken"
        if reached
        else f"No width reached near-zero loss; width {chosen} was taken",
    )
    return figure


def _width_ticks(axis: Axis, widths: Int[np.ndarray, " widths"]) -> None:
    step = -(-widths.size // 14)
    shown = widths[::-1][::step][::-1]
    axis.set_major_locator(FixedLocator(shown.tolist()))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:g}")
