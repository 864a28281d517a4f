"""The tree of all students' neurons, with the cut and what was kept of it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from expand_and_cluster.report import style

_FEW = 48  # leaves that can carry the number of their student as a tick


@dataclass(frozen=True)
class _Layout:
    """Where every node of the tree stands."""

    x: Float[np.ndarray, " nodes"]  # NaN inside a bundle
    height: Float[np.ndarray, " nodes"]
    label: Int[np.ndarray, " nodes"]  # cluster that holds the whole subtree, or -1
    bundled: np.ndarray  # (nodes,) bool: a subtree drawn as one leaf, or inside of one
    tips: tuple[int, ...]  # nodes drawn as leaves, from left to right


def draw_dendrogram(
    tree: Float[np.ndarray, "merges 4"],
    height: float,
    labels: Int[np.ndarray, " neurons"],
    *,
    students: Int[np.ndarray, " neurons"] | None = None,
    max_leaves: int = 900,
) -> Figure:
    """Dendrogram on a log axis, kept clusters coloured, the cut as a line.

    Large trees are bundled: subtrees without a kept neuron are drawn as one leaf each, the
    tightest first, until `max_leaves` are left. Kept neurons are always drawn one by one.

    Args:
        tree: Linkage matrix in SciPy's form; no rows for a single neuron.
        height: Distance at which the tree was cut.
        labels: Kept cluster of every neuron, -1 for none.
        students: Student that every neuron belongs to, drawn below the leaves.
        max_leaves: Leaves to aim at.
    """
    layout = _lay_out(tree, labels, max_leaves)
    floor = style.log_floor(tree[:, 2], [height])
    colours = _colours(layout)
    figure = style.new_figure(10.0, 5.4)
    few = len(layout.tips) <= _FEW
    strip: Axes | None = None
    if students is not None and not few:
        grid = figure.add_gridspec(2, 1, height_ratios=(4, 1.3))
        axes = figure.add_subplot(grid[0, 0])
        strip = figure.add_subplot(grid[1, 0], sharex=axes)
    else:
        axes = figure.add_subplot()
    _draw_tree(axes, layout, tree, floor, colours, labels.size)
    zero = bool(np.any(tree[:, 2] <= 0))
    style.dress(
        axes,
        y="distance at which neurons merge" + (f"\n(0 drawn at {style.short(floor)})" if zero
                                               else ""),
    )  # fmt: skip
    top = style.log_ceiling(tree[:, 2], [height], floor=floor)
    style.log_y(axes, floor, top * 1.3)
    cut_seen = height > 0 and bool(np.isfinite(height))
    if cut_seen:
        axes.axhline(height, color=style.INK, linewidth=1.3, linestyle=(0, (5, 3)))
    axes.set_xlim(-1.0, max(len(layout.tips), 1))
    if strip is None:
        _leaf_ticks(axes, layout, students)
    else:
        axes.tick_params(axis="x", which="both", bottom=False, labelbottom=False)
    if strip is not None and students is not None:
        _student_strip(strip, layout, students, labels, colours)
    clusters = np.unique(labels[labels >= 0]).size
    loose = int(np.sum(labels < 0))
    style.headline(
        figure,
        f"{style.count(clusters, 'kept cluster')} of {style.count(labels.size, 'neuron')}; "
        f"{style.count(loose, 'neuron')} in no kept cluster (grey)",
    )
    remark = [f"dashed: cut at {style.short(height)}"] if cut_seen else []
    bundles = sum(1 for tip in layout.tips if tip >= labels.size)
    if bundles:
        inside = loose - sum(1 for t in layout.tips if t < labels.size and labels[t] < 0)
        remark.append(f"{style.count(inside, 'grey neuron')} drawn as {bundles:,} bundles")
    style.note(axes, "; ".join(remark))
    return figure


def _lay_out(
    tree: Float[np.ndarray, "merges 4"], labels: Int[np.ndarray, " neurons"], max_leaves: int
) -> _Layout:
    neurons, nodes = labels.size, labels.size + len(tree)
    label = np.full(nodes, -1)
    label[:neurons] = labels
    loose = np.zeros(nodes, dtype=bool)  # holds no kept neuron at all
    loose[:neurons] = labels < 0
    heights = np.zeros(nodes)
    heights[neurons:] = tree[:, 2]
    children = tree[:, :2].astype(int)
    for i, (a, b) in enumerate(children):
        label[neurons + i] = label[a] if label[a] == label[b] else -1
        loose[neurons + i] = loose[a] and loose[b]
    # Merges come in order of height, so the first loose ones hold only loose, earlier ones.
    free = np.flatnonzero(loose[neurons:]) + neurons
    bundled = np.zeros(nodes, dtype=bool)
    bundled[free[: max(0, neurons - max_leaves)]] = True
    tips: list[int] = []
    waiting = [nodes - 1] if nodes else []
    while waiting:  # a stack instead of recursion: chains of thousands are ordinary
        node = waiting.pop()
        if node < neurons or bundled[node]:
            tips.append(node)
        else:
            waiting.extend(reversed(children[node - neurons].tolist()))
    x = np.full(nodes, np.nan)
    x[tips] = np.arange(len(tips))
    for i, (a, b) in enumerate(children):
        if not bundled[neurons + i]:
            x[neurons + i] = (x[a] + x[b]) / 2
    return _Layout(x, heights, label, bundled, tuple(tips))


def _colours(layout: _Layout) -> dict[int, str]:
    """Colours in order of position, so that neighbours differ."""
    colours: dict[int, str] = {-1: style.PALE}
    for tip in layout.tips:
        cluster = int(layout.label[tip])
        if cluster not in colours:
            colours[cluster] = style.CYCLE[(len(colours) - 1) % len(style.CYCLE)]
    return colours


def _draw_tree(
    axes: Axes,
    layout: _Layout,
    tree: Float[np.ndarray, "merges 4"],
    floor: float,
    colours: dict[int, str],
    neurons: int,
) -> None:
    y = style.on_log_axis(layout.height, floor)
    lines: list[np.ndarray] = []
    shades: list[str] = []
    for i, (a, b) in enumerate(tree[:, :2].astype(int)):
        node = neurons + i
        if layout.bundled[node]:
            continue
        feet = [floor if layout.bundled[c] else y[c] for c in (a, b)]
        lines.append(
            np.array(
                [(layout.x[a], feet[0]), (layout.x[a], y[node]),
                 (layout.x[b], y[node]), (layout.x[b], feet[1])]
            )
        )  # fmt: skip
        shades.append(colours[int(layout.label[node])])
    if not lines and layout.tips:  # a single neuron: a lone leaf
        lines = [np.array([(0.0, floor), (0.0, floor * 10)])]
        shades = [colours[int(layout.label[layout.tips[0]])]]
    crowd = len(layout.tips)
    width = 1.6 if crowd <= _FEW else 1.0 if crowd <= 300 else 0.6
    axes.add_collection(LineCollection(lines, colors=shades, linewidths=width), autolim=False)


def _leaf_ticks(axes: Axes, layout: _Layout, students: Int[np.ndarray, " neurons"] | None) -> None:
    if students is None:
        axes.set_xticks([])
        axes.set_xlabel("neurons, ordered by the tree")
        return
    places = [i for i, tip in enumerate(layout.tips) if tip < students.size]
    axes.set_xticks(places, [str(students[layout.tips[i]]) for i in places])
    axes.set_xlabel("student that the neuron belongs to")


def _student_strip(
    axes: Axes,
    layout: _Layout,
    students: Int[np.ndarray, " neurons"],
    labels: Int[np.ndarray, " neurons"],
    colours: dict[int, str],
) -> None:
    places = [i for i, tip in enumerate(layout.tips) if tip < students.size]
    members = [layout.tips[i] for i in places]
    size = 9.0 if len(places) <= 300 else 3.0
    axes.scatter(
        places, students[members], s=size, marker="s", linewidths=0,
        c=[style.FAINT if labels[m] < 0 else colours[int(labels[m])] for m in members],
    )  # fmt: skip
    style.dress(axes, x="neurons, ordered by the tree", y="student", grid=None)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    low, high = int(students.min()), int(students.max())
    axes.set_ylim(high + 0.7, low - 0.7)
    axes.set_xticks([])
