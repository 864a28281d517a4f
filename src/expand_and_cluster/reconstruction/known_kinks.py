"""Which kinks of the outputs channels that are known explain."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.core.conv_layer import pooling_groups
from expand_and_cluster.reconstruction.below import Below
from expand_and_cluster.reconstruction.sightings import Sighting

# A pre-activation so small, relative to the layer's, is zero.
ZERO = 1e-6
# Kinks that are compared with the channels at once: their windows are written out.
PIECE = 256

Points = Float[np.ndarray, "kinks inputs"]


def channels_at(
    below: Below, vectors: Float[np.ndarray, "channels size"], points: Points
) -> Bool[np.ndarray, "kinks channels"]:
    """Whether a channel has a kink at a point: one of its units turns on, or changes position.

    Args:
        below: The layers below that of the channels.
        vectors: Kernels of the channels, bias last.
        points: Where the outputs have kinks.
    """
    if not len(points) or not len(vectors):
        return np.zeros((len(points), len(vectors)), dtype=bool)
    layer = below.architecture.layers[below.depth]
    seen = below.windows(points, layer)
    values = np.moveaxis(seen @ vectors[:, :-1].T + vectors[:, -1], -1, 1)
    near = np.abs(values)
    if layer.pool == "max":
        groups = np.sort(pooling_groups(values, layer.pool_size), axis=-1)
        near = np.abs(groups[..., -1])
        if groups.shape[-1] > 1:
            near = np.minimum(near, groups[..., -1] - groups[..., -2])
    scale = float(np.median(np.abs(values)))
    return near.reshape(len(points), len(vectors), -1).min(axis=-1) < ZERO * scale


def of_layers_below(below: Below, points: Points) -> Bool[np.ndarray, " kinks"]:
    """Whether a kink belongs to one of the layers that are known.

    Args:
        below: These layers.
        points: Where the outputs have kinks.
    """
    found = np.zeros(len(points), dtype=bool)
    for depth, layer in enumerate(below.layers):
        part = Below(below.architecture, below.layers[:depth], below.activation)
        found |= channels_at(part, layer.input_vectors, points).any(axis=1)
    return found


def of_no_layer(below: Below, sightings: Sequence[Sighting]) -> list[Sighting]:
    """Those kinks that belong to none of the layers that are known.

    Args:
        below: These layers.
        sightings: Kinks, of whatever layer.
    """
    found: list[Sighting] = []
    for start in range(0, len(sightings), PIECE):
        piece = sightings[start : start + PIECE]
        known = of_layers_below(below, np.array([one.point for one in piece]))
        found += [one for one, explained in zip(piece, known, strict=True) if not explained]
    return found
