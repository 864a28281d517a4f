"""Products, preconditioner and damped steps against the matrix written out."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fitting.problems import solve_step
from tests.oracles.reduced import Reduced, in_coordinates, reduced
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.network import Layer
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting import projection
from expand_and_cluster.fitting.conjugate_gradients import (
    RIDGE,
    Curvature,
    blocks_at,
    by_blocks,
    by_transposes,
    curvature_at,
    inverse_factors,
    product,
)
from expand_and_cluster.fitting.projection import evaluate, frame_of, network_at, slopes_gradient

# One program for all products of a shape.
multiply = jax.jit(product, static_argnames="refined")

SAMPLES = 62
NEURONS = 5
SOME = np.array([1.0, 1.0, 0.0, 1.0, 0.0])
# Activation, outputs, skip, neurons that take part.
CASES = [
    ("g", 3, False, None),
    ("tanh", 1, False, None),
    ("tanh", 3, True, SOME),
    ("relu", 3, False, SOME),
    ("gelu", 1, True, None),
]


class Case(NamedTuple):
    """One point, its curvature in both precisions, and the same written out."""

    root: np.ndarray
    gradient: np.ndarray
    curvature: Curvature
    single: Curvature
    blocks: jax.Array
    single_blocks: jax.Array
    dense: Reduced
    outputs: int

    @property
    def matrix(self):
        return in_coordinates(self.dense.matrix, self.root, NEURONS)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def case(request):
    activation, outputs, skip, present = request.param
    network = teacher((4, NEURONS, outputs), activation)
    if skip:
        network = network.replace(skip=Layer(np.zeros((outputs, 4)), np.zeros(outputs)))
    inputs = gaussian(SAMPLES, 4) * np.array([1.0, 0.3, 1.0, 2.0]) + 0.2
    targets = network(inputs) + np.random.default_rng(5).normal(size=(SAMPLES, outputs))
    there = np.ones(NEURONS) if present is None else present
    with pytest.MonkeyPatch.context() as patch, double():
        # Four blocks, two rows of filling.
        patch.setattr(projection, "ROWS", 16)
        frame = frame_of(inputs, targets, skip=skip)
        vectors = jnp.asarray(network.input_vectors)
        point = evaluate(vectors, jnp.asarray(there), frame, network.activation)
        found = network_at(vectors, point, network)
        return Case(
            np.asarray(frame.root),
            np.asarray(slopes_gradient(point, frame)),
            curvature_at(point, frame, jnp.float64),
            curvature_at(point, frame, jnp.float32),
            blocks_at(point, frame, jnp.float64),
            blocks_at(point, frame, jnp.float32),
            reduced(found, inputs, targets, present=present),
            outputs,
        )


def moves(count):
    return np.random.default_rng(2).normal(size=(count, NEURONS, 5))


def diagonal_over_directions(matrix):
    """(directions, neurons, neurons) of a matrix over (neuron, direction)."""
    split = matrix.reshape(NEURONS, 5, NEURONS, 5)
    return np.einsum("kili->ikl", split)


def solved(case, damping, *, tolerance=1e-13, iterations=500):
    with double():
        damping = jnp.asarray(damping)
        move, decrease, taken = solve_step(
            case.curvature,
            jnp.asarray(case.gradient),
            damping,
            jnp.asarray(tolerance),
            jnp.asarray(iterations),
            inverse_factors(case.blocks, damping * case.curvature.metric),
        )
    return np.asarray(move), float(decrease), int(taken)


def test_product_is_that_of_the_matrix_written_out(case):
    size = np.abs(case.matrix).max()
    for move in moves(3):
        wanted = (case.matrix @ move.ravel()).reshape(move.shape)
        with double():
            found = np.asarray(multiply(case.curvature, jnp.asarray(move)))
            refined = np.asarray(multiply(case.curvature, jnp.asarray(move), refined=True))
            rough = np.asarray(multiply(case.single, jnp.asarray(move, jnp.float32)))
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-9 * size)
        np.testing.assert_allclose(refined, wanted, rtol=1e-8, atol=1e-12 * size)
        assert rough.dtype == np.float32
        # Projecting the output weights out cancels digits of the seven that float32 has.
        np.testing.assert_allclose(rough, wanted, rtol=1e-3, atol=1e-4 * size)


def test_refined_product_leaves_nothing_of_moves_that_output_weights_undo():
    """A constant neuron's bias beside the output's bias; the ridge alone leaves 1e-14 of it."""
    network = teacher((4, NEURONS, 2), "tanh")
    vectors = network.input_vectors.copy()
    vectors[1, :4] = 0.0
    inputs = gaussian(SAMPLES, 4)
    with double():
        frame = frame_of(inputs, network(inputs))
        point = evaluate(jnp.asarray(vectors), jnp.ones(NEURONS), frame, network.activation)
        curvature = curvature_at(point, frame, jnp.float64)
        blocks = np.asarray(blocks_at(point, frame, jnp.float64))
        # The move that changes this bias alone.
        move = np.zeros((NEURONS, 5))
        move[1] = np.linalg.pinv(np.asarray(frame.root))[:, 4]
        size = np.abs(blocks[:, 1, 1]).max() * np.abs(move).max()
        assert size > 1e-3
        found = np.asarray(multiply(curvature, jnp.asarray(move), refined=True))
    np.testing.assert_allclose(found, 0.0, atol=1e-15 * size)


def test_blocks_are_the_matrix_without_projection_between_equal_directions(case):
    wanted = diagonal_over_directions(in_coordinates(case.dense.whole, case.root, NEURONS))
    for summed in (case.blocks, case.single_blocks):
        blocks = np.asarray(summed, np.float64)
        # Sums of products in float32, and the ridge.
        np.testing.assert_allclose(blocks, wanted, atol=1e-5 * np.abs(wanted).max())
        assert np.linalg.eigvalsh(blocks).min() > 0.1 * RIDGE * 1e-6 * np.abs(wanted).max()


def test_damping_holds_on_to_the_weights_as_they_are(case):
    metric = np.asarray(case.curvature.metric)
    ratios = []
    for move in moves(3):
        raw = move @ case.root.T
        ratios.append(np.sum(metric * move**2) / np.sum(raw**2))
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-6)
    # In units of the mean curvature: a move of typical variance costs about as much as it changes.
    variance = 1.0 / np.sum(case.root**2, axis=0)
    curved = np.trace(in_coordinates(case.dense.whole, case.root, NEURONS)) / metric.size / NEURONS
    # Sums are made in float32.
    assert ratios[0] == pytest.approx(curved * variance.mean(), rel=1e-3)


def test_factors_invert_the_damped_blocks(case):
    damping = 0.1
    with double():
        half = inverse_factors(case.blocks, damping * case.curvature.metric)
        move = moves(1)[0]
        found = np.asarray(by_transposes(half, by_blocks(half, jnp.asarray(move))))
    shift = damping * np.asarray(case.curvature.metric)[:, None, None] * np.eye(NEURONS)
    damped = np.asarray(case.blocks) + shift
    wanted = np.linalg.solve(damped, move.T[:, :, None])[:, :, 0].T
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11 * np.abs(wanted).max())


@pytest.mark.parametrize("damping", [1e-3, 1.0])
def test_step_solves_the_damped_system(case, damping):
    move, decrease, taken = solved(case, damping)
    metric = np.tile(np.asarray(case.curvature.metric), NEURONS)
    damped = case.matrix + damping * np.diag(metric)
    wanted = -np.linalg.solve(damped, case.gradient.ravel()).reshape(move.shape)
    np.testing.assert_allclose(move, wanted, rtol=1e-6, atol=1e-8 * np.abs(wanted).max())
    assert 0 < taken < 500
    bent = case.matrix @ move.ravel() @ move.ravel()
    model = -(2.0 * np.sum(case.gradient * move) + bent) / case.outputs
    assert decrease == pytest.approx(model, rel=1e-6)
    assert decrease > 0.0


def test_prediction_holds_for_a_step_that_is_not_solved_to_the_end(case):
    move, decrease, taken = solved(case, 1e-3, iterations=3)
    assert taken == 3
    bent = case.matrix @ move.ravel() @ move.ravel()
    model = -(2.0 * np.sum(case.gradient * move) + bent) / case.outputs
    assert decrease == pytest.approx(model, rel=1e-6)
    # Conjugate gradients descend from the first iteration on, and further with every one.
    assert decrease > 0.0
    objective = [
        _damped_model(case, solved(case, 1e-3, iterations=count)[0], 1e-3) for count in (1, 3, 9)
    ]
    assert 0.0 > objective[0] > objective[1] > objective[2]


def _damped_model(case, move, damping):
    metric = np.asarray(case.curvature.metric)
    bent = case.matrix @ move.ravel() @ move.ravel() + damping * np.sum(metric * move**2)
    return np.sum(case.gradient * move) + bent / 2.0


def test_tolerance_ends_the_iterations(case):
    taken = [solved(case, 1e-3, tolerance=tolerance)[2] for tolerance in (0.5, 1e-2, 1e-6)]
    assert taken[0] < taken[1] < taken[2]


def test_absent_neurons_do_not_move(case):
    move, _, _ = solved(case, 1e-3)
    still = np.all(case.gradient == 0.0, axis=1)
    np.testing.assert_array_equal(move[still], 0.0)
    assert np.all(move[~still] != 0.0)
