"""Pairs laid out for steps on all weights of a deep network, in both precisions."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from expand_and_cluster.core.precision import double, placed
from expand_and_cluster.fitting.deep_equations import DeepData

# Rows of one block: what is computed of them at once fits the caches.
BLOCK = 2000
# Share of the mean variance that is added to that of every direction.
RIDGE = 1e-7


class DeepPairs:
    """All pairs in blocks, in both precisions, and the spectrum of their inputs.

    Args:
        inputs: Standardised inputs.
        targets: Standardised outputs.
    """

    def __init__(
        self,
        inputs: Float[np.ndarray, "samples inputs"],
        targets: Float[np.ndarray, "samples outputs"],
    ) -> None:
        """Lay the pairs out."""
        samples = len(inputs)
        blocks = -(-samples // BLOCK)
        rows = -(-samples // blocks)

        def laid(values: np.ndarray) -> np.ndarray:
            filled = np.zeros((blocks * rows, *values.shape[1:]))
            filled[:samples] = values
            return filled.reshape(blocks, rows, *values.shape[1:])

        extended = np.concatenate([inputs, np.ones((samples, 1))], axis=1)
        weights = laid(np.full(samples, 1.0 / samples))
        with double():
            self.double = DeepData(placed(laid(extended)), placed(laid(targets)), placed(weights))
            self.single = jax.tree.map(lambda part: part.astype(jnp.float32), self.double)
            values, vectors = spectrum(placed(extended.T @ extended / samples))
            self.spectrum = (values.astype(jnp.float32), vectors.astype(jnp.float32))


def spectrum(moments: Float[Array, "size size"]) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors, with a small ridge."""
    values, vectors = jnp.linalg.eigh(moments)
    return jnp.maximum(values, 0.0) + RIDGE * jnp.mean(values), vectors
