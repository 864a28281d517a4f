"""The multilayer perceptron: teacher, student and recovered network are this one class."""

import dataclasses
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np
from jax import Array
from jaxtyping import Float
from numpy.typing import ArrayLike

from expand_and_cluster.core.activation import Activation, centred
from expand_and_cluster.core.activations import ActivationLike, resolve
from expand_and_cluster.core.errors import InvalidInputError

Matrix = Array | np.ndarray


class Layer(eqx.Module):
    """An affine map; with a leading axis, one map for each student.

    Attributes:
        weight: Weights, one row for each output.
        bias: Biases.
    """

    weight: Float[Matrix, "*students outputs inputs"]
    bias: Float[Matrix, "*students outputs"]

    def apply(self, inputs: Float[Array, "samples inputs"]) -> Float[Array, "samples outputs"]:
        """`inputs @ weight.T + bias`."""
        return inputs @ self.weight.T + self.bias

    def of_rows(
        self, rows: Float[np.ndarray, "*given samples inputs"]
    ) -> Float[np.ndarray, "*students samples outputs"]:
        """The same for every student, of rows that all see or that each has of its own."""
        weight, bias = np.asarray(self.weight), np.asarray(self.bias)
        return rows @ np.swapaxes(weight, -1, -2) + bias[..., None, :]


class Network(eqx.Module):
    """A multilayer perceptron as a frozen pytree, or an ensemble of equal shapes.

    Leaves are NumPy float64 arrays at rest. A leading axis on every leaf makes an ensemble.

    Attributes:
        layers: Affine maps, from the input to the output.
        activation: Applied after every layer but the last.
        skip: Affine map from the input added to the output: what is left over where the
            symmetry of the activation does not let it be folded away.
    """

    layers: tuple[Layer, ...]
    activation: Activation = eqx.field(static=True)
    skip: Layer | None = None

    @classmethod
    def from_arrays(
        cls,
        layers: Iterable[tuple[ArrayLike, ArrayLike]],
        activation: ActivationLike,
        skip: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> "Network":
        """Build a network from weights and biases.

        Args:
            layers: (weight, bias) for every layer, weight of shape (out, in), bias (out,).
            activation: A name of the catalogue, a `jax.numpy` function, or an `Activation`; or a
                sequence of names, one for each neuron of the only hidden layer.
            skip: Optional (weight, bias) of an affine map from input to output.

        Raises:
            InvalidInputError: Shapes do not fit each other, a value is no finite real number, or
                there are not as many activations as hidden neurons.
        """
        built = tuple(_layer(f"layer {i}", pair) for i, pair in enumerate(layers))
        if len(built) < 2:
            raise InvalidInputError(
                f"a network needs at least two layers (hidden and output), got {len(built)}."
            )
        for i in range(1, len(built)):
            if built[i].weight.shape[1] != built[i - 1].weight.shape[0]:
                raise InvalidInputError(
                    f"layer {i} takes {built[i].weight.shape[1]} inputs but layer {i - 1} gives "
                    f"{built[i - 1].weight.shape[0]}; weights are (out, in)."
                )
        extra = None if skip is None else _layer("skip", skip)
        size = (built[-1].weight.shape[0], built[0].weight.shape[1])
        if extra is not None and extra.weight.shape != size:
            raise InvalidInputError(f"skip weight must be {size}, got {extra.weight.shape}.")
        resolved = resolve(activation)
        hidden = [layer.weight.shape[0] for layer in built[:-1]]
        if resolved.kinds and hidden != [len(resolved.kinds)]:
            raise InvalidInputError(
                f"activation names {len(resolved.kinds)} activations, one for each neuron of one "
                f"hidden layer, but the hidden layers have {', '.join(map(str, hidden))} neurons."
            )
        return cls(built, resolved, extra)

    def __call__(self, inputs: ArrayLike) -> Float[np.ndarray, "*students samples outputs"]:
        """Outputs in double precision.

        Args:
            inputs: (samples, input_size).

        Raises:
            InvalidInputError: The inputs have another shape.
        """
        rows = np.asarray(inputs, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.input_size:
            raise InvalidInputError(
                f"inputs must be (samples, {self.input_size}), got {rows.shape}."
            )
        values = rows
        # Weights that grew beyond all bounds answer with infinity or NaN, and that is an answer.
        with np.errstate(over="ignore", invalid="ignore"):
            for layer in self.layers[:-1]:
                values = self.activation.values(layer.of_rows(values))
            values = self.layers[-1].of_rows(values)
            return values if self.skip is None else values + self.skip.of_rows(rows)

    def apply(self, inputs: Float[Array, "samples inputs"]) -> Float[Array, "samples outputs"]:
        """Outputs of a single network, as a pure JAX function for use in compiled programs."""
        values = inputs
        for layer in self.layers[:-1]:
            values = self.activation(layer.apply(values))
        values = self.layers[-1].apply(values)
        return values if self.skip is None else values + self.skip.apply(inputs)

    @property
    def widths(self) -> tuple[int, ...]:
        """Sizes of input, hidden layers and output."""
        return (
            self.layers[0].weight.shape[-1],
            *(layer.weight.shape[-2] for layer in self.layers),
        )

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Sizes of the hidden layers."""
        return self.widths[1:-1]

    @property
    def input_size(self) -> int:
        """Number of inputs."""
        return self.widths[0]

    @property
    def output_size(self) -> int:
        """Number of outputs."""
        return self.widths[-1]

    @property
    def parameter_count(self) -> int:
        """Number of weights and biases of one network, the skip left out."""
        return sum(i * o + o for i, o in zip(self.widths, self.widths[1:], strict=False))

    @property
    def input_vectors(self) -> Float[np.ndarray, "*students neurons inputs_and_bias"]:
        """Weights into the first hidden layer, bias appended: one row for each neuron."""
        first = self.layers[0]
        return np.concatenate(
            [np.asarray(first.weight), np.asarray(first.bias)[..., None]], axis=-1
        )

    @property
    def output_vectors(self) -> Float[np.ndarray, "*students neurons outputs"]:
        """Weights out of the first hidden layer: one row for each neuron."""
        return np.swapaxes(np.asarray(self.layers[1].weight), -1, -2)

    @property
    def students(self) -> int | None:
        """Number of networks of an ensemble, or None for a single network."""
        shape = self.layers[0].weight.shape
        return shape[0] if len(shape) == 3 else None

    def student(self, index: int) -> "Network":
        """One network of an ensemble."""
        if self.students is None:
            raise InvalidInputError("this is a single network, not an ensemble.")
        return jax.tree.map(lambda leaf: leaf[index], self)

    @staticmethod
    def stack(networks: Sequence["Network"]) -> "Network":
        """An ensemble of networks that share widths and activation."""
        if not networks:
            raise InvalidInputError("cannot stack an empty list of networks.")
        if any(network.students is not None for network in networks):
            raise InvalidInputError("only single networks can be stacked, not ensembles.")
        first = networks[0]
        for other in networks[1:]:
            if other.widths != first.widths:
                raise InvalidInputError(
                    f"networks of different widths cannot be stacked: {first.widths} and "
                    f"{other.widths}."
                )
            if other.activation != first.activation:
                raise InvalidInputError(
                    "networks of different activations cannot be stacked: "
                    f"{first.activation.name} and {other.activation.name}."
                )
            if (other.skip is None) != (first.skip is None):
                raise InvalidInputError("a network with a skip and one without cannot be stacked.")
        return jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *networks)

    def centred(self) -> "Network":
        """The same function, its activation's symmetry moved to zero and the biases with it."""
        return self._shifted(-self.activation.symmetry.center, centred(self.activation))

    def uncentred(self, activation: Activation) -> "Network":
        """The inverse of `centred`, which needs to be told the original activation."""
        return self._shifted(activation.symmetry.center, activation)

    def _shifted(self, shift: float, activation: Activation) -> "Network":
        if shift == 0.0:
            return self
        hidden = tuple(Layer(layer.weight, layer.bias + shift) for layer in self.layers[:-1])
        return self.replace(layers=(*hidden, self.layers[-1]), activation=activation)

    def at_rest(self) -> "Network":
        """The same network with NumPy float64 leaves."""
        return jax.tree.map(lambda leaf: np.asarray(leaf, dtype=np.float64), self)

    def replace(self, **changes: Any) -> "Network":
        """A copy with some fields replaced."""
        return dataclasses.replace(self, **changes)

    def save(self, path: str | PathLike[str]) -> None:
        """Write weights, activation name and widths to a .safetensors file.

        Raises:
            InvalidInputError: The activation is not in the catalogue, so that a file could not
                say what it is.
        """
        from expand_and_cluster.core.files import save_network

        save_network(self, path)

    @staticmethod
    def load(path: str | PathLike[str]) -> "Network":
        """Read a network written by `save`.

        Raises:
            FileFormatError: The file is missing or not a network.
        """
        from expand_and_cluster.core.files import load_network

        return load_network(path)

    def to_onnx(
        self, path: str | PathLike[str], *, precision: Literal["float64", "float32"] = "float64"
    ) -> None:
        """Write an ONNX file; see `expand_and_cluster.core.exports.to_onnx`."""
        from expand_and_cluster.core.exports import to_onnx

        to_onnx(self, path, precision=precision)

    def to_torch(self) -> Any:
        """A PyTorch module; see `expand_and_cluster.core.exports.to_torch`."""
        from expand_and_cluster.core.exports import to_torch

        return to_torch(self)


def affine_arrays(name: str, pair: tuple[ArrayLike, ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias as float64, whatever their shapes.

    Args:
        name: What to call the two in an error.
        pair: (weight, bias).

    Raises:
        InvalidInputError: They are no two arrays of finite real numbers.
    """
    try:
        weight, bias = pair
        if np.iscomplexobj(weight) or np.iscomplexobj(bias):
            raise TypeError("complex numbers")
        w = np.array(weight, dtype=np.float64)
        b = np.array(bias, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"{name} must be (weight, bias), two arrays of real numbers ({error})."
        ) from error
    if not (np.all(np.isfinite(w)) and np.all(np.isfinite(b))):
        raise InvalidInputError(f"{name} holds NaN or infinity.")
    return w, b


def _layer(name: str, pair: tuple[ArrayLike, ArrayLike]) -> Layer:
    weight, bias = affine_arrays(name, pair)
    if weight.ndim != 2 or bias.shape != weight.shape[:1] or 0 in weight.shape:
        raise InvalidInputError(
            f"{name}: weight must be (out, in) and bias (out,), got {weight.shape} and "
            f"{bias.shape}."
        )
    return Layer(weight, bias)
