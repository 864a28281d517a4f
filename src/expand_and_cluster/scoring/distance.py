"""How far two neurons' vectors are from each other, exact down to rounding."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

Vectors = Float[np.ndarray, "neurons size"]
Known = Float[np.ndarray, "teacher size"]
Found = Float[np.ndarray, "recovered size"]
Table = Float[np.ndarray, "teacher recovered"]


def unit(vectors: Vectors) -> Vectors:
    """Rows divided by their length; a zero row stays zero."""
    # Dividing by the largest entry first keeps the squares of tiny and huge rows in range.
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0.0)
    rows = np.divide(vectors, largest, out=np.zeros_like(vectors), where=largest > 0)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def cosine_distances(teacher: Known, recovered: Found) -> Table:
    """One minus the cosine of the angle between every pair of rows, from 0 to 2.

    It is computed as half the squared distance of the unit vectors: `1 - cos` itself would lose
    all digits of angles below 1e-8 radians. A zero row is at distance 0 from a zero row and 1
    from any other.
    """
    first, second = unit(teacher), unit(recovered)
    distances = 0.5 * cdist(first, second, "sqeuclidean")
    empty = np.not_equal.outer(np.any(first, axis=1), np.any(second, axis=1))
    return np.where(empty, 1.0, distances)


def paired_cosine_distances(one: Vectors, other: Vectors) -> Float[np.ndarray, " neurons"]:
    """Cosine distance of row i of one to row i of the other; see `cosine_distances`."""
    first, second = unit(one), unit(other)
    distances = 0.5 * np.sum((first - second) ** 2, axis=1)
    return np.where(np.any(first, axis=1) != np.any(second, axis=1), 1.0, distances)


def scaled_distances(teacher: Known, recovered: Found) -> Table:
    """Squared distance over the sum of squared lengths, for every pair of rows, from 0 to 2.

    For rows of equal length this is the cosine distance; it grows with the ratio of the lengths,
    so that parallel neurons of different steepness are told apart.
    """
    size = np.add.outer(np.sum(teacher**2, axis=1), np.sum(recovered**2, axis=1))
    squares = cdist(teacher, recovered, "sqeuclidean")
    return np.divide(squares, size, out=np.zeros_like(squares), where=size > 0)
