"""Which neurons of all students look alike."""

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list

from expand_and_cluster.report import style


def draw_similarity(
    vectors: Float[np.ndarray, "neurons inputs_and_bias"],
    labels: Int[np.ndarray, " neurons"],
    *,
    sign_free: bool = False,
    tree: Float[np.ndarray, "merges 4"] | None = None,
    max_neurons: int = 1600,
    noun: str = "cluster",
) -> Figure:
    """Cosine similarity of all input vectors, ordered by cluster, kept clusters outlined.

    Args:
        vectors: Input vectors with the bias appended.
        labels: Kept cluster of every neuron, -1 for none; those come last.
        sign_free: Whether a vector and its opposite count as alike (absolute similarity).
        tree: Linkage matrix in SciPy's form, to order neurons inside and outside of clusters.
        max_neurons: Rows to draw at most; every k-th neuron of the order is drawn beyond that.
        noun: What the labels name.
    """
    order = _order(labels, tree)
    kept = int(np.sum(labels >= 0))
    # Rejected neurons say little: beyond the limit they give way first.
    loose_step = _step(order.size - kept, max(max_neurons - kept, max_neurons // 3))
    kept_step = _step(kept, max_neurons)
    shown = np.concatenate([order[:kept][::kept_step], order[kept:][::loose_step]])
    unit = _unit(vectors[shown])
    cosine = np.clip(unit @ unit.T, -1.0, 1.0)
    if sign_free:
        cosine = np.abs(cosine)
    figure = style.new_figure(7.4, 6.6)
    axes = figure.add_subplot()
    image = axes.imshow(
        cosine, cmap="cividis" if sign_free else "RdBu_r",
        vmin=0.0 if sign_free else -1.0, vmax=1.0, aspect="equal",
    )  # fmt: skip
    name = "absolute cosine similarity" if sign_free else "cosine similarity"
    style.colour_bar(figure, image, [axes], name)
    _outline(axes, labels[shown], "white" if sign_free else style.INK)
    last = "; rejected ones last" if kept < labels.size else ""
    style.dress(axes, x=f"neurons, ordered by {noun}{last}", grid=None)
    _cluster_ticks(axes, labels[shown], noun)
    clusters = np.unique(labels[labels >= 0]).size
    if noun == "cluster":
        found = f"{style.count(clusters, 'kept cluster')} (outlined), "
        found += style.count(labels.size - kept, "rejected neuron")
    else:
        found = f"{style.count(labels.size, 'neuron')} in {style.count(clusters, noun)} (outlined)"
    style.headline(figure, found)
    thinned = [
        f"1 in {step} of the {name} neurons"
        for name, step in (("kept", kept_step), ("rejected", loose_step))
        if step > 1
    ]
    if thinned:
        style.note(axes, "shown: " + ", ".join(thinned))
    return figure


def _order(
    labels: Int[np.ndarray, " neurons"], tree: Float[np.ndarray, "merges 4"] | None
) -> Int[np.ndarray, " neurons"]:
    rank = np.arange(labels.size)
    if tree is not None and len(tree) == labels.size - 1 and len(tree) > 0:
        rank[leaves_list(tree)] = np.arange(labels.size)
    last = np.iinfo(np.int64).max
    return np.lexsort((rank, np.where(labels < 0, last, labels.astype(np.int64))))


def _step(count: int, room: int) -> int:
    return max(1, -(-count // max(room, 1)))


def _unit(
    vectors: Float[np.ndarray, "neurons inputs_and_bias"],
) -> Float[np.ndarray, "neurons inputs_and_bias"]:
    # A vector of zeros is like nothing, itself included.
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0)


def _runs(labels: Int[np.ndarray, " shown"]) -> list[tuple[int, int, int]]:
    """(label, start, end) of every stretch of equal labels."""
    edges = np.flatnonzero(np.diff(labels)) + 1
    starts, ends = [0, *edges.tolist()], [*edges.tolist(), labels.size]
    return [(int(labels[a]), a, b) for a, b in zip(starts, ends, strict=True) if b > a]


def _outline(axes: Axes, labels: Int[np.ndarray, " shown"], colour: str) -> None:
    boxes = [
        [(a - 0.5, a - 0.5), (b - 0.5, a - 0.5), (b - 0.5, b - 0.5), (a - 0.5, b - 0.5),
         (a - 0.5, a - 0.5)]
        for label, a, b in _runs(labels) if label >= 0
    ]  # fmt: skip
    width = 1.6 if len(boxes) <= 20 else 0.7
    axes.add_collection(LineCollection(boxes, colors=colour, linewidths=width), autolim=False)


def _cluster_ticks(axes: Axes, labels: Int[np.ndarray, " shown"], noun: str) -> None:
    runs = _runs(labels)
    named = [r for r in runs if r[0] >= 0]
    # Tick labels stand only where there is room for them: about 40 lines fit on the picture.
    room = labels.size / 40
    last = -np.inf
    places: list[float] = []
    names: list[str] = []
    for label, a, b in named:
        middle = (a + b - 1) / 2
        if middle - last >= room:
            places.append(middle)
            names.append(str(label))
            last = middle
    loose = [r for r in runs if r[0] < 0]
    if loose:
        _, a, b = loose[0]
        places.append((a + b - 1) / 2)
        names.append("none")
    axes.set_yticks(places, names)
    axes.set_ylabel(noun)
    axes.set_xticks([])
