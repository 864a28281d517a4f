"""Double precision for a block of code, never for the whole program; NumPy numbers for JAX."""

from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
from jax import Array


def double() -> AbstractContextManager[object]:
    """Context in which JAX computes in float64.

    The setting belongs to the current thread and ends with the block, so that importing or using
    the library never changes the precision of its user's own JAX code.
    """
    return jax.enable_x64(True)


def placed(numbers: Any, dtype: Any = None) -> Array:
    """A copy of NumPy numbers for JAX, in the precision of the block.

    `jnp.asarray` compiles a program for every shape that it has not seen.
    """
    return jax.device_put(np.asarray(numbers, dtype), may_alias=False)
