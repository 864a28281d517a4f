"""Compiled functions of many rows, in shapes that come back."""

from collections.abc import Callable

import numpy as np
from jax import Array

from expand_and_cluster.core.precision import placed


def in_chunks(
    function: Callable[[Array], Array], rows: np.ndarray, few: int, most: int
) -> np.ndarray:
    """A compiled function of many rows, some at a time.

    Args:
        function: Row by row: what it gives for one hangs on no other.
        rows: Any number of them.
        few: Chunks of so many rows or fewer are filled up to this size.
        most: All others are, to this: a function is compiled twice at most.
    """
    parts = []
    # Of no rows, one chunk tells the shape of what is given.
    for start in range(0, max(len(rows), 1), most):
        part = rows[start : start + most]
        size = few if len(part) <= few else most
        filled = np.zeros((size, *part.shape[1:]))
        filled[: len(part)] = part
        parts.append(np.asarray(function(placed(filled)))[: len(part)])
    return np.concatenate(parts)
