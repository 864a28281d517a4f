"""What students of several hidden layers agree on, and what others are grown from."""

import numpy as np
import pytest

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.fitting.result import Fit, StopReason
from expand_and_cluster.reconstruction.deep_consensus import agree, gather_layer, ground_of
from expand_and_cluster.teachers.synthetic import synthetic_deep, synthetic_inputs

ANGLE = np.pi / 12
INPUTS = synthetic_inputs(500, 4, seed=0)


def student(teacher: Network, seed: int) -> Network:
    """The teacher with its first layer in another order and sign, and one neuron of its own."""
    rng = np.random.default_rng(seed)
    first, second = teacher.layers[:2]
    order = rng.permutation(len(first.bias))
    signs = rng.choice([-1.0, 1.0], len(order)) if teacher.activation.name == "tanh" else 1.0
    own = rng.normal(size=(1, 4))
    weight = np.concatenate([signs * first.weight[order].T, own.T], axis=1).T
    layers = (
        Layer(weight, np.append(signs * first.bias[order], rng.normal())),
        Layer(np.column_stack([signs * second.weight[:, order], [1.0, 1.0]]), second.bias),
        *teacher.layers[2:],
    )
    return Network(layers, teacher.activation)


def population_of(teacher: Network, losses: list[float]):
    count = len(losses)
    students = Network.stack([student(teacher, seed) for seed in range(count)])
    steps = np.arange(1)
    curves = np.array(losses)[:, None]
    fit = Fit(students, np.array(losses), steps, curves, (StopReason.STEPS,) * count)
    return gather_layer(fit, 0, INPUTS)


@pytest.mark.parametrize("activation", ["g", "tanh"])
def test_known_neurons_come_with_their_lengths(activation):
    teacher = synthetic_deep((4, 3, 2, 1), seed=1, activation=activation)
    population = population_of(teacher, [1e-3, 2e-3, 5e-3, 4e-3])
    consensus = agree(population, teacher.activation, ANGLE)
    assert consensus is not None
    ground = ground_of(consensus, population, (), teacher.activation, 8)
    wanted = np.column_stack([teacher.layers[0].weight, teacher.layers[0].bias])
    assert len(ground.known) == 3
    for vector in ground.known:
        distances = np.linalg.norm(wanted - vector, axis=1)
        if activation == "tanh":
            distances = np.minimum(distances, np.linalg.norm(wanted + vector, axis=1))
        assert distances.min() < 1e-12
    # Each student's own neuron may be taken along.
    assert len(ground.others) == 4
    assert np.all(ground.weights > 0)
    assert len(ground_of(consensus, population, (), teacher.activation, 2).known) == 2


def test_where_students_have_arrived_nothing_else_is_taken_along():
    teacher = synthetic_deep((4, 3, 2, 1), seed=1)
    population = population_of(teacher, [1e-9, 1e-8, 1e-3, 1e-3])
    np.testing.assert_array_equal(population.imitating, [True, True, False, False])
    consensus = agree(population, teacher.activation, ANGLE)
    assert consensus is not None
    ground = ground_of(consensus, population, (), teacher.activation, 8)
    assert (len(ground.known), len(ground.others)) == (3, 0)


@pytest.mark.parametrize(
    ("losses", "imitating"),
    [
        ([1e-8, 1e-3, 2e-3, 5e-3], [True, True, False, False]),
        ([1e-4, 1e-3, 2e-3, 5e-3], [True, True, True, False]),
        ([1e-8, np.inf, np.inf, np.inf], [True, False, False, False]),
    ],
)
def test_two_students_are_the_least_evidence(losses, imitating):
    teacher = synthetic_deep((4, 3, 2, 1), seed=1)
    np.testing.assert_array_equal(population_of(teacher, losses).imitating, imitating)
