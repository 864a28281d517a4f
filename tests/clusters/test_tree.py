"""The tree and its cuts are those of brute force and of SciPy."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from tests.oracles.clusters import as_sets, partitions

from expand_and_cluster.clusters.dissimilarity import pairwise
from expand_and_cluster.clusters.tree import (
    average_linkage,
    candidate_heights,
    cut,
    in_order_of_appearance,
)
from expand_and_cluster.core.errors import InvalidInputError


@pytest.mark.parametrize("seed", range(5))
def test_every_cut_is_the_brute_force_one(seed):
    rows = np.random.default_rng(seed).normal(size=(14, 3))
    tree = average_linkage(pairwise(rows))
    expected = partitions(squareform(pdist(rows)).tolist())
    np.testing.assert_allclose(tree[:, 2], [h for h, _ in expected[1:]], rtol=1e-12)
    for height, clusters in expected:
        assert as_sets(cut(tree, height * (1 + 1e-9))) == clusters


def test_equals_scipy():
    rows = np.random.default_rng(9).normal(size=(200, 8))
    tree = average_linkage(pairwise(rows))
    theirs = linkage(pdist(rows), "average")
    np.testing.assert_allclose(tree, theirs, rtol=1e-12)
    for height in np.quantile(theirs[:, 2], [0.1, 0.5, 0.9]):
        expected = fcluster(theirs, height, "distance")
        assert as_sets(cut(tree, height)) == as_sets(expected)


def test_height_is_inclusive():
    tree = average_linkage(np.array([1.0]))
    assert cut(tree, np.nextafter(1.0, 0.0)).tolist() == [0, 1]
    assert cut(tree, 1.0).tolist() == [0, 0]


def test_labels_come_in_order_of_first_appearance():
    rows = np.array([[9.0], [0.0], [9.1], [5.0], [0.1]])
    assert cut(average_linkage(pairwise(rows)), 0.2).tolist() == [0, 1, 0, 2, 1]
    assert in_order_of_appearance(np.array([7, -1, 7, 3])).tolist() == [0, 1, 0, 2]


def test_candidate_heights_give_every_partition():
    rows = np.random.default_rng(2).normal(size=(12, 2))
    rows = np.vstack([rows, rows[:3]])  # three merges at height 0
    tree = average_linkage(pairwise(rows))
    heights = candidate_heights(tree)
    assert heights[0] == 0.0
    assert np.all(np.diff(heights) > 0)
    assert [cut(tree, h).max() + 1 for h in heights] == list(range(12, 0, -1))


def test_one_vector():
    tree = average_linkage(pairwise(np.ones((1, 4))))
    assert tree.shape == (0, 4)
    assert cut(tree, 1.0).tolist() == [0]
    assert candidate_heights(tree).tolist() == [0.0]


def test_identical_vectors():
    tree = average_linkage(pairwise(np.ones((5, 4))))
    assert cut(tree, 0.0).tolist() == [0] * 5


@pytest.mark.parametrize(
    ("distances", "words"),
    [
        (np.ones(2), "2 distances"),
        (np.ones((2, 2)), "vector"),
        (np.array([1.0, np.nan, 1.0]), "finite"),
        (np.array([1.0, np.inf, 1.0]), "finite"),
        (np.array([1.0, -1.0, 1.0]), "negative"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_refuses(distances, words):
    with pytest.raises(InvalidInputError, match=words):
        average_linkage(distances)
