"""Clusters of neurons whose activations differ."""

import numpy as np
from scipy.cluster.hierarchy import is_monotonic, is_valid_linkage
from tests.reconstruction.planted import gaussian

from expand_and_cluster.clusters.tree import cut
from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.consensus import gather
from expand_and_cluster.reconstruction.consensus_by_kind import consensus_by_kind
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData

NAMES = ("tanh", "relu", "tanh", "relu", "tanh", "relu")


def students(count, noise=1e-6):
    """Neurons 0, 1 and 3 are shared, up to sign and scale; of 2 and 4, 5 each has its own."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(6, 4))
    # A relu neuron with the input vector of a tanh neuron is another neuron.
    shared[1] = shared[0]
    made = []
    for _ in range(count):
        vectors = shared.copy()
        vectors[[2, 4, 5]] = 2.0 * rng.normal(size=(3, 4))
        vectors[[0, 1, 3]] += noise * rng.normal(size=(3, 4))
        vectors[[0, 1, 3]] *= rng.choice([-1.0, 1.0], size=3)[:, None]
        vectors[[1, 3]] *= rng.uniform(0.3, 3.0, size=2)[:, None]
        layers = [(vectors[:, :3], vectors[:, 3]), (np.ones((1, 6)), [0.0])]
        made.append(Network.from_arrays(layers, NAMES))
    return Network.stack(made), shared


def clustered(count=5):
    ensemble, shared = students(count)
    inputs = gaussian(300, 3)
    bench = Workbench(TrainingData(inputs, np.zeros((300, 1))), ensemble.activation)
    seen = np.stack([bench.features(ensemble.student(i)) for i in range(count)])
    population = gather(ensemble, np.full(count, 1e-12), seen, inputs)
    found = consensus_by_kind(
        population, ensemble.activation, min_cluster_fraction=0.8, max_cluster_angle=0.1
    )
    assert found is not None
    return population, found, shared


def partition(labels):
    return {frozenset(np.flatnonzero(labels == label)) for label in labels}


def test_each_kind_is_clustered_as_its_symmetry_asks():
    _, found, shared = clustered()
    assert found.activation is not None
    names = [found.activation.of(k).name for k in range(len(found.candidates))]
    assert sorted(names) == ["relu", "relu", "tanh"]
    for name, vector in zip(names, found.candidates, strict=True):
        wanted = shared[[0]] if name == "tanh" else shared[[1, 3]]
        cosines = wanted @ vector / np.linalg.norm(wanted, axis=1) / np.linalg.norm(vector)
        assert np.abs(cosines).max() > 1.0 - 1e-9


def test_the_joint_tree_is_a_linkage_whose_cut_gives_the_clusters():
    population, found, _ = clustered()
    assert is_valid_linkage(found.tree)
    assert is_monotonic(found.tree)
    assert len(found.tree) == len(population.vectors) - 1
    kept = found.selection.labels >= 0
    labels = cut(found.tree, found.height)
    assert partition(labels[kept]) == partition(found.selection.labels[kept])
    assert len(set(labels)) == len(found.selection.clusters) + len(found.selection.rejected)
    for number, cluster in enumerate(found.selection.clusters):
        np.testing.assert_array_equal(
            np.flatnonzero(found.selection.labels == number), cluster.members
        )
