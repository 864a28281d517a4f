"""A convolution with its pooling, and what a chain of them gives."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.conv_geometry import Conv
from expand_and_cluster.core.network import Matrix


class ConvLayer(eqx.Module):
    """A convolution with its pooling; the activation stands between the two.

    Attributes:
        weight: One kernel for each channel, as in `torch.nn.Conv2d`.
        bias: Biases.
        geometry: Stride, padding and pooling.
    """

    weight: Float[Matrix, "channels below kernel kernel"]
    bias: Float[Matrix, " channels"]
    geometry: Conv = eqx.field(static=True)

    @property
    def input_vectors(self) -> Float[np.ndarray, "channels inputs_and_bias"]:
        """One row for each channel: its kernel, channel by channel, bias appended."""
        kernels = np.asarray(self.weight).reshape(len(self.weight), -1)
        return np.concatenate([kernels, np.asarray(self.bias)[:, None]], axis=1)


def features(
    layers: Sequence[ConvLayer],
    activation: Activation,
    images: Float[Array, "samples channels side side"],
) -> Float[Array, "samples features top top"]:
    """What a chain of convolutional layers gives."""
    for layer in layers:
        values = activation(pre_activations(layer, images))
        images = pooled(values, layer.geometry)
    return images


def pre_activations(
    layer: ConvLayer, images: Float[Array, "samples below side side"]
) -> Float[Array, "samples channels places places"]:
    """What every channel takes in at every position."""
    seen = windows(images, layer.geometry)
    kernels = layer.weight.reshape(len(layer.weight), -1)
    return jnp.einsum("nwij,cw->ncij", seen, kernels) + layer.bias[:, None, None]


def windows(
    images: Float[Array, "samples below side side"], geometry: Conv
) -> Float[Array, "samples inputs places places"]:
    """All windows that a kernel looks at; channel, row and column of the kernel in this order.

    Written out as slices: XLA has no fast convolution in double precision.
    """
    pad, stride, kernel = geometry.padding, geometry.stride, geometry.kernel
    around = ((0, 0), (0, 0), (pad, pad), (pad, pad))
    wide = jnp.pad(images, around)
    places = geometry.positions(images.shape[-1])
    reach = stride * (places - 1) + 1
    parts = [
        wide[:, :, i : i + reach : stride, j : j + reach : stride]
        for i in range(kernel)
        for j in range(kernel)
    ]
    stacked = jnp.stack(parts, axis=2)
    return stacked.reshape(len(images), -1, places, places)


def pooled(
    values: Float[Array, "samples channels places places"], geometry: Conv
) -> Float[Array, "samples channels top top"]:
    """Largest or mean value of every pooling window."""
    if geometry.pool is None:
        return values
    groups = pooling_groups(values, geometry.pool_size)
    return groups.max(axis=-1) if geometry.pool == "max" else groups.mean(axis=-1)


def pooling_groups(values: Any, size: int) -> Any:
    """(..., places, places) as (..., top, top, size * size): one row for each pooling window."""
    top = values.shape[-1] // size
    cut = values[..., : top * size, : top * size]
    split = cut.reshape(*values.shape[:-2], top, size, top, size)
    return split.swapaxes(-3, -2).reshape(*values.shape[:-2], top, top, size * size)
