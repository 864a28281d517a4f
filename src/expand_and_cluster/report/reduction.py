"""A student on its way to the teacher, step by step, for two inputs (paper, Fig. A.6)."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.reduce import Reduction, Step
from expand_and_cluster.report import style

MOST_PANELS = 12
_COLUMNS = 4
_GRID = 81
_LEVELS = 12


def draw_reduction(network: Network, reduction: Reduction, inputs: np.ndarray) -> Figure:
    """One panel for the network and one for every step of its reduction, with the step's error.

    Lines are the neurons' hyperplanes within the inputs; an arrow stands on each, along the input
    vector, longer for longer vectors, coloured by the output weight (the first output's).
    Contours of the first output lie behind; no step changes them. Steps of the same kind that
    follow each other share a panel where there would be more than 12.

    Args:
        network: The network before the first step: two inputs, one hidden layer.
        reduction: What `reduce` made of it.
        inputs: (samples, 2), whose range is drawn.

    Raises:
        InvalidInputError: The network has another number of inputs or of hidden layers.

    Source:
        Figure A.6 of the paper.
    """
    if network.input_size != 2 or len(network.layers) != 2:
        raise InvalidInputError(
            f"network is {'-'.join(map(str, network.widths))}; the steps are drawn for two inputs "
            "and one hidden layer."
        )
    # Activations that are symmetric about another point are drawn as `reduce` treats them.
    first = network.centred()
    panels = [(first, style.count(network.hidden_widths[0], "neuron"))]
    panels += [(step.network, _title(steps)) for steps in _stages(reduction.steps)
               if (step := steps[-1]).network is not None]  # fmt: skip
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = style.new_figure(max(4.6, 2.7 * columns + 0.9), 2.75 * rows + 0.9)
    low, high = inputs.min(axis=0), inputs.max(axis=0)
    steepest = max(float(np.linalg.norm(n.layers[0].weight, axis=1).max()) for n, _ in panels)
    amounts = np.concatenate([n.layers[1].weight[0] for n, _ in panels])
    colours = ScalarMappable(Normalize(*_symmetric(amounts)), "coolwarm")
    grid = _grid(low, high)
    surface = first(grid)[:, 0]
    levels = np.linspace(float(surface.min()), float(surface.max()) + 1e-12, _LEVELS)
    all_axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    for axes, (shown, title) in zip(all_axes, panels, strict=False):
        _contours(axes, shown, grid, levels)
        _neurons(axes, shown, (low, high), steepest, colours)
        style.dress(axes, grid=None)
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])
        axes.set_title(title, loc="left", fontsize=8.5, color=style.INK)
    bar = figure.colorbar(colours, ax=list(all_axes), shrink=0.6, pad=0.02)
    bar.set_label("output weight", fontsize=9.5, color=style.INK)
    bar.ax.tick_params(labelsize=8.5, colors=style.INK, length=3, width=0.7)
    bar.outline.set_visible(False)  # type: ignore[operator]
    left = reduction.network.hidden_widths[0]
    style.headline(
        figure,
        f"{style.count(network.hidden_widths[0], 'neuron')} to {left}, "
        f"error {style.short(reduction.error)}",
    )
    return figure


def _stages(steps: Sequence[Step]) -> list[list[Step]]:
    if len(steps) < MOST_PANELS:
        return [[step] for step in steps]
    return [list(run) for _, run in groupby(steps, key=lambda step: step.reason)]


def _title(steps: Sequence[Step]) -> str:
    last = steps[-1]
    many = f" ({len(steps)} times)" if len(steps) > 1 else ""
    return f"{_wrapped(last.reason + many)}\n{last.width} left, error {style.short(last.error)}"


def _wrapped(text: str, letters: int = 40) -> str:
    words, lines = text.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > letters:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _symmetric(amounts: Float[np.ndarray, " neurons"]) -> tuple[float, float]:
    # A pair in a channel to infinity must not wash out all others.
    limit = max(float(np.quantile(np.abs(amounts), 0.9)), 1e-12)
    return -limit, limit


def _grid(low: np.ndarray, high: np.ndarray) -> Float[np.ndarray, "points 2"]:
    sides = [np.linspace(low[i], high[i], _GRID) for i in (0, 1)]
    return np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)


def _contours(
    axes: Axes, network: Network, grid: Float[np.ndarray, "points 2"], levels: np.ndarray
) -> None:
    square = (_GRID, _GRID)
    x, y = grid[:, 0].reshape(square), grid[:, 1].reshape(square)
    values = network(grid)[:, 0].reshape(square)
    axes.contour(x, y, values, levels=levels, colors=style.PALE, linewidths=0.6,
                 linestyles="solid")  # fmt: skip


def _neurons(
    axes: Axes,
    network: Network,
    box: tuple[np.ndarray, np.ndarray],
    steepest: float,
    colours: ScalarMappable,
) -> None:
    low, high = box
    middle, size = (low + high) / 2.0, float((high - low).min())
    beyond = 0
    for vector, output in zip(network.input_vectors, network.output_vectors, strict=True):
        weight, length = vector[:-1], float(np.linalg.norm(vector[:-1]))
        foot = None if length == 0.0 else middle - weight * (
            (weight @ middle + vector[-1]) / length**2
        )  # fmt: skip
        if foot is None or not _inside(foot, weight / length, box):
            beyond += 1
            continue
        along = np.array([-weight[1], weight[0]]) / length
        colour = colours.to_rgba(np.asarray(output[0]))
        axes.axline(tuple(foot), tuple(foot + along), color=colour, linewidth=1.1, alpha=0.7)
        tip = foot + weight / length * size * (0.08 + 0.17 * length / steepest)
        axes.annotate("", tuple(tip), tuple(foot), annotation_clip=False,
                      arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.8,
                                  "shrinkA": 0.0, "shrinkB": 0.0})  # fmt: skip
    if beyond:
        axes.text(0.98, 0.02, f"{beyond} without a line here", transform=axes.transAxes,
                  ha="right", va="bottom", fontsize=7.5, color=style.MUTED,
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0})  # fmt: skip


def _inside(foot: np.ndarray, normal: np.ndarray, box: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether the line through a point, with this normal, crosses the box."""
    corners = np.array([[box[i][0], box[j][1]] for i in (0, 1) for j in (0, 1)])
    sides = (corners - foot) @ normal
    return bool(sides.min() < 0.0 < sides.max())
