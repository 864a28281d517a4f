import numpy as np

from expand_and_cluster.reconstruction.collapse import collapse, contributions

VECTORS = np.array(
    [
        [1.0, 2.0, 0.5],  # student 0
        [1.1, 2.0, 0.5],  # student 1
        [1.3, 2.0, 0.5],  # student 1
        [0.0, -3.0, 1.0],  # student 0
        [0.0, -3.5, 1.0],  # student 1
    ]
)
STUDENTS = np.array([0, 1, 1, 0, 1])
CLUSTERS = [np.array([0, 1, 2]), np.array([3, 4])]


def collapsed(vectors, losses, clusters, *, sign_free=False, scale_free=False):
    return collapse(
        vectors,
        STUDENTS,
        np.array(losses),
        clusters,
        sign_free=sign_free,
        scale_free=scale_free,
    )


def test_lowest_loss_decides_and_its_members_are_averaged():
    np.testing.assert_array_equal(collapsed(VECTORS, [1.0, 2.0], CLUSTERS), VECTORS[[0, 3]])
    found = collapsed(VECTORS, [2.0, 1.0], CLUSTERS)
    np.testing.assert_allclose(found, [[1.2, 2.0, 0.5], [0.0, -3.5, 1.0]], rtol=1e-15)


def test_members_are_brought_to_one_sign_first():
    flipped = VECTORS * [[1], [1], [-1], [1], [1]]
    found = collapsed(flipped, [2.0, 1.0], CLUSTERS, sign_free=True)
    np.testing.assert_allclose(found[0], [1.2, 2.0, 0.5], rtol=1e-15)


def test_members_are_brought_to_one_length_first():
    stretched = VECTORS * [[1], [2], [8], [1], [1]]
    unit = VECTORS[[1, 2]] / np.linalg.norm(VECTORS[[1, 2]], axis=1, keepdims=True)
    found = collapsed(stretched, [2.0, 1.0], CLUSTERS, scale_free=True)
    np.testing.assert_allclose(found[0], unit.mean(axis=0), rtol=1e-15)


def test_only_students_within_the_cluster_compete():
    found = collapsed(VECTORS, [5.0, 9.0], [np.array([1, 2])])
    np.testing.assert_allclose(found, [[1.2, 2.0, 0.5]], rtol=1e-15)


def test_no_clusters_give_no_vectors():
    assert collapsed(VECTORS, [1.0, 2.0], []).shape == (0, 3)


def test_contribution_is_the_outputs_share_of_a_neurons_spread():
    activations = np.random.default_rng(0).normal(size=(1000, 2)) * [1.0, 0.1] + [0.0, 50.0]
    outputs = np.array([[3.0, 4.0], [0.0, 2.0]])
    found = contributions(outputs, activations)
    np.testing.assert_allclose(found, [5.0, 2.0] * activations.std(axis=0), rtol=1e-14)
