"""Derivatives of a network's outputs in all its weights, written out."""

from functools import partial

import jax
import numpy as np
from jax import Array
from jaxtyping import Float

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting.deep_descent import all_present
from expand_and_cluster.fitting.deep_equations import (
    DeepParameters,
    Present,
    deep_parameters,
    forward,
    jacobian_rows,
)


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
        extended = np.column_stack([inputs, np.ones(len(inputs))])
        found = _written_out(
            deep_parameters(network), all_present(network), extended, network.activation
        )
    hidden, features = map(np.asarray, found)
    outputs = network.output_size
    last = np.einsum("op,sf->sopf", np.eye(outputs), features).reshape(len(inputs), outputs, -1)
    return np.concatenate([hidden, last], axis=2)


@partial(jax.jit, static_argnames="activation")
def _written_out(
    parameters: DeepParameters,
    present: Present,
    extended: Float[Array, "rows inputs_and_one"],
    activation: Activation,
) -> tuple[Float[Array, "rows outputs weights"], Float[Array, "rows features"]]:
    """Derivatives in the hidden layers' weights, and what the last layer is given."""
    passed = forward(parameters, present, activation, extended)
    return jacobian_rows(parameters, passed), passed.values[-1]
