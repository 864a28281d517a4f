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
    first = network.layers[0]
    bias = first.bias + first.weight[:, held] @ values[held]
    layer = Layer(np.where(held, 0.0, first.weight), bias)
    return network.replace(layers=(layer, *network.layers[1:]))
