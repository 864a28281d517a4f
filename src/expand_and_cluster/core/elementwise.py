"""Functions of NumPy numbers in double precision, without a compiled program for every shape."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jax import Array

from expand_and_cluster.core.chunks import in_chunks
from expand_and_cluster.core.precision import double

# Numbers in one compiled call, and in one of few: compiling takes as long as millions of values.
MANY, FEW = 1 << 16, 1 << 12


def elementwise(function: Callable[[Array], Array], numbers: np.ndarray) -> np.ndarray:
    """An elementwise function, written with `jax.numpy`, of numbers of any shape."""
    with double():
        found = in_chunks(partial(_compiled, function=function), np.ravel(numbers), FEW, MANY)
    return found.reshape(np.shape(numbers))


@jax.jit(static_argnames=("function",))
def _compiled(numbers: Array, function: Callable[[Array], Array]) -> Array:
    return function(numbers)
