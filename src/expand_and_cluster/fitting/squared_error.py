"""Mean squared error over all samples, block by block, so that memory does not grow with them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from expand_and_cluster.core.network import Matrix, Network

ROWS = 512
"""Samples in a block, unless told otherwise: activations of a few small networks stay in cache."""


class Blocks(NamedTuple):
    """Pairs in blocks of equal size, the last one filled up with rows of weight zero.

    Attributes:
        inputs: Inputs of every block.
        targets: Outputs to imitate.
        weights: Share of every row in the mean over samples and outputs.
    """

    inputs: Float[Matrix, "blocks rows inputs"]
    targets: Float[Matrix, "blocks rows outputs"]
    weights: Float[Matrix, "blocks rows"]


def in_blocks(
    inputs: Float[np.ndarray, "samples inputs"],
    targets: Float[np.ndarray, "samples outputs"],
    *,
    dtype: DTypeLike,
    rows: int = ROWS,
) -> Blocks:
    """Lay pairs out in blocks.

    Args:
        inputs: One row for each sample.
        targets: One row for each sample.
        dtype: Precision of the result.
        rows: Largest number of samples in a block.
    """
    samples = len(inputs)
    blocks = -(-samples // rows)
    size = -(-samples // blocks)
    padding = blocks * size - samples
    weights = np.full(samples, 1.0 / targets.size)

    def laid_out(values: np.ndarray) -> np.ndarray:
        filled = np.pad(values, [(0, padding)] + [(0, 0)] * (values.ndim - 1))
        return filled.reshape(blocks, size, *values.shape[1:]).astype(dtype)

    return Blocks(laid_out(inputs), laid_out(targets), laid_out(weights))


def mean_squared_error(network: Network, data: Blocks) -> Float[Array, ""]:
    """Mean over samples and outputs of the squared error of one network."""

    def add(total: Array, block: Blocks) -> tuple[Array, None]:
        return total + _error(network, block), None

    return jax.lax.scan(add, jnp.zeros((), data.inputs.dtype), data)[0]


def value_and_gradient(network: Network, data: Blocks) -> tuple[Float[Array, ""], Network]:
    """Mean squared error and its gradient.

    The gradient is summed block by block, not taken through the sum: its own derivative (the
    Hessian, for implicit solvers) then also needs the memory of one block only.
    """

    def add(total: tuple[Array, Network], block: Blocks) -> tuple[tuple[Array, Network], None]:
        part = jax.value_and_grad(_error)(network, block)
        return jax.tree.map(jnp.add, total, part), None

    zero = (jnp.zeros((), data.inputs.dtype), jax.tree.map(jnp.zeros_like, network))
    return jax.lax.scan(add, zero, data)[0]


def _error(network: Network, block: Blocks) -> Array:
    residuals = network.apply(jnp.asarray(block.inputs)) - block.targets
    return jnp.sum(block.weights * jnp.sum(residuals**2, axis=-1))
