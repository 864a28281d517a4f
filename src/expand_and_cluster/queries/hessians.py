"""Second derivatives of the outputs, by differences of answers.

In coordinates of the subspace a network with one hidden layer of as many neurons as there are
directions is `f(z) = A s(W z + b) + c` with square W. Every output's Hessian is then
`W.T @ diag(...) @ W` with the same W: what makes all of them diagonal at once is the neurons'
input vectors. This is the use of second derivatives of Fornasier, Klock & Rauchensteiner (2022).
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.precision import double

Ask = Callable[[Float[np.ndarray, "rows rank"]], Float[np.ndarray, "rows outputs"]]

DOUBLE = np.dtype(np.float64)
# Step of a difference, in units of the length of a question, for answers in float64 and in float32:
# the cube root of their rounding, where the third derivative and rounding err equally.
STEP = {DOUBLE: 5e-6, np.dtype(np.float32): 5e-3}
# Mean bend, relative to the mean slope, of an activation whose Hessians say something.
LEAST_BEND = 1e-2
# Pre-activations over which the bend is looked at.
REACH = np.linspace(-3.0, 3.0, 121) + 0.01


def queries_for(rank: int) -> int:
    """Rows that one point's Hessians cost."""
    return 1 + rank + rank * (rank + 1) // 2


def ask_hessians(
    ask: Ask, point: Float[np.ndarray, " rank"], precision: np.dtype[Any] = DOUBLE
) -> tuple[Float[np.ndarray, "outputs rank rank"], Float[np.ndarray, " outputs"]]:
    """Hessians of all outputs at a point, and the outputs there.

    One-sided differences: they cost half of what symmetric ones do, and the directions that they
    give only have to be good enough to start from.

    Args:
        ask: Answers coordinates with outputs.
        point: Where; coordinates of questions are about 1.
        precision: Precision of the answers.
    """
    rank = len(point)
    base = ask(point[None])
    step = float(STEP[precision] * np.sqrt(rank))
    moves = step * np.eye(rank)
    rows, columns = np.triu_indices(rank)
    once = ask(point + moves)
    twice = ask(point + moves[rows] + moves[columns])
    bends = (twice - once[rows] - once[columns] + base) / step**2
    hessians = np.zeros((base.shape[1], rank, rank))
    hessians[:, rows, columns] = bends.T
    hessians[:, columns, rows] = bends.T
    return hessians, base[0]


@cache
def is_bent(activation: Activation) -> bool:
    """Whether the activation has a second derivative to speak of: relu has none."""
    with double():
        slopes = jax.vmap(jax.grad(activation.function))
        bends = jax.vmap(jax.grad(jax.grad(activation.function)))
        slope, bend = jax.jit(lambda reach: (slopes(reach), bends(reach)))(REACH)
    return float(np.abs(bend).mean()) > LEAST_BEND * float(np.abs(slope).mean())
