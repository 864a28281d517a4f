"""Convolutional networks: convolutions with an activation and pooling each, then dense layers."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jax import Array
from jaxtyping import Float
from numpy.typing import ArrayLike

from expand_and_cluster.core.activations import Activation, resolve
from expand_and_cluster.core.chunks import in_chunks
from expand_and_cluster.core.conv_geometry import Convolutional
from expand_and_cluster.core.conv_layer import ConvLayer, features
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Layer, affine_arrays
from expand_and_cluster.core.precision import double

# Images in one compiled call, and in one of few.
CHUNK = 512
FEW = 32


class ConvNetwork(eqx.Module):
    """A convolutional network as a frozen pytree: teacher and recovered network are this class.

    Attributes:
        convolutions: Convolutional layers, from the image on.
        dense: Affine maps after them, on the last layer's channels, rows and columns in this order;
            the activation follows all but the last.
        activation: Of all hidden layers.
        image: Channels, height and width of an input.
    """

    convolutions: tuple[ConvLayer, ...]
    dense: tuple[Layer, ...]
    activation: Activation = eqx.field(static=True)
    image: tuple[int, int, int] = eqx.field(static=True)

    @classmethod
    def from_arrays(
        cls,
        architecture: Convolutional,
        convolutions: Sequence[tuple[ArrayLike, ArrayLike]],
        dense: Sequence[tuple[ArrayLike, ArrayLike]],
        activation: str | Callable[[Array], Array] | Activation,
    ) -> "ConvNetwork":
        """Build a network from weights and biases.

        Args:
            architecture: Image and geometry.
            convolutions: (weight, bias) for every convolution, weight of shape (channels, channels
                below, kernel, kernel), bias (channels,).
            dense: (weight, bias) for every dense layer, weight (out, in), bias (out,).
            activation: A name of the catalogue, a `jax.numpy` function, or an `Activation`.

        Raises:
            InvalidInputError: Shapes do not fit each other, or a value is no finite real number.
        """
        if len(convolutions) != len(architecture.layers) or not dense:
            raise InvalidInputError(
                f"expected {len(architecture.layers)} convolutions and at least one dense layer, "
                f"got {len(convolutions)} and {len(dense)}."
            )
        built, below = [], architecture.image[0]
        for i, (pair, geometry) in enumerate(zip(convolutions, architecture.layers, strict=True)):
            weight, bias = affine_arrays(f"convolution {i}", pair)
            wanted = (bias.size, below, geometry.kernel, geometry.kernel)
            if weight.shape != wanted or bias.ndim != 1 or not bias.size:
                raise InvalidInputError(
                    f"convolution {i}: weight must be (channels, {below}, {geometry.kernel}, "
                    f"{geometry.kernel}) and bias (channels,), got {weight.shape} and {bias.shape}."
                )
            built.append(ConvLayer(weight, bias, geometry))
            below = len(bias)
        size = below * architecture.sides[-1] ** 2
        flat = []
        for i, pair in enumerate(dense):
            weight, bias = affine_arrays(f"dense layer {i}", pair)
            if weight.shape != (bias.size, size) or bias.ndim != 1 or not bias.size:
                raise InvalidInputError(
                    f"dense layer {i}: weight must be (out, {size}) and bias (out,), got "
                    f"{weight.shape} and {bias.shape}."
                )
            flat.append(Layer(weight, bias))
            size = len(bias)
        return cls(tuple(built), tuple(flat), resolve(activation), architecture.image)

    def __call__(self, inputs: ArrayLike) -> Float[np.ndarray, "samples outputs"]:
        """Outputs in double precision.

        Args:
            inputs: (samples, channels * height * width), or (samples, channels, height, width).

        Raises:
            InvalidInputError: The inputs have another shape.
        """
        rows = np.asarray(inputs, dtype=np.float64)
        if rows.ndim == 4 and rows.shape[1:] == self.image:
            rows = rows.reshape(len(rows), -1)
        if rows.ndim != 2 or rows.shape[1] != self.input_size:
            raise InvalidInputError(
                f"inputs must be (samples, {self.input_size}), got {rows.shape}."
            )
        with double():
            return in_chunks(lambda part: _outputs(self, part), rows, FEW, CHUNK)

    def apply(self, inputs: Float[Array, "samples inputs"]) -> Float[Array, "samples outputs"]:
        """Outputs as a pure JAX function for use in compiled programs."""
        images = inputs.reshape(-1, *self.image)
        values = features(self.convolutions, self.activation, images)
        values = values.reshape(len(inputs), -1)
        for layer in self.dense[:-1]:
            values = self.activation(layer.apply(values))
        return self.dense[-1].apply(values)

    @property
    def input_size(self) -> int:
        """Numbers in an input row."""
        return int(np.prod(self.image))

    @property
    def output_size(self) -> int:
        """Number of outputs."""
        return self.dense[-1].weight.shape[0]

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each convolution."""
        return tuple(len(layer.bias) for layer in self.convolutions)

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Neurons of each dense hidden layer."""
        return tuple(len(layer.bias) for layer in self.dense[:-1])

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases."""
        return sum(
            np.asarray(part).size
            for layer in (*self.convolutions, *self.dense)
            for part in (layer.weight, layer.bias)
        )

    @property
    def architecture(self) -> Convolutional:
        """Image and geometry."""
        return Convolutional(self.image, [layer.geometry for layer in self.convolutions])

    def replace(self, **changes: Any) -> "ConvNetwork":
        """A copy with some fields replaced."""
        return dataclasses.replace(self, **changes)


@eqx.filter_jit
def _outputs(network: ConvNetwork, inputs: Array) -> Array:
    return network.apply(inputs)
