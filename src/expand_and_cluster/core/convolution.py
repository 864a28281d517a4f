"""Convolutional networks: convolutions with an activation and pooling each, then dense layers."""

import dataclasses
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float
from numpy.typing import ArrayLike

from expand_and_cluster.core.activations import Activation, resolve
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Layer, Matrix
from expand_and_cluster.core.precision import double

Pool = Literal["max", "average"]
POOLS = ("max", "average")
# Images in one compiled call: their windows are written out, some 100 kB for each image.
CHUNK = 512
FEW = 32


@dataclass(frozen=True)
class Conv:
    """Geometry of one convolutional layer: everything but the number of its channels.

    Attributes:
        kernel: Side of the square kernel, in pixels.
        stride: Pixels from one window to the next.
        padding: Zeros added on each side.
        pool: What follows the activation: "max", "average", or None for nothing.
        pool_size: Side of the pooling windows, which do not overlap; what does not fill a window
            is left out.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    pool: Pool | None = None
    pool_size: int = 2

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InvalidInputError: A number is not whole or too small, or the pooling is not known.
        """
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0), ("pool_size", 1)):
            value = getattr(self, name)
            try:
                number = operator.index(value)
            except TypeError:
                number = least - 1
            if number < least or isinstance(value, bool):
                raise InvalidInputError(
                    f"{name} of a convolution must be a whole number, at least {least}, got "
                    f"{value!r}."
                )
        if self.pool is not None and self.pool not in POOLS:
            raise InvalidInputError(
                f'pool of a convolution must be "max", "average" or None, got {self.pool!r}.'
            )

    @property
    def step(self) -> int:
        """Side of the pooling windows, 1 without pooling."""
        return 1 if self.pool is None else self.pool_size

    def positions(self, side: int) -> int:
        """Windows along a side of so many pixels."""
        return (side + 2 * self.padding - self.kernel) // self.stride + 1

    def side(self, side: int) -> int:
        """Side of the layer's output for a side of so many pixels."""
        return self.positions(side) // self.step


@dataclass(frozen=True, init=False)
class Convolutional:
    """What is known of a convolutional network before it is recovered.

    Attributes:
        image: Channels, height and width of an input; an input is a row of so many numbers.
        layers: Geometry of the convolutional layers, from the image on.
    """

    image: tuple[int, int, int]
    layers: tuple[Conv, ...]

    def __init__(self, image: Sequence[int], layers: Iterable[Conv]) -> None:
        """Check that the layers fit the image.

        Args:
            image: (channels, height, width), height and width equal.
            layers: At least one.

        Raises:
            InvalidInputError: The image is not square, or a layer leaves nothing of it.
        """
        shape, chain = tuple(image), tuple(layers)
        whole = all(isinstance(n, int | np.integer) and n > 0 for n in shape)
        if len(shape) != 3 or not whole or shape[1] != shape[2]:
            raise InvalidInputError(
                f"image must be (channels, height, width) of a square image, got {image!r}."
            )
        if not chain or not all(isinstance(layer, Conv) for layer in chain):
            raise InvalidInputError("layers must hold at least one eac.Conv and nothing else.")
        side = int(shape[1])
        for i, layer in enumerate(chain):
            if layer.side(side) < 1:
                raise InvalidInputError(
                    f"convolution {i} has no window in an image of {side} x {side} pixels."
                )
            side = layer.side(side)
        object.__setattr__(self, "image", (int(shape[0]), int(shape[1]), int(shape[2])))
        object.__setattr__(self, "layers", chain)

    @property
    def input_size(self) -> int:
        """Numbers in an input row."""
        return int(np.prod(self.image))

    @property
    def sides(self) -> tuple[int, ...]:
        """Side of the image, and of each layer's output."""
        found = [self.image[1]]
        for layer in self.layers:
            found.append(layer.side(found[-1]))
        return tuple(found)


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
            weight, bias = _numbers(f"convolution {i}", pair)
            wanted = (len(bias), below, geometry.kernel, geometry.kernel)
            if weight.shape != wanted or not len(bias):
                raise InvalidInputError(
                    f"convolution {i}: weight must be (channels, {below}, {geometry.kernel}, "
                    f"{geometry.kernel}) and bias (channels,), got {weight.shape} and {bias.shape}."
                )
            built.append(ConvLayer(weight, bias, geometry))
            below = len(bias)
        size = below * architecture.sides[-1] ** 2
        flat = []
        for i, pair in enumerate(dense):
            weight, bias = _numbers(f"dense layer {i}", pair)
            if weight.shape != (len(bias), size) or not len(bias):
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
            return in_chunks(lambda part: _outputs(self, part), rows)

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


def in_chunks(function: Callable[[Array], Array], rows: np.ndarray) -> np.ndarray:
    """A compiled function of many rows, some at a time, in shapes that come back.

    Chunks are filled up to one of two sizes, so that a function is compiled twice at most.
    """
    parts = []
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        size = FEW if len(part) <= FEW else CHUNK
        filled = np.zeros((size, *part.shape[1:]))
        filled[: len(part)] = part
        parts.append(np.asarray(function(jnp.asarray(filled)))[: len(part)])
    if not parts:
        return np.asarray(function(jnp.zeros((FEW, *rows.shape[1:]))))[:0]
    return np.concatenate(parts)


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


def _numbers(name: str, pair: tuple[ArrayLike, ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
    try:
        weight, bias = (np.array(part, dtype=np.float64) for part in pair)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"{name} must be (weight, bias), two arrays of real numbers ({error})."
        ) from error
    if bias.ndim != 1:
        raise InvalidInputError(f"{name}: bias must be one-dimensional, got {bias.shape}.")
    if not (np.all(np.isfinite(weight)) and np.all(np.isfinite(bias))):
        raise InvalidInputError(f"{name} holds NaN or infinity.")
    return weight, bias


@eqx.filter_jit
def _outputs(network: ConvNetwork, inputs: Array) -> Array:
    return network.apply(inputs)
