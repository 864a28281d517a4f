"""A network in a form in which every rewriting that its symmetries allow is exact."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from expand_and_cluster.core.activation import Flips
from expand_and_cluster.core.network import Network

Weights = dict[tuple[int, int], np.ndarray]


@dataclass(frozen=True)
class Wiring:
    """A network in which every layer may read every earlier one.

    Layer 0 is the input, the last layer the output. An ordinary network only has weights from
    each layer to the next. Flipping a neuron of an even-plus-linear activation leaves an affine
    map that passes by its layer: here it has a place at any depth.

    Attributes:
        weights: For (layer, source), the matrix (size of layer, size of source); absent is zero.
        biases: For each layer from 1 on, (size of layer,); entry 0 is empty.
    """

    weights: Weights
    biases: tuple[np.ndarray, ...]

    @classmethod
    def of(
        cls,
        network: Network,
        masked: Bool[np.ndarray, " inputs"],
        held: Float[np.ndarray, " inputs"],
    ) -> "Wiring":
        """Rewrite a network on the inputs that are not masked.

        Args:
            network: A single network.
            masked: Inputs to leave out; weight times held value moves into the bias.
            held: Values of the inputs, used where they are masked.
        """
        layers = list(network.layers)
        weights = {(k + 1, k): np.asarray(layer.weight) for k, layer in enumerate(layers)}
        biases = [np.zeros(0), *(np.asarray(layer.bias) for layer in layers)]
        if network.skip is not None:
            weights[len(layers), 0] = np.asarray(network.skip.weight)
            biases[-1] = biases[-1] + np.asarray(network.skip.bias)
        for (layer, source), matrix in weights.items():
            if source == 0:
                biases[layer] = biases[layer] + matrix[:, masked] @ held[masked]
                weights[layer, source] = matrix[:, ~masked]
        return cls(weights, tuple(biases))

    @property
    def hidden_layers(self) -> range:
        """Indices of the hidden layers."""
        return range(1, len(self.biases) - 1)

    def input_vectors(self, layer: int) -> Float[np.ndarray, "neurons inputs_and_bias"]:
        """Weights from the layer below with the bias appended, one row for each neuron."""
        return np.column_stack([self.weights[layer, layer - 1], self.biases[layer]])

    def output_vectors(self, layer: int) -> Float[np.ndarray, "neurons outputs"]:
        """Weights to the layer above, one row for each neuron."""
        return self.weights[layer + 1, layer].T

    def flip(self, layer: int, chosen: Bool[np.ndarray, " neurons"], rules: Flips) -> "Wiring":
        """Negate the input vectors of chosen neurons and keep the function.

        With z the new pre-activation, a neuron's old activation is
        `sign * activation(z) + linear * z + constant`: layers above take the sign into their
        weights, the constant into their bias, and the linear part as weights on what the neuron
        reads.

        Source: paper, A.2.
        """
        if not chosen.any():
            return self
        signs = np.where(chosen, -1.0, 1.0)
        weights, biases = dict(self.weights), list(self.biases)
        below = [source for (to, source) in weights if to == layer]
        above = [to for (to, source) in weights if source == layer]
        for source in below:
            weights[layer, source] = signs[:, None] * weights[layer, source]
        biases[layer] = signs * biases[layer]
        for to in above:
            flipped = weights[to, layer] * chosen
            weights[to, layer] = np.where(chosen, rules.sign, 1.0) * weights[to, layer]
            biases[to] = biases[to] + flipped @ (rules.linear * biases[layer] + rules.constant)
            if np.any(flipped * rules.linear):
                for source in below:
                    by = (flipped * rules.linear) @ weights[layer, source]
                    weights[to, source] = weights.get((to, source), 0.0) + by
        return Wiring(weights, tuple(biases))

    def rescale(
        self,
        layer: int,
        factors: Float[np.ndarray, " neurons"],
        degrees: Float[np.ndarray, " neurons"],
    ) -> "Wiring":
        """Multiply input vectors by positive factors and keep the function.

        Args:
            layer: A hidden layer.
            factors: One positive number for each neuron.
            degrees: Homogeneity of each neuron's activation; any number where the factor is 1.
        """
        weights, biases = dict(self.weights), list(self.biases)
        for to, source in self.weights:
            if to == layer:
                weights[to, source] = factors[:, None] * weights[to, source]
            if source == layer:
                weights[to, source] = weights[to, source] / factors**degrees
        biases[layer] = factors * biases[layer]
        return Wiring(weights, tuple(biases))

    def reorder(self, layer: int, order: Int[np.ndarray, " places"]) -> "Wiring":
        """Put neuron `order[i]` at place i; -1 leaves a place without any weights.

        Neurons that `order` does not name are dropped with their weights.
        """
        there = order >= 0
        weights, biases = dict(self.weights), list(self.biases)
        for to, source in self.weights:
            if to == layer:
                weights[to, source] = np.where(there[:, None], weights[to, source][order], 0.0)
            if source == layer:
                weights[to, source] = np.where(there, weights[to, source][:, order], 0.0)
        biases[layer] = np.where(there, biases[layer][order], 0.0)
        return Wiring(weights, tuple(biases))

    def largest_difference(self, other: "Wiring") -> float:
        """Largest absolute difference over all weights and biases of two wirings of equal sizes.

        A weight that only one of them has counts in full.
        """
        differences = [a - b for a, b in zip(self.biases, other.biases, strict=True)]
        for place in self.weights.keys() | other.weights.keys():
            differences.append(
                np.asarray(self.weights.get(place, 0.0)) - other.weights.get(place, 0.0)
            )
        return max(float(np.max(np.abs(entry), initial=0.0)) for entry in differences)
