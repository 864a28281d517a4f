"""How the students' losses fell, and why each of them stopped."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from expand_and_cluster.report import style

_COLOURS = {
    "reached the target loss": style.BLUE,
    "no further descent": style.ORANGE,
    "used all steps": style.GREEN,
    "used all time": style.PINK,
    "loss became NaN or infinite": style.RED,
}


def draw_losses(
    steps: Int[np.ndarray, " points"],
    losses: Float[np.ndarray, "students points"],
    codes: Sequence[str],
    *,
    held_out: Float[np.ndarray, " students"] | None = None,
) -> Figure:
    """Loss curves of all students, coloured by why they stopped, the best one drawn on top.

    Args:
        steps: Training steps at which losses were taken.
        losses: Relative root mean squared error on the training pairs; NaN after a stop.
        codes: Why each student stopped, one sentence each.
        held_out: Relative root mean squared error on held-out pairs, drawn as dots to the right.
    """
    last = np.array([_last(row) for row in losses])
    dots = [] if held_out is None else held_out
    floor = style.log_floor(losses, dots)
    ceiling = style.log_ceiling(losses, dots, floor=floor)
    figure = style.new_figure(8.5, 5.0)
    strip: Axes | None = None
    if held_out is not None and np.any(np.isfinite(held_out)):
        grid = figure.add_gridspec(1, 2, width_ratios=(11, 1))
        axes = figure.add_subplot(grid[0, 0])
        strip = figure.add_subplot(grid[0, 1], sharey=axes)
    else:
        axes = figure.add_subplot()
    colours = _colours(codes)
    best = int(np.argmin(np.where(np.isnan(last), np.inf, last))) if last.size else -1
    for reason, colour in colours.items():
        members = [i for i, code in enumerate(codes) if code == reason]
        for rank, i in enumerate(members):
            name = f"{reason} ({len(members)})" if rank == 0 else None
            _curve(axes, steps, losses[i], floor, colour=colour, label=name)
    found = best >= 0 and np.isfinite(last[best])
    if found:
        _curve(axes, steps, losses[best], floor, colour=style.INK, label=f"best: student {best}",
               width=2.2)  # fmt: skip
    style.dress(axes, x="training step", y="relative RMSE on training pairs")
    style.log_y(axes, floor / 1.6, ceiling * 1.6)
    style.legend_below(figure, axes.get_legend_handles_labels()[0])
    if strip is not None and held_out is not None:
        _held_out_strip(strip, held_out, [colours[c] for c in codes], best, floor)
    reached = sum(c == "reached the target loss" for c in codes)
    title = f"{reached} of {style.count(len(codes), 'student')} reached the target loss"
    if found:
        title += f"; the best stands at {style.short(float(last[best]))}"
    style.headline(figure, title)
    return figure


def _colours(codes: Sequence[str]) -> dict[str, str]:
    spare = [c for c in (*style.CYCLE, style.MUTED) if c not in _COLOURS.values()]
    order = [r for r in _COLOURS if r in codes]
    others = sorted(set(codes) - set(order))
    return {r: _COLOURS[r] for r in order} | {
        r: spare[i % len(spare)] for i, r in enumerate(others)
    }


def _last(row: Float[np.ndarray, " points"]) -> float:
    finite = row[np.isfinite(row)]
    return float(finite[-1]) if finite.size else float("nan")


def _curve(
    axes: Axes,
    steps: Int[np.ndarray, " points"],
    losses: Float[np.ndarray, " points"],
    floor: float,
    *,
    colour: str,
    label: str | None,
    width: float = 1.1,
) -> None:
    seen = np.isfinite(losses)
    x, y = steps[seen], style.on_log_axis(losses[seen], floor)
    axes.plot(x, y, color=colour, linewidth=width, label=label, solid_capstyle="round")
    if x.size:  # where it stopped; also all there is to see of a curve of one point
        axes.plot(x[-1:], y[-1:], "o", color=colour, markersize=2.5 + width, clip_on=False)


def _held_out_strip(
    axes: Axes,
    held_out: Float[np.ndarray, " students"],
    colours: Sequence[str],
    best: int,
    floor: float,
) -> None:
    # A fixed sideways step for each student keeps equal losses apart.
    shift = np.linspace(-0.6, 0.6, held_out.size) if held_out.size > 1 else np.zeros(1)
    heights = style.on_log_axis(held_out, floor)
    for i in np.flatnonzero(np.isfinite(held_out)).tolist():
        axes.plot(
            shift[i], heights[i], "o", markersize=4.5, color=colours[i], markeredgewidth=1.6,
            markeredgecolor=style.INK if i == best else colours[i],
        )  # fmt: skip
    style.dress(axes, x="held-out\npairs")
    axes.set_xlim(-1.2, 1.2)
    axes.set_xticks([])
    axes.tick_params(axis="y", which="both", labelleft=False, length=0)
    axes.spines["left"].set_visible(False)
