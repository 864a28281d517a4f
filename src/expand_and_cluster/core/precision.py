"""Double precision for a block of code, never for the whole program."""

from contextlib import AbstractContextManager

import jax


def double() -> AbstractContextManager[object]:
    """Context in which JAX computes in float64.

    The setting belongs to the current thread and ends with the block, so that importing or using
    the library never changes the precision of its user's own JAX code.
    """
    return jax.enable_x64(True)
