"""The common look of all pictures: colours that stay apart for colour-blind eyes, plain axes.

Everything is set on the figure at hand. Matplotlib's global settings and backend stay untouched.
"""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator
from numpy.typing import ArrayLike

from expand_and_cluster.core.checkpoint import write_atomically
from expand_and_cluster.core.errors import InvalidInputError

# The palette of Okabe and Ito (2008), without the yellow that vanishes on white, and with the
# darker red of Paul Tol, which is told from the orange at a glance.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#CC3311"
PINK, SKY = "#CC79A7", "#56B4E9"
INK, MUTED, PALE, FAINT = "#222222", "#6e6e6e", "#a9a9a9", "#dcdcdc"
CYCLE = (BLUE, ORANGE, GREEN, PINK, SKY, RED)

DOTS_PER_INCH = 150
LOWEST, HIGHEST = 1e-30, 1e30  # nothing beyond is told apart on a log axis
NEAR_NOTHING = 1e-17  # drawn for zero when nothing positive sets the scale

_TITLE_SIZE, _TEXT_SIZE, _SMALL_SIZE = 12.0, 9.5, 8.5
_TITLE_LETTERS_PER_INCH = 10.0
_NOTE_LETTERS_PER_INCH = 14.5


def new_figure(width: float = 8.0, height: float = 4.5) -> Figure:
    """An empty white figure that belongs to no window and no global state.

    Args:
        width: Inches.
        height: Inches.
    """
    figure = Figure(
        figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor="white"
    )
    FigureCanvasAgg(figure)
    return figure


def headline(figure: Figure, text: str) -> None:
    """Say in bold above everything what there is to see, wrapped to the figure's width."""
    letters = max(20, int(figure.get_figwidth() * _TITLE_LETTERS_PER_INCH))
    figure.suptitle(
        textwrap.fill(text, letters), x=0.01, ha="left",
        fontsize=_TITLE_SIZE, fontweight="bold", color=INK,
    )  # fmt: skip


def note(axes: Axes, text: str) -> None:
    """A quiet line above one panel, wrapped to the figure's width."""
    figure = axes.get_figure(root=True)
    letters = int((8.0 if figure is None else figure.get_figwidth()) * _NOTE_LETTERS_PER_INCH)
    axes.set_title(textwrap.fill(text, letters), loc="left", fontsize=_TEXT_SIZE, color=MUTED)


def dress(axes: Axes, *, x: str = "", y: str = "", grid: str | None = "y") -> None:
    """Label the axes and strip them of everything that is not data.

    Args:
        axes: The panel.
        x: Label of the horizontal axis, with its unit.
        y: Label of the vertical axis, with its unit.
        grid: "x", "y" or "both" for faint lines behind the data, None for none.
    """
    axes.set_facecolor("white")
    axes.set_xlabel(x, fontsize=_TEXT_SIZE, color=INK)
    axes.set_ylabel(y, fontsize=_TEXT_SIZE, color=INK)
    axes.tick_params(which="both", labelsize=_SMALL_SIZE, colors=INK, length=3, width=0.7)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
        spine.set_linewidth(0.8)
    axes.grid(False, which="both")
    if grid == "x":
        axes.xaxis.grid(True, color=FAINT, linewidth=0.6)
    elif grid == "y":
        axes.yaxis.grid(True, color=FAINT, linewidth=0.6)
    elif grid == "both":
        axes.grid(True, color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def log_y(axes: Axes, low: float, high: float) -> None:
    """Make the vertical axis logarithmic between two positive values, with few ticks."""
    axes.set_ylim(low, high)  # before the scale, which would try limits of its own
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(base=10.0, numticks=9))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if np.log10(high / low) > 6:
        axes.yaxis.set_minor_locator(NullLocator())


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """A legend without a box under all panels, where it can hide nothing.

    Args:
        figure: The figure.
        handles: Labelled artists; none makes no legend.
    """
    if handles:
        # An entry takes about two inches; rows are filled before a new one is begun.
        columns = min(len(handles), max(1, int(figure.get_figwidth() / 1.85)))
        figure.legend(
            handles=handles, loc="outside lower left", ncols=columns, frameon=False,
            fontsize=_SMALL_SIZE, labelcolor=INK,
        )  # fmt: skip


def colour_bar(figure: Figure, image: AxesImage, axes: Sequence[Axes], label: str) -> None:
    """A colour scale to the right of some panels."""
    bar = figure.colorbar(image, ax=list(axes), shrink=0.8, pad=0.02)
    bar.set_label(label, fontsize=_TEXT_SIZE, color=INK)
    bar.ax.tick_params(labelsize=_SMALL_SIZE, colors=INK, length=3, width=0.7)
    bar.outline.set_visible(False)  # type: ignore[operator]


def log_floor(*values: ArrayLike, default: float = NEAR_NOTHING) -> float:
    """A power of ten at or below all positive values, one decade lower when zeros need a place.

    Args:
        values: Arrays of any shape; NaN and infinity are passed over.
        default: Returned when nothing is positive.
    """
    flat = np.concatenate([np.ravel(np.asarray(v, dtype=np.float64)) for v in values])
    flat = flat[np.isfinite(flat)]
    positive = flat[flat > 0]
    if positive.size == 0:
        return default
    lowest = max(float(positive.min()), LOWEST)
    decade = np.floor(np.log10(lowest)) - (1.0 if np.any(flat <= 0) else 0.0)
    return float(10.0**decade)


def log_ceiling(*values: ArrayLike, floor: float) -> float:
    """A power of ten at or above all finite values and at least one decade above the floor."""
    flat = np.concatenate([np.ravel(np.asarray(v, dtype=np.float64)) for v in values])
    flat = flat[np.isfinite(flat)]
    highest = max(min(float(flat.max()), HIGHEST) if flat.size else floor, floor * 10.0)
    return float(10.0 ** np.ceil(np.log10(highest) - 1e-9))


def on_log_axis(values: Float[np.ndarray, "*shape"], floor: float) -> Float[np.ndarray, "*shape"]:
    """Values brought between a floor and the largest number that is told apart."""
    return np.clip(values, floor, HIGHEST)


def short(value: float) -> str:
    """A number for a title: three digits at most, 0 as 0."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    return f"{value:.1e}" if abs(value) < 1e-2 or abs(value) >= 1e4 else f"{value:.3g}"


def count(number: int, noun: str) -> str:
    """A number with its noun: "1 student", "2,560 neurons"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def save(figure: Figure, path: Path) -> Path:
    """Write a figure whole or not at all.

    Args:
        figure: What to write.
        path: Where to; the ending .png or .svg decides the format.

    Raises:
        InvalidInputError: The path ends otherwise.
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in ("png", "svg"):
        raise InvalidInputError(f"path must end in .png or .svg, got {path.name!r}.")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=ending, dpi=DOTS_PER_INCH, facecolor="white")
    write_atomically(path, buffer.getvalue())
    return path
