"""What happens inside a network on some rows: activations, and the outputs' slopes in them."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double

# Values are passed on in rows of this length, so that one program serves layers of any width.
LENGTH = 4096


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


def answers(
    network: Network, inputs: Float[np.ndarray, "rows inputs"]
) -> Float[np.ndarray, "rows outputs"]:
    """Outputs, as `network(inputs)` gives them, without a program for every width."""
    return _outputs(network, _passed(network, inputs)[0])


def _outputs(network: Network, values: list[np.ndarray]) -> Float[np.ndarray, "rows outputs"]:
    last = network.layers[-1]
    return values[-1][:, :-1] @ last.weight.T + last.bias


def _passed(network: Network, inputs: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    ones = np.ones((len(inputs), 1))
    values, bends = [np.concatenate([inputs, ones], axis=1)], []
    for layer in network.layers[:-1]:
        pre = values[-1][:, :-1] @ layer.weight.T + layer.bias
        flat = np.zeros(-(-pre.size // LENGTH) * LENGTH)
        flat[: pre.size] = pre.ravel()
        active, bend = np.empty_like(flat), np.empty_like(flat)
        with double():
            for first in range(0, len(flat), LENGTH):
                part = slice(first, first + LENGTH)
                both = _bend(jnp.asarray(flat[part]), network.activation)
                active[part], bend[part] = (np.asarray(each) for each in both)
        values.append(np.concatenate([active[: pre.size].reshape(pre.shape), ones], axis=1))
        bends.append(bend[: pre.size].reshape(pre.shape))
    return values, bends


@partial(jax.jit, static_argnames="activation")
def _bend(
    pre_activations: Float[Array, " values"], activation: Activation
) -> tuple[Float[Array, " values"], Float[Array, " values"]]:
    return activation.function(pre_activations), activation.derivative(pre_activations)
