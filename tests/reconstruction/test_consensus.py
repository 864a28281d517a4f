from typing import Any

import numpy as np
import pytest
from tests.reconstruction.planted import Clutter, distance, gaussian, student, teacher

from expand_and_cluster.clusters.cut_rules import paper_height, plateau_height
from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.consensus import find_consensus, gather
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData

CLUTTER = Clutter(duplicates=2, zero_pairs=2, constants=1, idle=1)
OPTIONS: dict[str, Any] = {"min_cluster_fraction": 0.5, "max_cluster_angle": np.pi / 12}


def population_of(source, students, losses, samples=400, *, decayed=False):
    inputs = gaussian(samples, source.input_size)
    bench = Workbench(TrainingData(inputs, source(inputs)), source.activation)
    ensemble = Network.stack(students)
    activations = np.stack([bench.features(one) for one in students])
    return gather(ensemble, np.asarray(losses), activations, inputs, decayed=decayed)


def agree(population, symmetry, **options):
    return find_consensus(
        population,
        sign_free=symmetry.flip is not None,
        scale_free=symmetry.scale_free,
        **{**OPTIONS, **options},
    )


@pytest.mark.parametrize("noise", [0.0, 1e-6])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", ["g", "tanh", "sigmoid", "softplus", "relu"])
def test_students_agree_on_the_teachers_neurons_alone(activation, outputs, noise):
    source = teacher((4, 3, outputs), activation)
    students = [student(source, CLUTTER, seed, noise=noise) for seed in range(6)]
    population = population_of(source, students, np.full(6, 1e-20))
    consensus = agree(population, source.activation.symmetry)
    assert consensus is not None
    assert len(consensus.candidates) == 3
    found, wanted = consensus.candidates, source.input_vectors
    assert distance(found, wanted, source.activation.symmetry) <= 1e-14 + 5 * noise
    # Three neurons and two duplicates in each student; no clutter is in a kept cluster.
    assert np.sum(consensus.selection.labels >= 0) == 6 * 5
    # Two zero types, each twice, in each student; all of them rejected with a reason.
    rejected = consensus.selection.rejected
    assert sum(len(cluster.members) for cluster in rejected) == 6 * 4
    assert all(cluster.reason for cluster in rejected)


@pytest.mark.parametrize(
    ("error", "least"), [(1e-1, 1e-2), (4e-3, 4e-3), (1e-9, 1e-3)], ids=["rough", "fair", "exact"]
)
def test_of_students_with_weight_decay_neurons_take_part_down_to_their_error(error, least):
    source = teacher((4, 3, 1), "g")
    shares = population_of(source, [source], [1e-20]).contribution[0]
    last = source.layers[1]
    for share, kept in ((0.9 * least, 2), (1.1 * least, 3)):
        weight = last.weight.copy()
        weight[:, 1] *= share / shares[1]
        weak = source.replace(layers=(source.layers[0], type(last)(weight, last.bias)))
        population = population_of(source, [weak], [error**2], decayed=True)
        assert population.least_contribution == pytest.approx(least)
        assert len(population.vectors) == kept
        assert population.idle[0, 1] == (kept == 2)


def test_neurons_that_move_nothing_do_not_take_part():
    source = teacher((4, 3, 1), "g")
    students = [student(source, CLUTTER, seed) for seed in range(6)]
    population = population_of(source, students, np.full(6, 1e-20))
    assert len(population.vectors) == 6 * (3 + 2 + 4)
    np.testing.assert_array_equal(population.idle.sum(axis=1), 2)
    assert population.idle.shape == (6, students[0].hidden_widths[0])


def test_students_that_do_not_imitate_do_not_take_part():
    source = teacher((4, 3, 1), "g")
    students = [student(source, Clutter(duplicates=1), seed) for seed in range(4)]
    other = student(teacher((4, 3, 1), "g", seed=9), Clutter(duplicates=1), 5)
    population = population_of(source, [*students, other, other], [1e-20] * 4 + [0.5, np.inf])
    np.testing.assert_array_equal(population.imitating, [True] * 4 + [False] * 2)
    assert set(population.students) == {0, 1, 2, 3}
    consensus = agree(population, source.activation.symmetry, min_cluster_fraction=1.0)
    assert consensus is not None
    assert distance(consensus.candidates, source.input_vectors, source.activation.symmetry) == 0


def test_where_all_are_bad_the_best_still_take_part():
    source = teacher((4, 3, 1), "g")
    students = [student(source, Clutter(), seed) for seed in range(3)]
    population = population_of(source, students, [0.05, 0.02, 0.3])
    np.testing.assert_array_equal(population.imitating, [True, True, False])


def test_coordinates_measure_the_spread_of_pre_activations():
    source = teacher((4, 3, 1), "g")
    students = [student(source, Clutter(), seed) for seed in range(2)]
    population = population_of(source, students, [0.0, 0.0])
    inputs = gaussian(400, 4)
    pre = np.concatenate([inputs, np.ones((400, 1))], axis=1) @ population.vectors.T
    length = np.linalg.norm(population.measured, axis=1)
    np.testing.assert_allclose(length, np.sqrt(np.mean(pre**2, axis=0)), rtol=1e-12)


def test_neurons_of_half_the_students_are_kept_and_of_fewer_are_not():
    source = teacher((4, 4, 1), "g")
    vectors, outputs = source.input_vectors, source.output_vectors

    def without(neuron, seed):
        spare = np.random.default_rng(seed).normal(size=5)
        own = vectors.copy()
        own[neuron] = spare
        return Network.from_arrays(
            [(own[:, :-1], own[:, -1]), (outputs.T, source.layers[1].bias)], "g"
        )

    # Neuron 0 in two of six students, neuron 1 in four, the others in all.
    students = [without(0, seed) for seed in range(4)] + [without(1, seed) for seed in (7, 8)]
    population = population_of(source, students, np.zeros(6))
    consensus = agree(population, source.activation.symmetry)
    assert consensus is not None
    assert distance(consensus.candidates, vectors[1:], source.activation.symmetry) < 1e-14


@pytest.mark.parametrize("rule", [plateau_height, paper_height])
def test_both_rules_give_one_candidate_for_each_neuron_of_clean_students(rule):
    source = teacher((4, 3, 1), "tanh")
    students = [student(source, Clutter(), seed, noise=1e-6) for seed in range(5)]
    population = population_of(source, students, np.full(5, 1e-15))
    consensus = agree(population, source.activation.symmetry, rule=rule)
    assert consensus is not None
    assert len(consensus.candidates) == 3
    assert consensus.tree.shape == (14, 4)
    assert consensus.height >= 0.0


def test_fewer_than_two_neurons_agree_on_nothing():
    source = teacher((4, 1, 1), "g")
    silent = Network.from_arrays(
        [(np.ones((1, 4)), np.zeros(1)), (np.full((1, 1), 1e-9), np.zeros(1))], "g"
    )
    population = population_of(source, [silent, silent], [0.0, 0.0])
    assert len(population.vectors) == 0
    assert agree(population, source.activation.symmetry) is None
