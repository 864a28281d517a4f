"""Inputs that hardly any pair shows: their weights are the smallest that explain these pairs."""

import time

import numpy as np
import pytest
from scipy.optimize import minimize
from tests.reconstruction.planted import images
from tests.reconstruction.test_missing_neurons import a_network

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.queries.common_pairs import Shown
from expand_and_cluster.reconstruction import rare_inputs as module
from expand_and_cluster.reconstruction.rare_inputs import (
    least_shown,
    rare_inputs,
    with_least_weights,
)
from expand_and_cluster.students.training import TrainingData

USUAL = 0.25
RARE = np.array([2, 5])


def some_data(teacher: Network) -> TrainingData:
    """Two of seven inputs are at their usual value but in one sample, and in two."""
    inputs = np.random.default_rng(0).normal(size=(500, 7))
    inputs[:, RARE] = USUAL
    inputs[3, 2], inputs[4, 5], inputs[5, 5] = 1.5, -1.0, 2.0
    return TrainingData(inputs, teacher(inputs))


def disturbed(teacher: Network, seed: int = 1) -> Network:
    """As a student: what its weights of rare inputs are, nothing has told."""
    first = teacher.layers[0]
    weight = first.weight.copy()
    weight[:, RARE] += np.random.default_rng(seed).normal(size=weight[:, RARE].shape)
    # At their usual value the inputs do what they did.
    bias = first.bias - (weight - first.weight)[:, RARE] @ np.full(2, USUAL)
    return teacher.replace(layers=(Layer(weight, bias), *teacher.layers[1:]))


def mask() -> np.ndarray:
    return np.isin(np.arange(7), RARE)


def test_which_inputs_are_rare():
    inputs = some_data(a_network((7, 6, 3), "tanh", 0)).inputs
    np.testing.assert_array_equal(rare_inputs(Shown(inputs), neurons=6, outputs=3), mask())
    # A single neuron has one weight for each: two samples with three outputs tell it.
    assert not rare_inputs(Shown(inputs), neurons=1, outputs=3).any()
    inputs[:, 0] = 1.0
    assert not rare_inputs(Shown(inputs), neurons=6, outputs=3)[0]  # Never varies: another matter.


@pytest.mark.parametrize("widths", [(7, 6, 3), (7, 6, 4, 2)])
@pytest.mark.parametrize("activation", ["tanh", "g"])
def test_pairs_are_explained_and_weights_are_small(widths: tuple[int, ...], activation: str):
    teacher = a_network(widths, activation, 11)
    data = some_data(teacher)
    found = with_least_weights(disturbed(teacher), data, mask())
    np.testing.assert_allclose(found(data.inputs), data.targets, atol=1e-10)
    size = np.linalg.norm(found.layers[0].weight[:, RARE])
    assert size <= np.linalg.norm(teacher.layers[0].weight[:, RARE]) + 1e-9
    again = with_least_weights(disturbed(teacher, seed=2), data, mask())
    np.testing.assert_allclose(again.layers[0].weight, found.layers[0].weight, atol=1e-10)


def test_no_smaller_weights_nearby_explain_them():
    """SciPy's constrained minimum of the same squares."""
    teacher = a_network((7, 6, 3), "tanh", 4)
    data = some_data(teacher)
    found = with_least_weights(disturbed(teacher), data, mask())
    shown, targets = data.inputs[3:6], data.targets[3:6]
    first = teacher.layers[0]
    resting = first.bias + first.weight[:, RARE] @ np.full(2, USUAL)

    def missed(flat: np.ndarray) -> np.ndarray:
        weight = first.weight.copy()
        weight[:, RARE] = flat.reshape(6, 2)
        bias = resting - weight[:, RARE] @ np.full(2, USUAL)
        moved = teacher.replace(layers=(Layer(weight, bias), teacher.layers[1]))
        return (moved(shown) - targets).ravel()

    own = found.layers[0].weight[:, RARE].ravel()
    least = minimize(
        lambda flat: flat @ flat,
        own + 0.1 * np.random.default_rng(0).normal(size=12),
        jac=lambda flat: 2.0 * flat,
        constraints={"type": "eq", "fun": missed},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    assert least.success
    np.testing.assert_allclose(own, least.x, atol=1e-5)


def test_weights_that_explain_the_pairs_are_kept_where_none_are_found_from_zero():
    """A relu neuron that zero leaves off is out of reach."""
    teacher = a_network((7, 6, 3), "relu", 4)
    data = some_data(teacher)
    assert with_least_weights(teacher, data, mask()) is teacher


def test_inputs_shown_a_little_more_often_are_solved_for_along_with_them():
    """What their weights are off by, large weights of rare inputs would explain."""
    teacher = a_network((7, 6, 3), "tanh", 4)
    data = some_data(teacher)
    data.inputs[:, 0] = USUAL
    data.inputs[4:16, 0] = np.random.default_rng(2).normal(size=12)
    data = TrainingData(data.inputs, teacher(data.inputs))
    assert not rare_inputs(data.shown, neurons=6, outputs=3)[0]
    start = disturbed(teacher)
    off = start.layers[0].weight.copy()
    off[:, 0] += 0.01
    bias = start.layers[0].bias - 0.01 * USUAL
    start = start.replace(layers=(Layer(off, bias), start.layers[1]))
    found = with_least_weights(start, data, mask())
    np.testing.assert_allclose(found(data.inputs), data.targets, atol=1e-10)
    exact = teacher.layers[0].weight[:, 0]
    np.testing.assert_allclose(found.layers[0].weight[:, 0], exact, atol=1e-8)


@pytest.mark.parametrize(
    ("most", "along"), [(8, [0, 1]), (38, []), (39, [0]), (80, [0]), (81, [0, 1])]
)
def test_as_many_seldom_shown_inputs_go_along_as_equations_can_be_solved(
    monkeypatch: pytest.MonkeyPatch, most: int, along: list[int]
):
    """Thirteen pairs with three outputs show a rare input or the first, 27 the second, too.

    Those of rare ones alone are nine.
    """
    data = some_data(a_network((7, 6, 3), "tanh", 4))
    data.inputs[:, :2] = USUAL
    data.inputs[4:16, 0], data.inputs[16:30, 1] = 1.0, -1.0
    # With more weights of rare inputs than go along with others, matrices are of equations.
    monkeypatch.setattr(module, "ALONG", 1)
    monkeypatch.setattr(module, "MOST", most)
    # As many neurons as make equations fewer than weights.
    found = module._seldom(data, mask(), neurons=60)
    np.testing.assert_array_equal(np.flatnonzero(found), along)


@pytest.mark.parametrize("cap", ["MOST", "ALONG"])
@pytest.mark.parametrize("most", [12, 23, 40])
def test_rare_inputs_alone_are_explained_where_others_are_too_many(
    monkeypatch: pytest.MonkeyPatch, cap: str, most: int
):
    """Three inputs are seldom shown, by 15 pairs with three outputs; two are rare, by three."""
    teacher = a_network((7, 6, 3), "tanh", 4)
    data = some_data(teacher)
    data.inputs[:, 0], data.inputs[4:16, 0] = USUAL, np.random.default_rng(2).normal(size=12)
    data = TrainingData(data.inputs, teacher(data.inputs))
    monkeypatch.setattr(module, cap, most)
    found = with_least_weights(disturbed(teacher), data, mask())
    np.testing.assert_allclose(found(data.inputs), data.targets, atol=1e-10)


@pytest.mark.parametrize("written_out", [True, False])
@pytest.mark.parametrize(("rows", "inputs"), [(3, 9), (20, 4)])
def test_smallest_weights_are_those_of_a_written_out_jacobian(
    monkeypatch: pytest.MonkeyPatch, rows: int, inputs: int, written_out: bool
):
    """Whether equations or weights are fewer, and where both are too many for a matrix."""
    if not written_out:
        monkeypatch.setattr(module, "MOST", 0)
        monkeypatch.setattr(module, "CLOSE", 1e-13)
    rng = np.random.default_rng(rows)
    slopes, offsets = rng.normal(size=(rows, 2, 5)), rng.normal(size=(rows, inputs))
    weights, left = rng.normal(size=(5, inputs)), rng.normal(size=(rows, 2))
    jacobian = np.einsum("roi,rp->roip", slopes, offsets).reshape(rows * 2, -1)
    right = left.ravel() + jacobian @ weights.ravel()
    shift = 1e-3
    wide = np.vstack([jacobian, np.sqrt(shift) * np.eye(weights.size)])
    least = np.linalg.lstsq(wide, np.concatenate([right, np.zeros(weights.size)]), rcond=None)[0]
    found = module._smallest(slopes, offsets, weights, left, shift)
    np.testing.assert_allclose(found.ravel(), least, atol=1e-8)


def test_noise_is_not_explained_by_large_weights():
    teacher = a_network((7, 6, 3), "tanh", 3)
    exact = some_data(teacher)
    noise = 0.1 * np.random.default_rng(5).normal(size=exact.targets.shape)
    found = with_least_weights(
        disturbed(teacher), TrainingData(exact.inputs, exact.targets + noise), mask()
    )
    size = np.linalg.norm(found.layers[0].weight[:, RARE])
    assert size < 1.5 * np.linalg.norm(teacher.layers[0].weight[:, RARE])


def test_a_network_is_left_alone_where_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch):
    teacher = a_network((7, 6, 3), "tanh", 3)
    data = some_data(teacher)
    start = disturbed(teacher)
    assert with_least_weights(start, data, np.zeros(7, bool)) is start
    monkeypatch.setattr(module, "MOST", 5)
    monkeypatch.setattr(module, "MOST_EQUATIONS", 8)
    assert with_least_weights(start, data, mask()) is start


def test_pairs_are_explained_without_a_matrix_of_equations(monkeypatch: pytest.MonkeyPatch):
    teacher = a_network((7, 6, 3), "tanh", 11)
    data = some_data(teacher)
    exact = with_least_weights(disturbed(teacher), data, mask())
    monkeypatch.setattr(module, "MOST", 5)
    found = with_least_weights(disturbed(teacher), data, mask())
    np.testing.assert_allclose(found(data.inputs), data.targets, atol=1e-10)
    np.testing.assert_allclose(found.layers[0].weight, exact.layers[0].weight, atol=1e-6)


@pytest.mark.parametrize("past", [False, True])
def test_no_step_begins_after_the_first_when_time_is_up(past: bool):
    teacher = a_network((7, 6, 3), "tanh", 11)
    data, steps = some_data(teacher), []
    deadline = time.monotonic() - 1.0 if past else None
    with_least_weights(disturbed(teacher), data, mask(), steps.append, deadline)
    # The last report is of what the last step left.
    assert (len(steps) == 2) == past


def test_as_many_inputs_are_left_for_small_weights_as_can_be_solved_for(
    monkeypatch: pytest.MonkeyPatch,
):
    shown = Shown(images(500, 4, 12, 5, 3))
    network = a_network((7, 6, 3), "tanh", 0)
    # Thirteen samples would tell a weight by 6.5 outputs, six by three; 18 or 12 weights are open.
    assert least_shown(shown, network) == 13
    monkeypatch.setattr(module, "MOST", 17)
    assert least_shown(shown, network) == 6
