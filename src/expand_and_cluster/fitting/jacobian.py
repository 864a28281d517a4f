"""Derivatives of a network's outputs in all its weights, written out."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting.deep_descent import all_present
from expand_and_cluster.fitting.deep_equations import deep_parameters, forward, jacobian_rows


def jacobian(
    network: Network, inputs: Float[np.ndarray, "rows inputs"]
) -> Float[np.ndarray, "rows outputs weights"]:
    """Derivative of every output in every weight, last layer included.

    Args:
        network: Any number of hidden layers, no skip.
        inputs: Where to take them.

    Returns:
        Columns layer by layer, neuron by neuron, bias last.
    """
    with double():
        parameters = deep_parameters(network)
        masks = jax.tree.map(jnp.asarray, all_present(network))
        extended = jnp.concatenate([jnp.asarray(inputs), jnp.ones((len(inputs), 1))], axis=1)
        passed = forward(parameters, masks, network.activation, extended)
        hidden = np.asarray(jacobian_rows(parameters, passed))
        features = np.asarray(passed.values[-1])
    outputs = network.output_size
    last = np.einsum("op,sf->sopf", np.eye(outputs), features).reshape(len(inputs), outputs, -1)
    return np.concatenate([hidden, last], axis=2)
