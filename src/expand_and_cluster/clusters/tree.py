"""Average linkage and its cuts."""

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import num_obs_y

from expand_and_cluster.core.errors import InvalidInputError


def average_linkage(
    condensed: Float[np.ndarray, " pairs"],
) -> Float[np.ndarray, "merges 4"]:
    """Join the two nearest clusters until one is left; near means the mean over all pairs.

    Args:
        condensed: Distances of all pairs in SciPy's order; empty for a single vector.

    Returns:
        SciPy's linkage: for each merge the two clusters joined, the height and the size.

    Raises:
        InvalidInputError: The number of distances belongs to no number of vectors, or a distance
            is negative or not finite.

    Source:
        A.3 (average linkage).
    """
    distances = np.asarray(condensed, dtype=np.float64)
    if distances.ndim != 1:
        raise InvalidInputError(f"condensed distances must be a vector, got {distances.shape}.")
    if distances.size == 0:
        return np.zeros((0, 4))
    try:
        num_obs_y(distances)
    except ValueError as error:
        raise InvalidInputError(
            f"{distances.size} distances are not the pairs of any number of vectors."
        ) from error
    # NaN fails both comparisons; no temporary as large as the distances is made.
    if not (distances.min() >= 0 and distances.max() < np.inf):
        raise InvalidInputError("condensed distances must be finite and not negative.")
    return linkage(distances, method="average")


def cut(tree: Float[np.ndarray, "merges 4"], height: float) -> Int[np.ndarray, " neurons"]:
    """Clusters that remain when only merges up to a height are made.

    Args:
        tree: Linkage from `average_linkage`.
        height: Merges at this height or below are made.

    Returns:
        The cluster of every vector: 0, 1, ... in order of first appearance.
    """
    if len(tree) == 0:
        return np.zeros(1, dtype=np.int64)
    return in_order_of_appearance(fcluster(tree, height, criterion="distance"))


def candidate_heights(tree: Float[np.ndarray, "merges 4"]) -> Float[np.ndarray, " heights"]:
    """Heights that between them give every possible cut, in increasing order.

    Args:
        tree: Linkage from `average_linkage`.

    Returns:
        0 (only identical vectors joined), then every height at which something merges.
    """
    return np.unique(np.concatenate([[0.0], tree[:, 2]]))


def in_order_of_appearance(labels: Int[np.ndarray, " neurons"]) -> Int[np.ndarray, " neurons"]:
    """The same partition with labels 0, 1, ... in order of first appearance.

    Args:
        labels: Any integer labels.
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(first.size, dtype=np.int64)
    rank[np.argsort(first)] = np.arange(first.size)
    return rank[inverse]
