"""The hidden neurons of a student as a table, coloured by what they do (paper, Fig. A.5)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from expand_and_cluster.report import style
from expand_and_cluster.symmetries.classify import ClassifiedNeuron
from expand_and_cluster.symmetries.kinds import NeuronType

COLOURS = {
    NeuronType.SINGLE: style.BLUE,
    NeuronType.DUPLICATE: style.SKY,
    NeuronType.LINEAR_DUPLICATE_GROUP: style.GREEN,
    NeuronType.CHANNEL_PAIR: style.RED,
    NeuronType.LINEAR_GROUP: style.ORANGE,
    NeuronType.OFF_BOUND: style.PINK,
    NeuronType.CONSTANT: style.MUTED,
    NeuronType.ZERO: style.FAINT,
}
_MOST_LABELS = 45


def draw_neuron_types(
    input_vectors: Float[np.ndarray, "neurons inputs_and_bias"],
    output_vectors: Float[np.ndarray, "neurons outputs"],
    neurons: Sequence[ClassifiedNeuron],
) -> Figure:
    """Weights of every neuron, sorted by type and group, beside a strip of colours for the types.

    Neurons that make up the teacher come first. Lines part the groups. Input weights and biases
    share one scale of colours, output weights have their own.

    Args:
        input_vectors: Weights into the neurons, bias appended.
        output_vectors: Weights out of them.
        neurons: What each of them is, in the same order.

    Source:
        Figure A.5 of the paper.
    """
    kinds = list(COLOURS)
    order = sorted(
        range(len(neurons)), key=lambda i: (kinds.index(neurons[i].type), neurons[i].group, i)
    )
    shown = [neurons[i] for i in order]
    into, out = input_vectors[order], output_vectors[order]
    inputs, outputs = into.shape[1] - 1, out.shape[1]
    widths = [0.3, *(float(np.clip(0.35 * n, 0.7, 5.0)) for n in (inputs, 1, outputs))]
    figure = style.new_figure(
        max(6.4, sum(widths) + 3.6), float(np.clip(2.4 + 0.2 * len(order), 3.0, 9.0))
    )
    strip, left, middle, right = figure.subplots(1, 4, width_ratios=widths)
    codes = np.array([[kinds.index(neuron.type)] for neuron in shown])
    strip.imshow(codes, cmap=ListedColormap(list(COLOURS.values())), vmin=-0.5,
                 vmax=len(kinds) - 0.5, aspect="auto", interpolation="nearest")  # fmt: skip
    weights = _heat_map(left, into[:, :-1], _limit(into))
    _heat_map(middle, into[:, -1:], _limit(into))
    answers = _heat_map(right, out, _limit(out))
    for axes, name in ((strip, "type"), (left, "input weights"), (middle, "bias"),
                       (right, "output weights")):  # fmt: skip
        style.dress(axes, x=name, grid=None)
        axes.set_xticks([])
        axes.set_yticks([])
        _part_groups(axes, shown)
    step = max(1, -(-len(order) // _MOST_LABELS))
    strip.set_yticks(range(0, len(order), step), [str(i) for i in order[::step]])
    strip.set_ylabel("neuron", fontsize=9.5, color=style.INK)
    style.colour_bar(figure, weights, [middle], "input weight or bias")
    style.colour_bar(figure, answers, [right], "output weight")
    present = [kind for kind in kinds if any(neuron.type == kind for neuron in shown)]
    style.legend_below(figure, [_patch(kind, shown) for kind in present])
    groups = len({neuron.group for neuron in shown})
    style.headline(figure, f"{style.count(len(order), 'neuron')} in {style.count(groups, 'group')}")
    return figure


def _patch(kind: NeuronType, shown: Sequence[ClassifiedNeuron]) -> Patch:
    number = sum(neuron.type == kind for neuron in shown)
    return Patch(facecolor=COLOURS[kind], label=f"{kind} ({number})")


def _limit(weights: Float[np.ndarray, "..."]) -> float:
    # A pair in a channel to infinity must not wash out all others.
    return max(float(np.quantile(np.abs(weights), 0.95)), 1e-12)


def _heat_map(axes: Axes, weights: np.ndarray, limit: float):  # noqa: ANN202 - Matplotlib's image
    return axes.imshow(
        weights, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
    )


def _part_groups(axes: Axes, shown: Sequence[ClassifiedNeuron]) -> None:
    if len(shown) > 2 * _MOST_LABELS:
        return
    for place in range(1, len(shown)):
        if shown[place].group != shown[place - 1].group:
            axes.axhline(place - 0.5, color=style.INK, linewidth=0.6)
