"""The block of the Gauss-Newton matrix of all weights above the first layer, written out.

Kronecker factors take layers, and neurons and what these are fed, to be independent. Weights above
the first hidden layer are few, and so are those of the first along the few directions in which the
inputs vary most: their block is written out on a part of the pairs, and solved as it is.

On a network short of a neuron, with the last layer off its least squares, fifty iterations came as
far as eight hundred with Kronecker factors alone. With the last layer solved for at every trial
they come equally far in the states that `benchmarks/deep_steps.py` looks at.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from expand_and_cluster.fitting.deep_equations import (
    DeepData,
    DeepParameters,
    Passed,
    backward,
)

# Leading directions of the inputs whose weights are in the block.
LEADING = 8
# Largest block: its eigenvectors take seconds.
MOST = 6000
# Equations for every weight of the block.
EQUATIONS = 25


class UpperBlock(NamedTuple):
    """The block by its eigenvalues and eigenvectors.

    Attributes:
        directions: Leading directions of the inputs.
        values: Eigenvalues.
        vectors: Eigenvectors, in columns.
    """

    directions: Float[Array, "inputs_and_one leading"]
    values: Float[Array, " size"]
    vectors: Float[Array, "size size"]


def leading(spectrum: tuple[Array, Array]) -> Float[Array, "inputs_and_one leading"]:
    """Directions of the largest eigenvalues, given in ascending order."""
    return spectrum[1][:, ::-1][:, :LEADING]


def block_size(parameters: DeepParameters) -> int:
    """Weights of the block."""
    first = parameters.hidden[0]
    above = sum(part.size for part in parameters.hidden[1:]) + parameters.outputs.size
    return len(first) * min(LEADING, first.shape[1]) + above


def upper_jacobian(
    parameters: DeepParameters, through: Passed, directions: Float[Array, "inputs_and_one leading"]
) -> Float[Array, "rows outputs size"]:
    """Derivatives of every output in the weights of the block.

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


@partial(jax.jit, static_argnames="blocks")
def upper_block(
    parameters: DeepParameters,
    fed: tuple[Float[Array, "blocks rows _"], ...],
    slopes: tuple[Float[Array, "blocks rows _"], ...],
    data: DeepData,
    directions: Float[Array, "inputs_and_one leading"],
    blocks: int,
) -> UpperBlock:
    """The block at a point, from the first blocks of rows.

    Args:
        parameters: The weights.
        fed: What every layer above the first is fed.
        slopes: Derivatives of the activations.
        data: All pairs.
        directions: Leading directions of the inputs.
        blocks: Blocks of rows that are looked at.
    """

    def add(
        total: Array, part: tuple[DeepData, tuple[Array, ...], tuple[Array, ...]]
    ) -> tuple[Array, None]:
        pairs, above, bends = part
        rows = upper_jacobian(parameters, Passed((pairs.inputs, *above), bends), directions)
        weighted = (rows * jnp.sqrt(pairs.weights)[:, None, None]).reshape(-1, rows.shape[2])
        return total + weighted.T @ weighted, None

    size = block_size(parameters)
    seen = jax.tree.map(lambda part: part[:blocks], (data, fed, slopes))
    gram = jax.lax.scan(add, jnp.zeros((size, size), data.inputs.dtype), seen)[0]
    share = jnp.sum(data.weights[:blocks]) / jnp.sum(data.weights)
    values, vectors = jnp.linalg.eigh(gram / share)
    return UpperBlock(directions, jnp.maximum(values, 0.0), vectors)


def solve_block(
    left: DeepParameters, solved: DeepParameters, block: UpperBlock, damping: Float[Array, ""]
) -> DeepParameters:
    """What the damped block makes of a residual; the rest of the first layer as it was solved.

    Args:
        left: The residual.
        solved: The same after another preconditioner that treats the first layer by itself.
        block: The block.
        damping: Added to its diagonal.
    """
    directions = block.directions
    first = left.hidden[0]
    parts = [first @ directions, *left.hidden[1:], left.outputs]
    flat = jnp.concatenate([part.reshape(-1) for part in parts])
    turned = block.vectors @ ((block.vectors.T @ flat) / (block.values + damping))
    found, start = [], 0
    for part in parts:
        found.append(turned[start : start + part.size].reshape(part.shape))
        start += part.size
    rest = solved.hidden[0] - (solved.hidden[0] @ directions) @ directions.T
    return DeepParameters((rest + found[0] @ directions.T, *found[1:-1]), found[-1])
