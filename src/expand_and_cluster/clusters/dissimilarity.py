"""How far apart neurons' input vectors are, accurate even where students agree to rounding."""

from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from expand_and_cluster.core.errors import InvalidInputError

Metric = Literal["euclidean", "cosine"]

# Squared distances come from one matrix product, |u|^2 + |v|^2 - 2 u.v, which loses all digits
# where u and v nearly agree. Entries that fall under this share of |u|^2 + |v|^2 are computed
# again from the difference itself; the others keep at least ten digits.
CANCELLATION = 1e-4
# Floats of one block of the matrix product (32 MiB): large enough for full speed, small beside
# the result.
BLOCK = 1 << 22
# When more than this share of a block cancels, the whole block is computed from differences:
# gathering single pairs costs about five times as much for each.
DENSE = 0.2


def pairwise(
    vectors: Float[np.ndarray, "neurons size"],
    *,
    metric: Metric = "euclidean",
    sign_free: bool = False,
) -> Float[np.ndarray, " pairs"]:
    """Distances between all pairs of vectors.

    With `sign_free`, v and -v are the same neuron and the nearer of the two counts:
    `min(|u - v|, |u + v|)`, or `1 - |cos(u, v)|`. This takes the place of the paper's canonical
    sign by the n-th coordinate: a coordinate that is 0, or 0 up to rounding, must never decide a
    sign, because it would tear the copies of one neuron apart.

    The cosine distance is computed as half the squared distance of the unit vectors, so that
    angles far below 1e-8 radians still come out to full relative precision. A zero vector has no
    direction: its cosine distance to every vector, also to another zero vector, is 1.

    Args:
        vectors: One row for each neuron, finite.
        metric: "euclidean", or "cosine" where the scale of a vector has no meaning.
        sign_free: Whether the activation hides the sign of a vector. Default False.

    Returns:
        The distances (neurons * (neurons - 1) / 2), in SciPy's condensed order.

    Raises:
        InvalidInputError: The vectors are no finite matrix with a row, or the metric is unknown.

    Source:
        A.3 (distances), A.2 (signs and scales).
    """
    rows = checked_vectors(vectors)
    if metric not in ("euclidean", "cosine"):
        raise InvalidInputError(f'metric={metric!r}: give "euclidean" or "cosine".')
    if metric == "cosine":
        rows = unit_vectors(rows)
        squares = _squared_distances(rows, rows, sign_free)
        squares *= 0.5
        _set_rows(squares, len(rows), np.flatnonzero(~rows.any(axis=1)), 1.0)
        return squares
    # A power of two, so that scaling is exact; it keeps squares from overflow and underflow.
    largest = float(np.max(np.abs(rows), initial=0.0))
    scale = 2.0 ** np.floor(np.log2(largest)) if largest > 0 else 1.0
    rows = rows / scale
    # What all vectors share only costs digits. (With free signs there is no common part.)
    shifted = rows if sign_free else rows - rows.mean(axis=0)
    distances = _squared_distances(rows, shifted, sign_free)
    np.sqrt(distances, out=distances)
    distances *= scale
    return distances


def angles(distances: Float[np.ndarray, " pairs"]) -> Float[np.ndarray, " pairs"]:
    """Angles in radians that belong to cosine distances.

    Args:
        distances: Cosine distances as `pairwise` gives them.
    """
    result = 0.5 * distances
    # In place: a cluster of many neurons has as many pairs as the whole tree.
    np.clip(result, 0.0, 1.0, out=result)
    np.sqrt(result, out=result)
    np.arcsin(result, out=result)
    result *= 2.0
    return result


def unit_vectors(
    vectors: Float[np.ndarray, "neurons size"],
) -> Float[np.ndarray, "neurons size"]:
    """The vectors at length one; zero vectors stay zero.

    Args:
        vectors: One row for each neuron.
    """
    largest = np.max(np.abs(vectors), axis=1, keepdims=True, initial=0.0)
    rows = vectors / np.where(largest > 0, largest, 1.0)  # no overflow in the squares
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1.0)


def checked_vectors(vectors: np.ndarray) -> Float[np.ndarray, "neurons size"]:
    """The vectors in double precision, or a refusal.

    Raises:
        InvalidInputError: They are no finite matrix with at least one row and one column.
    """
    rows = np.ascontiguousarray(vectors, dtype=np.float64)
    if rows.ndim != 2 or 0 in rows.shape:
        raise InvalidInputError(
            f"vectors must be (neurons, size) with at least one neuron, got {rows.shape}."
        )
    if not np.all(np.isfinite(rows)):
        raise InvalidInputError("vectors hold NaN or infinity; drop the students they come from.")
    return rows


def _squared_distances(
    rows: Float[np.ndarray, "neurons size"],
    shifted: Float[np.ndarray, "neurons size"],
    sign_free: bool,
) -> Float[np.ndarray, " pairs"]:
    """Squared distances, from products of shifted rows; from the rows where products cancel."""
    count = len(rows)
    squares = np.einsum("ij,ij->i", shifted, shifted)
    result = np.empty(count * (count - 1) // 2)
    height = max(1, BLOCK // count)
    filled = 0
    for start in range(0, count - 1, height):
        stop = min(start + height, count - 1)
        # Only columns after `start`: the block's own lower triangle is the waste.
        products = shifted[start:stop] @ shifted[start + 1 :].T
        block = _block(rows, squares, start, stop, products, sign_free)
        for i in range(start, stop):
            part = block[i - start, i - start :]
            result[filled : filled + part.size] = part
            filled += part.size
    return result


def _block(
    rows: np.ndarray,
    squares: np.ndarray,
    start: int,
    stop: int,
    products: np.ndarray,
    sign_free: bool,
) -> np.ndarray:
    """Squared distances of rows start..stop to all rows after `start`, digits restored."""
    others = rows[start + 1 :]
    sums = squares[start:stop, None] + squares[None, start + 1 :]
    block = np.abs(products) if sign_free else products.copy()
    block *= -2.0
    block += sums
    sums *= CANCELLATION
    lost = block < sums
    if np.count_nonzero(lost) > DENSE * lost.size:
        block = cdist(rows[start:stop], others, "sqeuclidean")
        if sign_free:
            np.minimum(block, cdist(rows[start:stop], -others, "sqeuclidean"), out=block)
        return block
    # Pairs below the diagonal are never read.
    left, right = np.nonzero(np.triu(lost))
    batch = max(1, BLOCK // rows.shape[1])
    for first in range(0, left.size, batch):
        i, j = left[first : first + batch], right[first : first + batch]
        nearer = others[j]
        if sign_free:
            nearer *= np.where(products[i, j] < 0, -1.0, 1.0)[:, None]
        nearer -= rows[start + i]
        block[i, j] = np.einsum("ij,ij->i", nearer, nearer)
    return np.maximum(block, 0.0, out=block)


def _set_rows(condensed: np.ndarray, count: int, which: np.ndarray, value: float) -> None:
    """Set all distances that belong to some rows."""
    for i in which:
        before = np.arange(i)
        condensed[before * (2 * count - before - 1) // 2 + i - before - 1] = value
        start = i * (2 * count - i - 1) // 2
        condensed[start : start + count - i - 1] = value
