"""One hidden layer as a sum of terms, and what its neurons do on given inputs."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.symmetry import PROBES, Flip


@dataclass(frozen=True)
class Terms:
    """A network with one hidden layer: `outputs.T @ activation(vectors @ x) + affine @ x`.

    Here x is the input with a one appended.

    Attributes:
        vectors: Input vectors, one row for each neuron.
        outputs: Output weights, one row for each neuron.
        affine: Skip and output bias as one affine map of the input.
    """

    vectors: Float[np.ndarray, "neurons inputs_and_bias"]
    outputs: Float[np.ndarray, "neurons outputs"]
    affine: Float[np.ndarray, "outputs inputs_and_bias"]

    @staticmethod
    def of(network: Network) -> "Terms":
        """The terms of a network whose activation is symmetric about zero (`Network.centred`)."""
        last = network.layers[1]
        affine = np.zeros((network.output_size, network.input_size + 1))
        affine[:, -1] = last.bias
        if network.skip is not None:
            affine += np.column_stack([network.skip.weight, network.skip.bias])
        return Terms(network.input_vectors, network.output_vectors, affine)

    def network(self, activation: Activation) -> Network:
        """The network of these terms, with a skip if the affine map needs one."""
        layers = (
            Layer(self.vectors[:, :-1].copy(), self.vectors[:, -1].copy()),
            Layer(self.outputs.T.copy(), self.affine[:, -1].copy()),
        )
        slope = self.affine[:, :-1]
        skip = Layer(slope.copy(), np.zeros(len(slope))) if slope.any() else None
        return Network(layers, activation, skip)


def flip_leftover(
    vector: Float[np.ndarray, " inputs_and_bias"],
    output: Float[np.ndarray, " outputs"],
    rule: Flip,
) -> Float[np.ndarray, "outputs inputs_and_bias"]:
    """The affine map that stays when a neuron's input vector is negated.

    `output * activation(v x)` is `rule.sign * output * activation(-v x)` plus this map.
    """
    slope = -rule.linear * vector
    slope[-1] += rule.constant
    return np.outer(output, slope)


@dataclass(frozen=True)
class Sampled:
    """An activation and the inputs on which neurons are looked at.

    Attributes:
        activation: An activation whose symmetry is about zero.
        inputs: The inputs with a column of ones appended.
    """

    activation: Activation
    inputs: Float[np.ndarray, "samples inputs_and_bias"]

    @staticmethod
    def of(activation: Activation, rows: Float[np.ndarray, "samples inputs"]) -> "Sampled":
        """Append the ones."""
        return Sampled(activation, np.column_stack([rows, np.ones(len(rows))]))

    @cached_property
    def _root(self) -> np.ndarray:
        return np.asarray(np.linalg.qr(self.inputs / np.sqrt(len(self.inputs)), mode="r"))

    def measured(
        self, vectors: Float[np.ndarray, "neurons inputs_and_bias"]
    ) -> Float[np.ndarray, "neurons coordinates"]:
        """Input vectors in coordinates whose length is the root mean square pre-activation."""
        return vectors @ self._root.T

    def pre_activations(
        self, vectors: Float[np.ndarray, "neurons inputs_and_bias"]
    ) -> Float[np.ndarray, "samples neurons"]:
        """Pre-activations on the inputs."""
        return self.inputs @ vectors.T

    def values(self, pre: np.ndarray) -> np.ndarray:
        """The activation of pre-activations of any shape."""
        return self.activation.values(pre)

    def slopes(self, pre: np.ndarray) -> np.ndarray:
        """The activation's derivative at pre-activations of any shape."""
        return self.activation.slopes(pre)

    @property
    def steepest(self) -> float:
        """Largest slope of the activation."""
        return _steepest(self.activation)

    def outputs(self, terms: Terms) -> Float[np.ndarray, "samples outputs"]:
        """Outputs of a network on the inputs."""
        values = self.values(self.pre_activations(terms.vectors))
        return values @ terms.outputs + self.inputs @ terms.affine.T


def rms(values: np.ndarray) -> float:
    """Root mean square of all values."""
    return float(np.sqrt(np.mean(values**2)))


def rms_along(values: np.ndarray, axis: int) -> np.ndarray:
    """Root mean square along an axis."""
    return np.sqrt(np.mean(values**2, axis=axis))


@lru_cache(maxsize=64)
def _steepest(activation: Activation) -> float:
    return float(np.max(np.abs(activation.slopes(np.concatenate([PROBES, -PROBES])))))
