"""Which clusters are teacher neurons, and why the others are not."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.clusters.dissimilarity import angles, checked_vectors, pairwise
from expand_and_cluster.clusters.profile import (
    check_angle,
    checked_members,
    required_support,
)
from expand_and_cluster.clusters.tree import in_order_of_appearance
from expand_and_cluster.core.errors import InvalidInputError


@dataclass(frozen=True)
class Cluster:
    """A kept cluster: one neuron as several students found it.

    Attributes:
        members: Rows of its neurons, increasing.
        students: The distinct students that hold it, increasing.
        angle: Median angle between its members in radians; 0 for a single member.
    """

    members: Int[np.ndarray, " members"]
    students: Int[np.ndarray, " supporting_students"]
    angle: float


@dataclass(frozen=True)
class RejectedCluster:
    """A cluster that was not kept.

    Attributes:
        members: Rows of its neurons, increasing.
        reason: Why, with the numbers.
    """

    members: Int[np.ndarray, " members"]
    reason: str


@dataclass(frozen=True)
class Selection:
    """Kept and rejected clusters.

    Attributes:
        clusters: Kept clusters, in order of their first member.
        labels: For every neuron the index of its kept cluster, or -1.
        rejected: Every other cluster with its reason.
    """

    clusters: tuple[Cluster, ...]
    labels: Int[np.ndarray, " neurons"]
    rejected: tuple[RejectedCluster, ...]

    @property
    def angles(self) -> Float[np.ndarray, " clusters"]:
        """Median within-cluster angles of the kept clusters in radians."""
        return np.array([cluster.angle for cluster in self.clusters], dtype=np.float64)


def select(
    vectors: Float[np.ndarray, "neurons size"],
    students: Int[np.ndarray, " neurons"],
    labels: Int[np.ndarray, " neurons"],
    *,
    number_of_students: int,
    min_cluster_fraction: float,
    max_cluster_angle: float,
    sign_free: bool = False,
) -> Selection:
    """Keep the clusters that enough students support and whose members point the same way.

    Args:
        vectors: One row for each neuron.
        students: Which student each neuron belongs to. Support counts distinct students, so that
            duplicates within a student support nothing (the paper counts neurons).
        labels: Cluster of each neuron, as `cut` gives it.
        number_of_students: How many students there are (paper: N).
        min_cluster_fraction: Share of them that must support a cluster, in (0, 1] (paper: gamma).
        max_cluster_angle: Largest median within-cluster angle in radians (paper: beta).
        sign_free: Whether v and -v are the same neuron. Default False.

    Returns:
        Every cluster once, kept or rejected.

    Raises:
        InvalidInputError: The arrays' lengths differ, or a setting is out of its range.

    Source:
        A.3 (clusters smaller than gamma N, and clusters wider than beta, are removed).
    """
    rows = checked_vectors(vectors)
    students = checked_members(rows, students, "students")
    ordered = in_order_of_appearance(checked_members(rows, labels, "labels"))
    required = required_support(number_of_students, min_cluster_fraction)
    check_angle(max_cluster_angle)
    present = np.unique(students).size
    if present > number_of_students:
        raise InvalidInputError(
            f"number_of_students={number_of_students}, but neurons of {present} students came."
        )
    kept: list[Cluster] = []
    rejected: list[RejectedCluster] = []
    chosen = np.full(len(rows), -1, dtype=np.int64)
    groups = np.split(np.argsort(ordered, kind="stable"), np.cumsum(np.bincount(ordered))[:-1])
    for members in groups:
        support = np.unique(students[members])
        if support.size < required:
            reason = (
                f"supported by {support.size} of {number_of_students} students, "
                f"fewer than the {required} required"
            )
            rejected.append(RejectedCluster(members, reason))
            continue
        angle = median_angle(rows[members], sign_free=sign_free)
        if angle > max_cluster_angle:
            reason = f"median angle {angle:.3g} rad exceeds {max_cluster_angle:.3g} rad"
            rejected.append(RejectedCluster(members, reason))
            continue
        chosen[members] = len(kept)
        kept.append(Cluster(members, support, angle))
    return Selection(tuple(kept), chosen, tuple(rejected))


def median_angle(vectors: Float[np.ndarray, "members size"], *, sign_free: bool = False) -> float:
    """Median angle over all pairs of a cluster's vectors, in radians.

    Args:
        vectors: One row for each member; a zero vector is at a right angle to everything.
        sign_free: Whether v and -v are the same neuron. Default False.

    Returns:
        The angle; 0 for a single member.
    """
    if len(vectors) < 2:
        return 0.0
    pairs = angles(pairwise(vectors, metric="cosine", sign_free=sign_free))
    return float(np.median(pairs, overwrite_input=True))
