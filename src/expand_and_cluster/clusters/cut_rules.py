"""Where to cut the tree: the paper's rule, and one that lasts."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.clusters.dissimilarity import Metric
from expand_and_cluster.clusters.profile import cut_profile, required_support

# Agreement finer than this share of a vector's length counts as exact. Without such a floor the
# students that happen to reach rounding would outvote all others: their copies merge at 1e-15,
# those of a student that stalled at 1e-6 nine decades later, and every plateau between the two
# would look long. Distinct teacher neurons are farther apart than this.
FINEST = 1e-4
# The floor where nothing lies above the first one: double precision.
ROUNDING = 1e-16


@runtime_checkable
class CutRule(Protocol):
    """Chooses the height at which a tree of neurons is cut."""

    def __call__(
        self,
        tree: Float[np.ndarray, "merges 4"],
        vectors: Float[np.ndarray, "neurons size"],
        students: Int[np.ndarray, " neurons"],
        *,
        number_of_students: int,
        min_cluster_fraction: float,
        max_cluster_angle: float,
        sign_free: bool = False,
        metric: Metric = "euclidean",
    ) -> float:
        """The height; see `plateau_height`."""
        ...


def paper_height(
    tree: Float[np.ndarray, "merges 4"],
    vectors: Float[np.ndarray, "neurons size"],
    students: Int[np.ndarray, " neurons"],
    *,
    number_of_students: int,
    min_cluster_fraction: float,
    max_cluster_angle: float,
    sign_free: bool = False,
    metric: Metric = "euclidean",
) -> float:
    """The paper's height: it maximises the number of clusters of enough neurons.

    Neurons are counted, not students, as in the paper. Where several heights give the maximum, the
    paper leaves the choice open; here it is the middle (of the logarithm) of the longest stretch.
    Redundant neurons that stayed near small initial weights can win this count, and duplicates
    within a student can split a neuron in two; `plateau_height` avoids both.

    Args:
        tree: Linkage of the vectors.
        vectors: One row for each neuron.
        students: Which student each neuron belongs to.
        number_of_students: How many students there are (paper: N).
        min_cluster_fraction: Share of that number that a cluster must hold, in (0, 1] (paper:
            gamma).
        max_cluster_angle: Largest angle of a cluster in radians (paper: beta); here it only
            bounds the height for a tree that is a single cluster.
        sign_free: Whether v and -v are the same neuron. Default False.
        metric: Metric of the tree. Default "euclidean".

    Returns:
        The height; 0 if no cut gives a cluster of enough neurons.

    Source:
        A.3, the cut height as the argmax of |C(h, gamma N)|.
    """
    profile = cut_profile(
        tree,
        vectors,
        students,
        required=required_support(number_of_students, min_cluster_fraction),
        max_cluster_angle=max_cluster_angle,
        sign_free=sign_free,
    )
    counts = np.where(profile.large == profile.large.max(), profile.large, 0)
    stretch = _Stretches(profile.heights, counts, vectors, max_cluster_angle, metric)
    return stretch.middle_of_best(weighted=False)


def plateau_height(
    tree: Float[np.ndarray, "merges 4"],
    vectors: Float[np.ndarray, "neurons size"],
    students: Int[np.ndarray, " neurons"],
    *,
    number_of_students: int,
    min_cluster_fraction: float,
    max_cluster_angle: float,
    sign_free: bool = False,
    metric: Metric = "euclidean",
) -> float:
    """The height in the middle of the most lasting set of clusters.

    Students agree on a teacher neuron far more closely than teacher neurons lie to each other, so
    the right clusters survive over a long stretch of heights and accidental ones do not. Counted
    are the clusters that hold neurons of enough *distinct* students (duplicates within a student
    support nothing) and whose mean pairwise cosine stays above that of the largest angle: a heap
    of redundant neurons near small initial weights, or of everything, points nowhere. The
    stretches of equal count are weighed by their length in log height times the count, the summed
    life of their clusters: a neuron too many is dropped later, one too few cannot be found again.

    Heights count relative to the median length of the vectors (for the cosine, as chords of the
    unit sphere). Below 1e-4 all agreement is the same, also exact agreement at height 0. The
    single cluster above the root lasts up to the chord of the largest angle and no farther, so
    that a teacher with one neuron is found but never wins by infinity.

    Args:
        tree: Linkage of the vectors.
        vectors: One row for each neuron.
        students: Which student each neuron belongs to.
        number_of_students: How many students there are (paper: N).
        min_cluster_fraction: Share of them that must support a cluster, in (0, 1] (paper: gamma).
        max_cluster_angle: Largest angle of a cluster in radians (paper: beta).
        sign_free: Whether v and -v are the same neuron. Default False.
        metric: Metric of the tree. Default "euclidean".

    Returns:
        The height. If no cut gives an aligned cluster, alignment is not asked for, so that the
        selection can say by how much clusters fail; 0 if no cluster has enough students either.

    Source:
        Takes the place of the argmax of A.3.
    """
    profile = cut_profile(
        tree,
        vectors,
        students,
        required=required_support(number_of_students, min_cluster_fraction),
        max_cluster_angle=max_cluster_angle,
        sign_free=sign_free,
    )
    counts = profile.aligned if profile.aligned.any() else profile.supported
    stretch = _Stretches(profile.heights, counts, vectors, max_cluster_angle, metric)
    return stretch.middle_of_best(weighted=True)


class _Stretches:
    """Heights over which a count stays the same, as relative chords on a logarithmic scale."""

    def __init__(
        self,
        heights: np.ndarray,
        counts: np.ndarray,
        vectors: np.ndarray,
        max_cluster_angle: float,
        metric: Metric,
    ) -> None:
        self.metric = metric
        self.scale = _median_length(vectors) if metric == "euclidean" else 1.0
        chords = heights / self.scale if metric == "euclidean" else np.sqrt(2.0 * heights)
        starts = np.flatnonzero(np.diff(counts, prepend=-1))
        self.counts = counts[starts]
        self.begin = chords[starts]
        top = 2.0 * np.sin(0.5 * max_cluster_angle)
        self.end = np.append(chords[starts[1:]], max(chords[-1], top))

    def middle_of_best(self, *, weighted: bool) -> float:
        """Height in the middle of the longest stretch, or 0 where every count is 0."""
        found = self.counts > 0
        for floor in (FINEST, ROUNDING):
            begin = np.log(np.maximum(self.begin, floor))
            end = np.log(np.maximum(self.end, floor))
            worth = (end - begin) * (self.counts if weighted else found)
            # Of equals the last: more members in each cluster.
            best = len(worth) - 1 - int(np.argmax(worth[::-1]))
            if worth[best] > 0:
                chord = float(np.exp(0.5 * (begin[best] + end[best])))
                return chord * self.scale if self.metric == "euclidean" else 0.5 * chord * chord
        return 0.0


def _median_length(vectors: np.ndarray) -> float:
    # The median: a few neurons with giant weights must not set the scale.
    largest = float(np.max(np.abs(vectors)))
    if largest == 0:
        return 1.0
    return largest * (float(np.median(np.linalg.norm(vectors / largest, axis=1))) or 1.0)
