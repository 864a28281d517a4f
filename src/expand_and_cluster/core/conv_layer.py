"""A convolution with its pooling, and what a chain of them gives."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
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
    return jnp.moveaxis(passed(layers, activation, images)[-1].pooled, -1, 1)


class Passed(NamedTuple):
    """Images on their way through one layer; channels last.

    Attributes:
        taken_in: What every channel takes in at every position.
        pooled: What the layer gives.
    """

    taken_in: Float[Array, "samples places places channels"]
    pooled: Float[Array, "samples top top channels"]


def passed(
    layers: Sequence[ConvLayer],
    activation: Activation,
    images: Float[Array, "samples channels side side"],
) -> tuple[Passed, ...]:
    """What every layer takes in and gives.

    Channels are last: pooling then runs along memory, and XLA's convolution is fast
    (`benchmarks/convolution.py`).
    """
    found: list[Passed] = []
    values = jnp.moveaxis(images, 1, -1)
    for layer in layers:
        taken_in = _convolved(layer, values)
        values = _pooled(activation(taken_in), layer.geometry)
        found.append(Passed(taken_in, values))
    return tuple(found)


def _convolved(
    layer: ConvLayer, images: Float[Array, "samples side side below"]
) -> Float[Array, "samples places places channels"]:
    """What every channel takes in at every position."""
    pad, stride = layer.geometry.padding, layer.geometry.stride
    convolved = jax.lax.conv_general_dilated(
        images,
        jnp.transpose(layer.weight, (2, 3, 1, 0)),
        (stride, stride),
        ((pad, pad), (pad, pad)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return convolved + layer.bias


def _pooled(
    values: Float[Array, "samples places places channels"], geometry: Conv
) -> Float[Array, "samples top top channels"]:
    """Largest or mean value of every pooling window."""
    if geometry.pool is None:
        return values
    size, channels = geometry.pool_size, values.shape[-1]
    top = values.shape[1] // size
    cut = values[:, : top * size, : top * size]
    groups = cut.reshape(len(values), top, size, top, size, channels)
    return groups.max(axis=(2, 4)) if geometry.pool == "max" else groups.mean(axis=(2, 4))


def pooling_groups(values: Any, size: int) -> Any:
    """(..., places, places) as (..., top, top, size * size): one row for each pooling window."""
    top = values.shape[-1] // size
    cut = values[..., : top * size, : top * size]
    split = cut.reshape(*values.shape[:-2], top, size, top, size)
    return split.swapaxes(-3, -2).reshape(*values.shape[:-2], top, top, size * size)
