"""Which neurons to flip so that the affine maps they leave add up to a given one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float

# Signs that the equations do not determine are tried in all combinations, up to this many.
MOST_OPEN = 18
# Combinations kept while the other signs follow one by one.
MOST_KEPT = 1 << MOST_OPEN
# Columns that the others span to this share of the largest leave a sign open.
DEPENDENT = 1e-9


@dataclass(frozen=True)
class SignChoice:
    """Zeros and ones whose weighted columns add up to what is wanted.

    Attributes:
        chosen: The best choice.
        error: Length of what is left over.
        count: How many choices leave no more than the tolerance; None where there are too many
            combinations to know.
    """

    chosen: Bool[np.ndarray, " columns"]
    error: float
    count: int | None


def choose_signs(
    columns: Float[np.ndarray, "equations columns"],
    wanted: Float[np.ndarray, " equations"],
    tolerance: float,
) -> SignChoice:
    """Solve `columns @ chosen = wanted` for zeros and ones.

    The columns are brought to triangular form, those that the others span last. All combinations
    of these are tried; each of the other signs then follows from one equation, and combinations
    that cannot come within the tolerance are dropped. Where none comes within it, the regression,
    rounded, is the answer.

    Args:
        columns: What each column adds if it is chosen.
        wanted: Sum to reach.
        tolerance: Length of a left-over that counts as none.
    """
    count = columns.shape[1]
    relaxed = np.linalg.lstsq(columns, wanted, rcond=1e-8)[0]
    best = np.round(np.clip(relaxed, 0.0, 1.0)).astype(bool)
    rounded = SignChoice(best, float(np.linalg.norm(columns @ best - wanted)), None)
    factors: Any = scipy.linalg.qr(columns, mode="economic", pivoting=True)
    basis, triangle, order = factors
    diagonal = np.abs(np.diag(triangle))
    rank = int(np.sum(diagonal > max(DEPENDENT * diagonal.max(initial=0.0), tolerance)))
    if count - rank > MOST_OPEN:
        return rounded
    bits = np.arange(1 << (count - rank))[:, None] >> np.arange(count - rank)[None, :]
    signs = np.zeros((len(bits), count))
    signs[:, rank:] = bits & 1
    target = basis.T @ wanted
    outside = float(np.sum((wanted - basis @ target) ** 2))
    errors = np.full(len(bits), outside)
    below = target[rank:] - signs[:, rank:] @ triangle[rank:, rank:].T
    errors = errors + np.sum(below**2, axis=1)
    # A little more than the tolerance: the sum of squares is rounded, the length is taken anew.
    limit = (1.5 * tolerance) ** 2 + 1e-28 * float(wanted @ wanted)
    complete = True
    for place in range(rank - 1, -1, -1):
        rest = target[place] - signs[:, place + 1 :] @ triangle[place, place + 1 :]
        pieces = []
        for value in (0.0, 1.0):
            error = errors + (rest - value * triangle[place, place]) ** 2
            kept = np.flatnonzero(error <= limit)
            branch = signs[kept]
            branch[:, place] = value
            pieces.append((branch, error[kept]))
        signs = np.concatenate([piece[0] for piece in pieces])
        errors = np.concatenate([piece[1] for piece in pieces])
        if len(signs) > MOST_KEPT:
            complete = False
            least = np.argsort(errors, kind="stable")[:MOST_KEPT]
            signs, errors = signs[least], errors[least]
    if not len(signs):
        return SignChoice(rounded.chosen, rounded.error, 0 if complete else None)
    found = np.zeros(signs.shape)
    found[:, order] = signs
    lengths = np.linalg.norm(found @ columns.T - wanted, axis=1)
    first = int(np.argmin(lengths))
    number = int(np.sum(lengths <= tolerance)) if complete else None
    return SignChoice(found[first].astype(bool), float(lengths[first]), number)
