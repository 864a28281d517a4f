"""What happens inside a network on some rows: activations, and the outputs' slopes in them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.network import Network


@dataclass(frozen=True)
class Inside:
    """What happens inside a network.

    Attributes:
        values: Inputs, then the activations of every hidden layer; ones appended to each.
        outputs: Outputs.
        slopes: For every hidden layer, the slopes of the outputs in its pre-activations.
        effects: For every hidden layer, the root mean square (over rows and outputs) of the slope
            of the outputs in each neuron's activation.
    """

    values: tuple[Float[np.ndarray, "rows _"], ...]
    outputs: Float[np.ndarray, "rows outputs"]
    slopes: tuple[Float[np.ndarray, "rows outputs _"], ...]
    effects: tuple[Float[np.ndarray, " _"], ...]


def look_inside(network: Network, inputs: Float[np.ndarray, "rows inputs"]) -> Inside:
    """Activations and slopes of all layers on these rows."""
    values, bends = _passed(network, inputs)
    slopes, effects = [], []
    above = np.broadcast_to(
        network.layers[-1].weight, (len(inputs), *network.layers[-1].weight.shape)
    )
    for place in range(len(bends) - 1, -1, -1):
        effects.append(np.sqrt(np.mean(above**2, axis=(0, 1))))
        slopes.append(above * bends[place][:, None, :])
        if place:
            above = slopes[-1] @ network.layers[place].weight
    return Inside(
        tuple(values), _outputs(network, values), tuple(slopes[::-1]), tuple(effects[::-1])
    )


def _outputs(network: Network, values: list[np.ndarray]) -> Float[np.ndarray, "rows outputs"]:
    last = network.layers[-1]
    return values[-1][:, :-1] @ last.weight.T + last.bias


def _passed(network: Network, inputs: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    ones = np.ones((len(inputs), 1))
    values, bends = [np.concatenate([inputs, ones], axis=1)], []
    for layer in network.layers[:-1]:
        pre = values[-1][:, :-1] @ layer.weight.T + layer.bias
        values.append(np.concatenate([network.activation.values(pre), ones], axis=1))
        bends.append(network.activation.slopes(pre))
    return values, bends
