"""How many clusters every cut of a tree has, and how many of them students agree on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.clusters.dissimilarity import checked_vectors, unit_vectors
from expand_and_cluster.core.errors import InvalidInputError


@dataclass(frozen=True)
class Profile:
    """How many clusters there are of each sort, for every cut of a tree.

    Attributes:
        heights: Increasing; cut i holds from heights[i] up to heights[i + 1].
        large: Clusters with at least the required number of neurons.
        supported: Clusters with neurons of at least the required number of distinct students.
        aligned: Supported clusters whose vectors point in one direction.
    """

    heights: Float[np.ndarray, " cuts"]
    large: Int[np.ndarray, " cuts"]
    supported: Int[np.ndarray, " cuts"]
    aligned: Int[np.ndarray, " cuts"]


def required_support(number_of_students: int, min_cluster_fraction: float) -> int:
    """How many students a cluster needs: the fraction of their number, rounded up.

    Args:
        number_of_students: How many students there are, at least 1.
        min_cluster_fraction: Share of them, in (0, 1].

    Raises:
        InvalidInputError: A value is out of its range.
    """
    if number_of_students < 1:
        raise InvalidInputError(f"number_of_students={number_of_students} must be at least 1.")
    if not 0 < min_cluster_fraction <= 1:
        raise InvalidInputError(
            f"min_cluster_fraction={min_cluster_fraction} must be in (0, 1]: the share of students "
            "that support a neuron."
        )
    # The tiny amount keeps 0.7 * 10 = 7.000000000000001 at 7.
    return max(1, int(np.ceil(min_cluster_fraction * number_of_students - 1e-9)))


def check_angle(max_cluster_angle: float) -> None:
    """Refuse an angle outside (0, pi].

    Args:
        max_cluster_angle: Radians.

    Raises:
        InvalidInputError: It is out of range.
    """
    if not 0 < max_cluster_angle <= np.pi:
        raise InvalidInputError(
            f"max_cluster_angle={max_cluster_angle} must be in (0, pi]; it is an angle in radians."
        )


def checked_members(vectors: np.ndarray, members: np.ndarray, name: str) -> np.ndarray:
    """One whole number for each vector, or a refusal.

    Args:
        vectors: One row for each neuron.
        members: Student or cluster of each neuron.
        name: Name of the argument, for the message.

    Raises:
        InvalidInputError: The lengths differ.
    """
    values = np.asarray(members)
    if values.shape != vectors.shape[:1] or values.dtype.kind not in "iu":
        raise InvalidInputError(
            f"{name} must hold one whole number for each of the {len(vectors)} vectors, got shape "
            f"{values.shape} of {values.dtype}."
        )
    return values


def cut_profile(
    tree: Float[np.ndarray, "merges 4"],
    vectors: Float[np.ndarray, "neurons size"],
    students: Int[np.ndarray, " neurons"],
    *,
    required: int,
    max_cluster_angle: float,
    sign_free: bool,
) -> Profile:
    """Count the clusters of every cut in one walk up the tree.

    Args:
        tree: Linkage of the vectors.
        vectors: One row for each neuron.
        students: Which student each neuron belongs to.
        required: Neurons that make a cluster large, and students that make it supported.
        max_cluster_angle: Aligned clusters have a mean pairwise cosine of at least this angle's.
        sign_free: Whether v and -v are the same neuron.

    Raises:
        InvalidInputError: The arrays do not fit each other, or the angle is out of its range.
    """
    vectors = checked_vectors(vectors)
    checked_members(vectors, students, "students")
    check_angle(max_cluster_angle)
    if np.shape(tree) != (len(vectors) - 1, 4):
        raise InvalidInputError(
            f"tree must be ({len(vectors) - 1}, 4) for {len(vectors)} vectors, got "
            f"{np.shape(tree)}."
        )
    # A cluster's students as bits of a whole number; its direction as the sum of unit vectors,
    # whose squared length is the sum of all pairwise cosines.
    bit = {int(s): 1 << i for i, s in enumerate(np.unique(students))}
    masks = [bit[int(s)] for s in students]
    sizes = [1] * len(vectors)
    sums = list(unit_vectors(vectors))
    spent = np.empty(0)
    least_cosine = np.cos(max_cluster_angle)

    def traits(c: int) -> np.ndarray:
        size = sizes[c]
        supported = masks[c].bit_count() >= required
        mean_cosine = 1.0
        if size > 1:
            mean_cosine = (float(sums[c] @ sums[c]) - size) / (size * (size - 1))
        return np.array([size >= required, supported, supported and mean_cosine >= least_cosine])

    kinds = [traits(c).astype(np.int64) for c in range(len(vectors))]
    heights, counts = [0.0], [np.sum(kinds, axis=0)]
    for first, second, height, _ in tree:
        a, b = int(first), int(second)
        left, right = sums[a], sums[b]
        sums.append(left - right if sign_free and left @ right < 0 else left + right)
        sums[a] = sums[b] = spent
        sizes.append(sizes[a] + sizes[b])
        masks.append(masks[a] | masks[b])
        kinds.append(traits(len(sizes) - 1).astype(np.int64))
        now = counts[-1] - kinds[a] - kinds[b] + kinds[-1]
        if height == heights[-1]:  # a cut includes all merges of its height
            counts[-1] = now
        else:
            heights.append(float(height))
            counts.append(now)
    large, supported, aligned = np.array(counts).T
    return Profile(np.array(heights), large, supported, aligned)
