"""Neuron by neuron: how far from the teacher's, or how well the students agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from expand_and_cluster.core.errors import FileFormatError, InvalidInputError
from expand_and_cluster.report import style

_HOLLOW_BELOW = 0.1  # output norm under which the paper draws an excess neuron hollow
_FEW = 40


@dataclass(frozen=True)
class NeuronDistances:
    """Comparison with a known teacher, one entry for each of its neurons.

    Attributes:
        teacher_index: Which neuron of the teacher.
        distance: Cosine distance of its input vector to the nearest recovered one; 1 if missing.
        flipped: Whether it was found with the opposite sign.
        output_norm: Euclidean norm of its output weights.
        excess_output_norms: Norms of the output weights of recovered neurons without a partner.
        output_distance: Cosine distance of the output weights, if known.
    """

    teacher_index: Int[np.ndarray, " neurons"]
    distance: Float[np.ndarray, " neurons"]
    flipped: Bool[np.ndarray, " neurons"]
    output_norm: Float[np.ndarray, " neurons"]
    excess_output_norms: Float[np.ndarray, " excess"]
    output_distance: Float[np.ndarray, " neurons"] | None = None

    def __post_init__(self) -> None:
        """Check that all arrays speak of the same neurons."""
        shape = np.shape(self.teacher_index)
        for name in ("distance", "flipped", "output_norm", "output_distance"):
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise InvalidInputError(
                    f"{name} must have one entry for each of {shape} teacher neurons, "
                    f"got shape {np.shape(value)}."
                )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "NeuronDistances":
        """Read the fields by name from a parsed JSON object.

        Raises:
            FileFormatError: A field is missing.
        """
        try:
            extra = data.get("output_distance")
            return cls(
                np.asarray(data["teacher_index"], dtype=np.int64),
                np.asarray(data["distance"], dtype=np.float64),
                np.asarray(data["flipped"], dtype=bool),
                np.asarray(data["output_norm"], dtype=np.float64),
                np.asarray(data["excess_output_norms"], dtype=np.float64),
                None if extra is None else np.asarray(extra, dtype=np.float64),
            )
        except KeyError as error:
            raise FileFormatError(
                f"the comparison has no field {error}; compare again to write a whole one."
            ) from error


def draw_teacher_distances(record: NeuronDistances) -> Figure:
    """Distance of every teacher neuron to the nearest recovered one, and what is in excess.

    Teacher neurons stand in order of falling output norm. Red bars were found with the opposite
    sign; excess neurons are hollow where their output norm is under 0.1.

    Args:
        record: The comparison.

    Source:
        Figures A.10 to A.15 of the paper.
    """
    order = np.argsort(-record.output_norm, kind="stable")
    neurons, excess = order.size, np.sort(record.excess_output_norms)[::-1]
    missing = ~(np.nan_to_num(record.distance, nan=1.0) < 1.0)
    panels = [("input vector", record.distance)]
    if record.output_distance is not None:
        panels.append(("output weights", record.output_distance))
    figure = style.new_figure(9.5, 2.7 + 1.8 * len(panels))
    columns = (5, 1) if excess.size else (1,)
    grid = figure.add_gridspec(
        len(panels) + 1, len(columns),
        width_ratios=columns, height_ratios=[2.0] * len(panels) + [1.2],
    )  # fmt: skip
    for row, (name, distance) in enumerate(panels):
        axes = figure.add_subplot(grid[row, 0])
        _distance_bars(axes, name, distance[order], record.flipped[order], missing[order])
    norms = figure.add_subplot(grid[len(panels), 0])
    norms.bar(np.arange(neurons), record.output_norm[order], width=0.8, color=style.MUTED)
    style.dress(norms, x="teacher neuron, by falling output norm", y="output norm")
    _neuron_ticks(norms, record.teacher_index[order])
    if excess.size:
        _excess_bars(figure.add_subplot(grid[:, 1]), excess)
    patches = _sign_patches(record.flipped, missing)
    style.legend_below(figure, patches if len(patches) > 1 else [])
    found = neurons - int(missing.sum())
    worst = float(np.max(record.distance[~missing])) if found else float("nan")
    style.headline(
        figure,
        f"{found} of {style.count(neurons, 'teacher neuron')} found"
        + (f", the worst {style.short(worst)} away" if found else "")
        + f"; {excess.size} in excess",
    )
    return figure


def draw_agreement(
    agreement: Float[np.ndarray, " neurons"],
    support: Int[np.ndarray, " neurons"],
    students: int,
    *,
    types: Sequence[str] | None = None,
) -> Figure:
    """How well the students agree on every recovered neuron, for want of a known teacher.

    Args:
        agreement: Median cosine distance between the students' versions; NaN where unknown.
        support: Number of students that hold the neuron.
        students: Number of students that were trained.
        types: Kind of every neuron; kinds get colours when there is more than one.
    """
    order = np.argsort(np.nan_to_num(agreement, nan=np.inf), kind="stable")
    names = ["neuron"] * order.size if types is None else list(types)
    kinds = sorted(set(names), key=lambda name: (-names.count(name), name))
    shade = {k: style.CYCLE[i % len(style.CYCLE)] for i, k in enumerate(kinds)}
    colours = [shade[names[i]] for i in order]
    figure = style.new_figure(9.0, 5.2)
    grid = figure.add_gridspec(2, 1, height_ratios=(2, 1.2))
    axes = figure.add_subplot(grid[0])
    _log_bars(axes, agreement[order], colours)
    style.dress(axes, y="median cosine distance\nbetween students")
    _neuron_ticks(axes, order)
    axes.tick_params(axis="x", labelbottom=False)
    if len(kinds) > 1:
        style.legend_below(figure, [Patch(color=shade[k], label=k) for k in kinds])
    below = figure.add_subplot(grid[1], sharex=axes)
    below.bar(np.arange(order.size), support[order], width=0.8, color=colours)
    below.axhline(students, color=style.INK, linewidth=1.2, linestyle=(0, (5, 3)))
    style.dress(below, x="recovered neuron, best agreement first", y="students that\nhold it")
    below.set_ylim(0, max(students, 1) * 1.15)
    below.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10], integer=True))
    _neuron_ticks(below, order)
    full = int(np.sum(support >= students))
    known = agreement[np.isfinite(agreement)]
    style.headline(
        figure,
        f"{full} of {style.count(order.size, 'recovered neuron')} held by all "
        f"{style.count(students, 'student')}"
        + (f"; students agree within {style.short(float(known.max()))}" if known.size else ""),
    )
    return figure


def _log_bars(axes: Axes, values: Float[np.ndarray, " neurons"], colours: Sequence[str]) -> None:
    values = np.abs(values)  # rounding can leave a distance a hair below zero
    floor = style.log_floor(values)
    # One decade of empty axis below the smallest value gives it a visible bar; zero gets a stub.
    bottom, stub = floor / 10, floor / 6
    shown = np.where(np.isfinite(values), style.on_log_axis(values, stub), bottom)
    axes.bar(np.arange(values.size), shown - bottom, bottom=bottom, width=0.8, color=colours)
    style.log_y(axes, bottom, style.log_ceiling(values, floor=floor) * 1.3)
    axes.set_xlim(-0.7, max(values.size, 1) - 0.3)


def _distance_bars(
    axes: Axes,
    name: str,
    distance: Float[np.ndarray, " neurons"],
    flipped: Bool[np.ndarray, " neurons"],
    missing: Bool[np.ndarray, " neurons"],
) -> None:
    values = np.where(missing, 1.0, distance)
    colours = np.where(missing, style.PALE, np.where(flipped, style.RED, style.BLUE))
    _log_bars(axes, values, colours.tolist())
    zero = "\n(0 at the bottom)" if np.any(values == 0) else ""
    style.dress(axes, y=f"cosine distance,\n{name}{zero}")
    axes.set_xticks([])


def _sign_patches(
    flipped: Bool[np.ndarray, " neurons"], missing: Bool[np.ndarray, " neurons"]
) -> list[Patch]:
    flips = int(np.sum(flipped & ~missing))
    entries = [
        (style.BLUE, "found", flipped.size - flips - int(missing.sum())),
        (style.RED, "found, sign flipped", flips),
        (style.PALE, "missing", int(missing.sum())),
    ]
    return [Patch(color=c, label=f"{name} ({n})") for c, name, n in entries if n]


def _excess_bars(axes: Axes, norms: Float[np.ndarray, " excess"]) -> None:
    hollow = norms < _HOLLOW_BELOW
    axes.barh(
        np.arange(norms.size), norms, height=0.8, linewidth=1.0, edgecolor=style.ORANGE,
        color=["white" if empty else style.ORANGE for empty in hollow],
    )  # fmt: skip
    axes.axvline(_HOLLOW_BELOW, color=style.INK, linewidth=1.0, linestyle=(0, (5, 3)))
    style.dress(axes, x="output norm\n(hollow: under 0.1)", y="excess neuron", grid="x")
    axes.set_ylim(max(norms.size, 8) - 0.3, -0.7)  # the largest on top; few bars stay slim
    axes.set_yticks([])
    axes.set_xlim(0, max(0.15, 1.1 * float(norms[0])))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3))


def _neuron_ticks(axes: Axes, names: Int[np.ndarray, " neurons"]) -> None:
    if names.size <= _FEW:
        axes.set_xticks(np.arange(names.size), [str(n) for n in names])
    else:
        axes.set_xticks([])
    axes.set_xlim(-0.7, max(names.size, 1) - 0.3)
