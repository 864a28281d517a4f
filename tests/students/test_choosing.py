"""Chosen questions against brute force: derivatives by differences, determinants one by one."""

import itertools

import numpy as np
import pytest
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.fitting.jacobian import jacobian
from expand_and_cluster.students.choosing import (
    RIDGE,
    most_disputed,
    nearest_to_uncertain_hyperplanes,
    weakest_directions_first,
)


def weights_of(network: Network) -> np.ndarray:
    last = network.layers[1]
    outgoing = np.concatenate([last.weight, last.bias[:, None]], axis=1)
    return np.concatenate([network.input_vectors.ravel(), outgoing.ravel()])


def with_weights(network: Network, values: np.ndarray) -> Network:
    width, size = network.input_vectors.shape
    inner, outer = values[: width * size].reshape(width, size), values[width * size :]
    outer = outer.reshape(network.output_size, width + 1)
    layers = (Layer(inner[:, :-1], inner[:, -1]), Layer(outer[:, :-1], outer[:, -1]))
    return network.replace(layers=layers)


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_jacobian_agrees_with_differences(activation):
    network, inputs = teacher((3, 4, 2), activation), gaussian(5, 3)
    values, step = weights_of(network), 1e-6
    columns = []
    for k in range(len(values)):
        move = step * (np.arange(len(values)) == k)
        up, down = (with_weights(network, values + s * move)(inputs) for s in (1, -1))
        columns.append((up - down) / (2 * step))
    np.testing.assert_allclose(jacobian(network, inputs), np.stack(columns, axis=-1), atol=1e-8)


def test_each_question_raises_the_determinant_most():
    network = teacher((2, 2, 2), "tanh")
    asked, candidates = gaussian(8, 2), gaussian(12, 2, seed=1)
    chosen = weakest_directions_first(network, asked, candidates, 3)
    flat = jacobian(network, asked).reshape(-1, len(weights_of(network)))
    gram = flat.T @ flat
    gram = gram + RIDGE * np.linalg.eigvalsh(gram)[-1] * np.eye(len(gram))
    rows = jacobian(network, candidates)
    for k, best in enumerate(chosen):
        left = np.setdiff1d(np.arange(12), chosen[:k])
        # Of equal order as the trace of the surprise, which the choice is by, for one output; for
        # two, the trace itself.
        surprise = [np.trace(rows[i] @ np.linalg.solve(gram, rows[i].T)) for i in left]
        assert left[np.argmax(surprise)] == best
        gram = gram + rows[best].T @ rows[best]


def test_one_output_is_the_greedy_d_optimal_design():
    network = teacher((2, 2, 1), "tanh")
    asked, candidates = gaussian(12, 2), gaussian(9, 2, seed=1)
    first = weakest_directions_first(network, asked, candidates, 1)[0]
    flat = jacobian(network, asked)[:, 0]
    rows = jacobian(network, candidates)[:, 0]
    values = [np.linalg.slogdet(flat.T @ flat + np.outer(row, row))[1] for row in rows]
    assert first == np.argmax(values)


def test_disagreement_chooses_where_students_differ():
    student = teacher((2, 3, 1), "tanh")
    first, last = student.layers
    other = student.replace(layers=(first, Layer(last.weight * np.array([[1, 1, 3]]), last.bias)))
    layers = [
        Layer(np.stack([a.weight, b.weight]), np.stack([a.bias, b.bias]))
        for a, b in zip(student.layers, other.layers, strict=True)
    ]
    pair = student.replace(layers=tuple(layers))
    candidates = gaussian(400, 2)
    chosen = most_disputed(pair, candidates, 40, seed=0)
    assert len(set(chosen)) == 40
    variance = pair(candidates).var(axis=0).sum(axis=1)
    assert variance[chosen].mean() > 1.3 * variance.mean()
    np.testing.assert_array_equal(chosen, most_disputed(pair, candidates, 40, seed=0))


def test_students_that_agree_leave_the_choice_open():
    student = teacher((2, 3, 1), "tanh")
    layers = tuple(
        Layer(np.stack([layer.weight] * 2), np.stack([layer.bias] * 2)) for layer in student.layers
    )
    chosen = most_disputed(student.replace(layers=layers), gaussian(50, 2), 50, seed=0)
    assert sorted(chosen) == list(range(50))


def test_uncertain_hyperplanes_draw_questions_near_them():
    network = Network.from_arrays(
        [(np.eye(2), np.array([0.0, -2.5])), (np.ones((1, 2)), np.zeros(1))], "tanh"
    )
    # Few of the first questions are near the second hyperplane, far out.
    asked = gaussian(200, 2)
    grid = np.array(list(itertools.product(np.linspace(-3, 3, 25), repeat=2)))
    chosen = nearest_to_uncertain_hyperplanes(network, asked, grid, 60, seed=0)
    first, second = np.abs(grid[chosen, 0]), np.abs(grid[chosen, 1] - 2.5)
    assert np.mean(second < 0.5) > 0.7
    assert np.mean(first < 0.5) < 0.5
