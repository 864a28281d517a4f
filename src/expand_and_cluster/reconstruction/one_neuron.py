"""A network with one neuron more, or one less, in a hidden layer; all other weights as they are."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.network import Layer, Network


@dataclass(frozen=True)
class MissingNeuron:
    """A neuron that would explain what a network leaves.

    Attributes:
        layer: Hidden layer, 0 for the first.
        vector: Its input vector, bias last.
        above: Weights by which the layer above reads it.
        share: Share of the squared error that it explains, all others moving along.
    """

    layer: int
    vector: Float[np.ndarray, " inputs_and_one"]
    above: Float[np.ndarray, " neurons_above"]
    share: float


def with_neuron(network: Network, missing: MissingNeuron) -> Network:
    """The network with the neuron as the last one of its layer."""
    layers = list(network.layers)
    own, above = layers[missing.layer], layers[missing.layer + 1]
    layers[missing.layer] = Layer(
        np.vstack([own.weight, missing.vector[:-1]]), np.append(own.bias, missing.vector[-1])
    )
    layers[missing.layer + 1] = Layer(np.column_stack([above.weight, missing.above]), above.bias)
    return network.replace(layers=tuple(layers))


def without_neuron(network: Network, layer: int, neuron: int) -> Network:
    """The network without a neuron; nothing makes up for it."""
    layers = list(network.layers)
    own, above = layers[layer], layers[layer + 1]
    layers[layer] = Layer(np.delete(own.weight, neuron, 0), np.delete(own.bias, neuron))
    layers[layer + 1] = Layer(np.delete(above.weight, neuron, 1), above.bias)
    return network.replace(layers=tuple(layers))
