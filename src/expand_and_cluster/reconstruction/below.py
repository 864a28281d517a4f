"""What is known of a convolutional network so far, and where its units look.

In NumPy: all activations here are linear on either side of zero, networks are small and grow by one
layer at a time, and compiling each would take longer than all that is computed with it.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.conv_geometry import Conv, Convolutional
from expand_and_cluster.core.conv_layer import ConvLayer, pooling_groups
from expand_and_cluster.queries.pieces import slopes_of

# Rows in one piece: their windows are written out, some 300 kB for each row.
PIECE = 256

Images = Float[np.ndarray, "rows channels side side"]
Features = Float[np.ndarray, "rows features top top"]
Inputs = Float[np.ndarray, "rows inputs"]
Windows = Float[np.ndarray, "rows places places size"]


class Below:
    """The layers of a network that are known: from the image to what the next layer looks at.

    Args:
        architecture: Of the whole network.
        layers: The first layers, from the image on; none is an identity.
        activation: Of all layers, linear on either side of zero.

    Pooling takes the largest value, or there is none.
    """

    def __init__(
        self, architecture: Convolutional, layers: Sequence[ConvLayer], activation: Activation
    ) -> None:
        """Take up the layers."""
        self.architecture = architecture
        self.layers = tuple(layers)
        self.activation = activation
        self.slopes = slopes_of(activation)

    @property
    def depth(self) -> int:
        """Number of layers that are known."""
        return len(self.layers)

    def features(self, inputs: Inputs) -> Features:
        """What the next layer looks at."""
        images = inputs.reshape(len(inputs), *self.architecture.image)
        if not self.layers:
            return images
        pieces = [images[i : i + PIECE] for i in range(0, len(images), PIECE)]
        return np.concatenate([self._features(piece) for piece in pieces or [images]])

    def windows(self, inputs: Inputs, geometry: Conv) -> Windows:
        """The windows of the next layer, which has this geometry."""
        return windows_of(self.features(inputs), geometry)

    def tangents(self, point: Float[np.ndarray, " inputs"], moves: Inputs) -> Features:
        """How the features change with small moves of the input: exact derivatives."""
        here = point.reshape(1, *self.architecture.image)
        along = moves.reshape(len(moves), *self.architecture.image)
        for layer in self.layers:
            vectors = layer.input_vectors
            values = _apply(windows_of(here, layer.geometry), vectors)
            turns = _apply(windows_of(along, layer.geometry), vectors[:, :-1])
            turns = turns * np.where(values > 0.0, self.slopes[1], self.slopes[0])
            here, along = _pool_both(self._activate(values), turns, layer.geometry)
        return along

    def _features(self, images: Images) -> Features:
        for layer in self.layers:
            values = _apply(windows_of(images, layer.geometry), layer.input_vectors)
            images, _ = _pool_both(self._activate(values), None, layer.geometry)
        return images

    def _activate(self, values: np.ndarray) -> np.ndarray:
        return values * np.where(values > 0.0, self.slopes[1], self.slopes[0])


def windows_of(images: Images, geometry: Conv) -> Windows:
    """All windows that a kernel looks at; channel, row and column of the kernel in this order."""
    pad, stride, kernel = geometry.padding, geometry.stride, geometry.kernel
    wide = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    seen = sliding_window_view(wide, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
    rows, _, places, _ = seen.shape[:4]
    return seen.transpose(0, 2, 3, 1, 4, 5).reshape(rows, places, places, -1)


def _apply(seen: Windows, vectors: np.ndarray) -> Features:
    size = seen.shape[-1]
    values = seen @ vectors[:, :size].T
    if vectors.shape[1] > size:
        values = values + vectors[:, size]
    return np.moveaxis(values, -1, 1)


def _pool_both(
    values: np.ndarray, turns: np.ndarray | None, geometry: Conv
) -> tuple[np.ndarray, np.ndarray]:
    """Pool values, and with them how they change: the largest value decides for both."""
    if geometry.pool is None:
        return values, values if turns is None else turns
    groups = pooling_groups(values, geometry.pool_size)
    largest = groups.max(axis=-1)
    if turns is None:
        return largest, largest
    chosen = groups.argmax(axis=-1)[..., None]
    turned = pooling_groups(turns, geometry.pool_size)
    at = np.broadcast_to(chosen, (*turned.shape[:-1], 1))
    return largest, np.take_along_axis(turned, at, axis=-1)[..., 0]
