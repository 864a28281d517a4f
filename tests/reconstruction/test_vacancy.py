"""One neuron is fitted to what others leave, by whatever weights all are read."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares
from tests.reconstruction.planted import distance, gaussian, teacher

from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.vacancy import Vacancy
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData


def planted(activation: str, wrong: float) -> tuple[Network, Workbench, Candidate]:
    """A teacher, a bench of its answers, and its neurons, all wrong by this."""
    source = teacher((6, 5, 4), activation)
    inputs = gaussian(500, 6)
    data = TrainingData(inputs, source(inputs))
    bench = Workbench(data, source.activation, skip=source.activation.leaves_line)
    moved = wrong * np.random.default_rng(2).normal(size=(5, 7))
    return source, bench, bench.start(source.input_vectors + moved, 8)


def first_of(bench: Workbench, candidate: Candidate) -> Vacancy:
    """The place of the first neuron."""
    others = candidate.present.copy()
    others[0] = False
    return Vacancy.of(
        bench, candidate, others, np.asarray(candidate.network.layers[1].weight)[:, 0]
    )


def left_by(vector: np.ndarray, bench: Workbench, candidate: Candidate) -> np.ndarray:
    """What least squares of the first neuron's direction leave, one sample each, by NumPy."""
    network = candidate.network
    way = network.layers[1].weight[:, 0]
    squares = np.sum((network(bench.training.inputs) - bench.training.targets) ** 2, axis=1)
    rows = np.argsort(squares)[: round(0.9 * len(squares))]
    inputs, targets = bench.training.inputs[rows], bench.training.targets[rows]
    vectors = np.vstack([vector, network.input_vectors[candidate.present][1:]])
    values = inputs @ vectors[:, :-1].T + vectors[:, -1]
    with double():
        given = np.asarray(network.activation.function(jnp.asarray(values)))
    design = np.column_stack([given, bench.fixed[rows]])
    target = targets @ way / np.linalg.norm(way)
    return target - design @ np.linalg.lstsq(design, target, rcond=None)[0]


@pytest.mark.parametrize("activation", ["tanh", "g", "softplus"])
def test_errors_are_those_of_least_squares_over_all_neurons(activation):
    _, bench, candidate = planted(activation, 0.1)
    vectors = np.random.default_rng(0).normal(size=(3, 7))
    expected = [np.mean(left_by(vector, bench, candidate) ** 2) for vector in vectors]
    assert first_of(bench, candidate).errors(vectors) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("activation", ["tanh", "g", "softplus"])
def test_without_a_direction_it_is_that_in_which_the_others_leave_most(activation):
    """That of the largest singular value of what least squares of the others leave, by NumPy."""
    _, bench, candidate = planted(activation, 0.1)
    others = candidate.present.copy()
    others[0] = False
    network = candidate.network
    squares = np.sum((network(bench.training.inputs) - bench.training.targets) ** 2, axis=1)
    rows = np.argsort(squares)[: round(0.9 * len(squares))]
    design = np.column_stack([bench.features(network)[:, others], bench.fixed])[rows]
    targets = bench.training.targets[rows]
    left = targets - design @ np.linalg.lstsq(design, targets, rcond=None)[0]
    sizes, ways = np.linalg.eigh(left.T @ left)
    vacancy = Vacancy.of(bench, candidate, others)
    assert abs(vacancy.way @ ways[:, -1]) == pytest.approx(1.0)
    assert vacancy.target @ vacancy.target == pytest.approx(sizes[-1])


@pytest.mark.parametrize("activation", ["tanh", "g", "softplus"])
def test_no_neuron_near_by_leaves_less(activation):
    """Kaufman's Jacobian comes to where SciPy's own differences do."""
    source, bench, candidate = planted(activation, 0.1)
    vacancy = first_of(bench, candidate)
    vector, error = vacancy.fitted(source.input_vectors[0])
    other = least_squares(lambda x: left_by(x, bench, candidate), source.input_vectors[0])
    # It takes no more steps once one leaves 99 % of the error.
    assert error == pytest.approx(2.0 * other.cost / len(other.fun), rel=1e-2)
    assert error == pytest.approx(float(vacancy.errors(vector[None])[0]))


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "g", "softplus"])
def test_among_the_teachers_others_it_is_the_teachers(activation):
    source, bench, candidate = planted(activation, 0.0)
    vacancy = first_of(bench, candidate)
    start = source.input_vectors[0] + 0.2 * np.random.default_rng(0).normal(size=7)
    vector, error = vacancy.fitted(start)
    assert error < 1e-20 < vacancy.errors(start[None])[0]
    assert distance(vector[None], source.input_vectors[:1], source.activation.symmetry) < 1e-8


def test_a_neuron_that_is_never_on_stays():
    _, bench, candidate = planted("relu", 0.0)
    never = np.zeros(7)
    never[-1] = -1.0
    vector, error = first_of(bench, candidate).fitted(never)
    assert np.array_equal(vector, never)
    assert np.isfinite(error)
