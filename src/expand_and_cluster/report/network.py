"""The weights into a recovered network's neurons, as a heat map or as little images."""

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.figure import Figure

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.report import style


def draw_input_weights(
    input_vectors: Float[np.ndarray, "neurons inputs_and_bias"],
    output_vectors: Float[np.ndarray, "neurons outputs"],
    *,
    image_shape: tuple[int, int] | None = None,
    masked: Bool[np.ndarray, " inputs"] | None = None,
    max_images: int = 64,
) -> Figure:
    """Input weights of all neurons, those with the largest output weights first.

    Args:
        input_vectors: Weights into every neuron, bias appended.
        output_vectors: Weights out of every neuron.
        image_shape: (rows, columns) of the inputs; draws one little image for each neuron.
        masked: Inputs whose weights are not identified; left blank.
        max_images: Little images to draw at most.

    Raises:
        InvalidInputError: The image shape does not hold the inputs.
    """
    order = np.argsort(-np.linalg.norm(output_vectors, axis=1), kind="stable")
    weights = input_vectors[order, :-1].copy()
    bias = input_vectors[order, -1]
    if masked is not None:
        weights[:, masked] = np.nan
    if image_shape is None:
        return _heat_map(weights, bias, order)
    if image_shape[0] * image_shape[1] != weights.shape[1]:
        raise InvalidInputError(
            f"image_shape {image_shape} holds {image_shape[0] * image_shape[1]} inputs, "
            f"the network has {weights.shape[1]}."
        )
    return _images(weights, order, image_shape, max_images)


def _limit(weights: Float[np.ndarray, "..."]) -> float:
    finite = np.abs(weights[np.isfinite(weights)])
    # One outlying weight must not wash out all others.
    return max(float(np.quantile(finite, 0.995)), 1e-12) if finite.size else 1.0


def _heat_map(
    weights: Float[np.ndarray, "neurons inputs"],
    bias: Float[np.ndarray, " neurons"],
    names: Int[np.ndarray, " neurons"],
) -> Figure:
    neurons, inputs = weights.shape
    width = float(np.clip(2.8 + 0.22 * inputs, 5.0, 10.0))
    figure = style.new_figure(width, float(np.clip(1.8 + 0.22 * neurons, 3.2, 8.0)))
    share = float(np.clip(1.0 / (inputs + 1), 0.03, 0.5))
    grid = figure.add_gridspec(1, 2, width_ratios=(1 - share, share))
    left, right = figure.add_subplot(grid[0]), figure.add_subplot(grid[1])
    limit = _limit(np.concatenate([weights.ravel(), bias]))
    image = left.imshow(weights, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto",
                        interpolation="nearest")  # fmt: skip
    right.imshow(bias[:, None], cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto",
                 interpolation="nearest")  # fmt: skip
    style.dress(left, x="input", y="neuron, by falling output norm", grid=None)
    style.dress(right, x="bias", grid=None)
    right.set_xticks([])
    right.set_yticks([])
    left.set_xticks(np.arange(0, inputs, _every(inputs, 12)))
    rows = np.arange(0, neurons, _every(neurons, 32))
    left.set_yticks(rows, [str(names[i]) for i in rows])
    style.colour_bar(figure, image, [left, right], "weight")
    style.headline(figure, f"Input weights of {style.count(neurons, 'recovered neuron')}")
    return figure


def _every(size: int, labels: int) -> int:
    return max(1, -(-size // labels))


def _images(
    weights: Float[np.ndarray, "neurons inputs"],
    names: Int[np.ndarray, " neurons"],
    image_shape: tuple[int, int],
    max_images: int,
) -> Figure:
    shown = min(len(weights), max_images)
    columns = min(8, shown)
    rows = -(-shown // columns)
    # One mosaic instead of many panels: a hundred axes take seconds to lay out.
    gap = max(1, round(0.12 * max(image_shape)))
    room = max(2, round(0.22 * max(image_shape)))  # for the neuron's number above its image
    high, wide = image_shape[0] + room, image_shape[1] + gap
    mosaic = np.full((rows * high, columns * wide), np.nan)
    corners = [(i // columns * high + room, i % columns * wide) for i in range(shown)]
    for (top, left), image in zip(corners, weights, strict=False):
        mosaic[top : top + image_shape[0], left : left + image_shape[1]] = image.reshape(
            image_shape
        )
    scale = 1.1 / max(high, wide)
    figure = style.new_figure(
        max(4.0, scale * mosaic.shape[1] + 1.2), max(2.0, scale * mosaic.shape[0] + 0.6)
    )
    axes = figure.add_subplot()
    axes.set_axis_off()
    limit = _limit(weights[:shown])
    picture = axes.imshow(
        mosaic, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest", aspect="equal"
    )
    for (top, left), name in zip(corners, names, strict=False):
        axes.text(left + image_shape[1] / 2 - 0.5, top - 0.6, str(name), ha="center",
                  va="bottom", fontsize=7, color=style.MUTED)  # fmt: skip
    style.colour_bar(figure, picture, [axes], "weight")
    more = f" (of {len(weights)})" if shown < len(weights) else ""
    style.headline(figure, f"Input weights of {style.count(shown, 'recovered neuron')}{more}")
    return figure
