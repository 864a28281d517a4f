"""Derivatives of the outputs in all weights that are few enough to be written out.

Weights above the first hidden layer are few, and so are those of the first along the few directions
in which the inputs vary most.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from expand_and_cluster.fitting.deep_equations import DeepParameters, Passed, backward

# Leading directions of the inputs along which the first layer's weights count.
LEADING = 8


def leading(spectrum: tuple[Array, Array]) -> Float[Array, "inputs_and_one leading"]:
    """Directions of the largest eigenvalues, given in ascending order."""
    return spectrum[1][:, ::-1][:, :LEADING]


def weight_count(parameters: DeepParameters) -> int:
    """Weights in which there are derivatives."""
    first = parameters.hidden[0]
    above = sum(part.size for part in parameters.hidden[1:]) + parameters.outputs.size
    return len(first) * min(LEADING, first.shape[1]) + above


def upper_jacobian(
    parameters: DeepParameters, through: Passed, directions: Float[Array, "inputs_and_one leading"]
) -> Float[Array, "rows outputs size"]:
    """Derivatives of every output in these weights.

    Args:
        parameters: The weights.
        through: What every layer is fed, inputs first, and the slopes of the activations.
        directions: Leading directions of the inputs.
    """
    fed = (through.values[0] @ directions, *through.values[1:])
    slopes = backward(parameters, through)
    rows, outputs = len(fed[0]), len(parameters.outputs)
    parts = [
        (slope[..., None] * values[:, None, None, :]).reshape(rows, outputs, -1)
        for slope, values in zip(slopes, fed, strict=False)
    ]
    own = jnp.eye(outputs, dtype=fed[-1].dtype)
    last = own[None, :, :, None] * fed[-1][:, None, None, :]
    return jnp.concatenate([*parts, last.reshape(rows, outputs, -1)], axis=2)
