"""The same network where some inputs never leave a value."""

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.core.network import Layer, Network


def hold(
    network: Network, held: Bool[np.ndarray, " inputs"], values: Float[np.ndarray, " inputs"]
) -> Network:
    """The network with no weights for some inputs; what these give at rest goes into the biases.

    Args:
        network: The network.
        held: Which inputs.
        values: Where they rest; of the others nothing is read.
    """

    def rest(layer: Layer) -> Layer:
        bias = layer.bias + layer.weight[:, held] @ values[held]
        return Layer(np.where(held, 0.0, layer.weight), bias)

    skip = None if network.skip is None else rest(network.skip)
    return network.replace(layers=(rest(network.layers[0]), *network.layers[1:]), skip=skip)
