"""Functions of NumPy numbers in double precision, without a compiled program for every shape."""

from collections.abc import Callable

import jax
import numpy as np
from jax import Array

from expand_and_cluster.core.precision import double

# Numbers go through one of two programs, in blocks of so many: compiling one takes as long as
# millions of values.
FEW, MANY = 1 << 12, 1 << 16


def elementwise(function: Callable[[Array], Array], numbers: np.ndarray) -> np.ndarray:
    """An elementwise function, written with `jax.numpy`, of numbers of any shape."""
    flat = np.ascontiguousarray(numbers, dtype=np.float64).ravel()
    found = np.empty_like(flat)
    with double():
        for first in range(0, flat.size, MANY):
            part = flat[first : first + MANY]
            size = FEW if part.size <= FEW else MANY
            filled = part if part.size == size else np.pad(part, (0, size - part.size))
            found[first : first + part.size] = np.asarray(_compiled(filled, function))[: part.size]
    return found.reshape(np.shape(numbers))


@jax.jit(static_argnames=("function",))
def _compiled(numbers: Array, function: Callable[[Array], Array]) -> Array:
    return function(numbers)
