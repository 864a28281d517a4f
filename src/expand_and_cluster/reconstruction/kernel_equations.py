"""A kernel from what several kinks of one channel say about it.

At a kink the gradient jumps by a multiple of the channel's own gradient: `tangents @ kernel` over
the pixels it sees, with a factor that only this kink knows. And the kink is where the
pre-activation is zero (or, between two positions of a pooling window, equal). All of this is linear
and homogeneous in kernel, bias and factors; enough kinks leave one solution, and a kink of another
channel among them leaves none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.reconstruction.layer_geometry import Position

# Smallest singular value, relative to the largest, of equations that have a solution; and the least
# of the second smallest, so that it is the only one.
SOLVED, ONLY = 1e-6, 1e-4
# Columns shorter than this belong to inputs that no kink shows.
SHOWN = 1e-9


@dataclass(frozen=True, eq=False)
class KinkEquations:
    """What one kink says about its channel's kernel.

    Attributes:
        positions: Where the kernel stands: one position, or two between which the largest value of
            a pooling window passes.
        tangents: How the kernel's window changes with each pixel (difference of the two windows).
        gradient: Jump of the gradient in these pixels, up to a factor.
        window: The window at the kink (difference of the two).
    """

    positions: tuple[Position, ...]
    tangents: Float[np.ndarray, "pixels size"]
    gradient: Float[np.ndarray, " pixels"]
    window: Float[np.ndarray, " size"]


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel of length 1 and its bias; which of the two signs is open.

    Attributes:
        weight: The kernel.
        bias: None where all kinks are between two positions: it is the same at both.
    """

    weight: Float[np.ndarray, " size"]
    bias: float | None


def solve_kernel(equations: Sequence[KinkEquations]) -> Kernel | None:
    """The only kernel and bias that all kinks allow, or None.

    Args:
        equations: At least one; all of the same channel if there is to be a solution.
    """
    size, count = len(equations[0].window), len(equations)
    biased = any(len(each.positions) == 1 for each in equations)
    first = size + biased
    blocks = []
    for number, each in enumerate(equations):
        block = np.zeros((len(each.gradient) + 1, first + count))
        block[:-1, :size] = each.tangents
        block[:-1, first + number] = -each.gradient / np.linalg.norm(each.gradient)
        block[-1, :size] = each.window
        if biased:
            block[-1, size] = float(len(each.positions) == 1)
        blocks.append(block)
    # Rows of zeros where there is one equation less than unknowns: just enough for one solution.
    matrix = np.concatenate([*blocks, np.zeros((1, first + count))])
    lengths = np.linalg.norm(matrix, axis=0)
    if len(matrix) < matrix.shape[1] or np.any(lengths < SHOWN):
        return None
    _, values, rows = np.linalg.svd(matrix / lengths, full_matrices=False)
    if values[-1] > SOLVED * values[0] or values[-2] < ONLY * values[0]:
        return None
    solution = rows[-1] / lengths
    length = float(np.linalg.norm(solution[:size]))
    bias = float(solution[size]) / length if biased else None
    return Kernel(solution[:size] / length, bias)
