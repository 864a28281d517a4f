"""Features, least-squares output weights and gradients at given input vectors."""

import jax.numpy as jnp
import numpy as np
import pytest
from tests.oracles.least_squares import FUNCTIONS, fitted_loss
from tests.oracles.reduced import reduced
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.network import Layer
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting import projection
from expand_and_cluster.fitting.projection import (
    cauchy_weights,
    evaluate,
    frame_of,
    median_square,
    network_at,
    slopes_gradient,
)

WIDTHS = (4, 5, 3)
SAMPLES = 62
ALL = np.ones(5)
SOME = np.array([1.0, 1.0, 0.0, 1.0, 0.0])


@pytest.fixture
def blocks(monkeypatch):
    """Four blocks of sixteen rows, the last two of them empty."""
    monkeypatch.setattr(projection, "ROWS", 16)


def problem(activation, *, outputs=3):
    """A network, inputs with unequal spreads and a mean, and targets that it does not reach."""
    network = teacher((4, 5, outputs), activation)
    inputs = gaussian(SAMPLES, 4) * np.array([1.0, 0.3, 1.0, 2.0]) + 0.2
    targets = network(inputs) + np.random.default_rng(5).normal(size=(SAMPLES, outputs))
    return network, inputs, targets


def point_at(network, frame, present=ALL, vectors=None):
    with double():
        chosen = network.input_vectors if vectors is None else vectors
        return evaluate(jnp.asarray(chosen), jnp.asarray(present), frame, network.activation)


def flat_rows(blocks_of, samples):
    return np.asarray(blocks_of).reshape(-1, *blocks_of.shape[2:])[:samples]


@pytest.mark.usefixtures("blocks")
def test_frame_holds_every_row_once_and_weighs_the_filling_zero():
    _, inputs, targets = problem("tanh")
    frame = frame_of(inputs, targets, skip=True)
    assert frame.inputs.shape == (4, 16, 5)
    np.testing.assert_array_equal(flat_rows(frame.inputs, SAMPLES)[:, :4], inputs)
    np.testing.assert_array_equal(flat_rows(frame.inputs, SAMPLES)[:, 4], 1.0)
    np.testing.assert_array_equal(flat_rows(frame.targets, SAMPLES), targets)
    weights = np.ravel(frame.weights)
    np.testing.assert_array_equal(weights, np.repeat([1.0 / SAMPLES, 0.0], [SAMPLES, 2]))
    np.testing.assert_array_equal(frame.fixed, frame.inputs)
    alone = frame_of(inputs, targets)
    np.testing.assert_array_equal(flat_rows(alone.fixed, SAMPLES), np.ones((SAMPLES, 1)))


@pytest.mark.usefixtures("blocks")
def test_white_inputs_are_uncorrelated_and_of_unit_variance():
    _, inputs, targets = problem("tanh")
    frame = frame_of(inputs, targets)
    white = flat_rows(frame.white, SAMPLES).astype(np.float64)
    np.testing.assert_allclose(white.T @ white / SAMPLES, np.eye(5), atol=1e-5)
    root = np.asarray(frame.root)
    extended = np.hstack([inputs, np.ones((SAMPLES, 1))])
    np.testing.assert_allclose(white, extended @ root, rtol=1e-5, atol=1e-5)
    # Columns at right angles: what is longest is the direction of least variance.
    angles = root.T @ root
    np.testing.assert_allclose(angles, np.diag(np.diag(angles)), atol=1e-12 * angles.max())


def test_directions_that_the_inputs_do_not_have_are_left_out():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(50, 4))
    inputs[:, 2] = 2.0 * inputs[:, 0]
    inputs[:, 3] = 0.0
    root = np.asarray(frame_of(inputs, inputs[:, :1]).root)
    assert root.shape == (5, 3)
    for unseen in ([2.0, 0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]):
        np.testing.assert_allclose(np.asarray(unseen) @ root, 0.0, atol=1e-12)
    # A variance smaller by nine decades is no rounding.
    inputs[:, 3] = 10**-4.5 * rng.normal(size=50)
    assert frame_of(inputs, inputs[:, :1]).root.shape == (5, 4)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", ["g", "tanh", "relu"])
def test_output_weights_are_least_squares(activation, skip):
    network, inputs, targets = problem(activation)
    vectors = network.input_vectors + 0.1
    point = point_at(network, frame_of(inputs, targets, skip=skip), vectors=vectors)
    extended = np.hstack([inputs, np.ones((SAMPLES, 1))])
    fixed = extended if skip else extended[:, -1:]
    design = np.hstack([FUNCTIONS[activation](extended @ vectors.T), fixed])
    wanted = np.linalg.lstsq(design, targets, rcond=None)[0]
    np.testing.assert_allclose(point.outputs, wanted, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(flat_rows(point.features, SAMPLES), design, atol=1e-12)
    error = design @ wanted - targets
    np.testing.assert_allclose(flat_rows(point.residual, SAMPLES), error, atol=1e-10)
    assert float(point.loss) == pytest.approx(np.mean(error**2), rel=1e-12)
    assert float(point.loss) == pytest.approx(
        fitted_loss(vectors, inputs, targets, activation, skip), rel=1e-12
    )


@pytest.mark.usefixtures("blocks")
def test_absent_neurons_give_nothing():
    network, inputs, targets = problem("tanh")
    frame = frame_of(inputs, targets)
    point = point_at(network, frame, SOME)
    there = SOME > 0
    wanted = fitted_loss(network.input_vectors[there], inputs, targets, "tanh", False)
    assert float(point.loss) == pytest.approx(wanted, rel=1e-12)
    np.testing.assert_array_equal(np.asarray(point.outputs)[:5][~there], 0.0)
    np.testing.assert_array_equal(np.asarray(point.slopes)[:, :, ~there], 0.0)
    with double():
        gradient = np.asarray(slopes_gradient(point, frame))
    np.testing.assert_array_equal(gradient[~there], 0.0)


def test_exact_fit_comes_out_at_rounding_although_neurons_are_duplicates():
    network, inputs, _ = problem("tanh")
    vectors = np.vstack([network.input_vectors, network.input_vectors[:2]])
    point = point_at(network, frame_of(inputs, network(inputs)), np.ones(7), vectors)
    assert float(point.loss) < 1e-28
    summed = np.asarray(point.outputs)[:5].copy()
    summed[:2] += np.asarray(point.outputs)[5:7]
    np.testing.assert_allclose(summed, network.output_vectors, atol=1e-9)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("skip", [False, True])
def test_network_at_a_point_gives_the_output_of_the_point(skip):
    network, inputs, targets = problem("g")
    if skip:
        network = network.replace(skip=Layer(np.ones((3, 4)), np.ones(3)))
    point = point_at(network, frame_of(inputs, targets, skip=skip))
    with double():
        found = network_at(jnp.asarray(network.input_vectors), point, network)
    assert (found.skip is not None) == skip
    assert found.activation == resolve("g")
    np.testing.assert_allclose(
        found(inputs) - targets, flat_rows(point.residual, SAMPLES), atol=1e-11
    )
    np.testing.assert_array_equal(found.input_vectors, network.input_vectors)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", ["g", "tanh", "relu"])
def test_gradient_is_the_slope_of_the_loss(activation, skip):
    network, inputs, targets = problem(activation)
    frame = frame_of(inputs, targets, skip=skip)
    point = point_at(network, frame)
    root = np.asarray(frame.root)
    with double():
        gradient = np.asarray(slopes_gradient(point, frame))
    assert gradient.shape == (5, 5)
    rng = np.random.default_rng(0)
    for _ in range(3):
        move, step = rng.normal(size=gradient.shape), 1e-5
        ends = [
            float(point_at(network, frame, vectors=network.input_vectors + end @ root.T).loss)
            for end in (step * move, -step * move)
        ]
        # The loss is a mean over outputs too, and not halved.
        slope = (ends[0] - ends[1]) / (2.0 * step) * 3 / 2
        assert np.sum(gradient * move) == pytest.approx(slope, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("outputs", [1, 3])
def test_gradient_is_that_of_the_dense_jacobian(outputs):
    network, inputs, targets = problem("gelu", outputs=outputs)
    frame = frame_of(inputs, targets)
    point = point_at(network, frame)
    with double():
        found = network_at(jnp.asarray(network.input_vectors), point, network)
        gradient = np.asarray(slopes_gradient(point, frame))
    wanted = reduced(found, inputs, targets).gradient.reshape(5, 5) @ np.asarray(frame.root)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("skip", [False, True])
def test_a_ridge_holds_the_neurons_and_nothing_else(skip):
    """Output weights are those of the normal equations; the loss includes what they cost."""
    network, inputs, targets = problem("softplus")
    frame = frame_of(inputs, targets, skip=skip)._replace(ridge=jnp.asarray(0.3))
    point = point_at(network, frame)
    extended = np.hstack([inputs, np.ones((SAMPLES, 1))])
    fixed = extended if skip else extended[:, -1:]
    design = np.hstack([FUNCTIONS["softplus"](extended @ network.input_vectors.T), fixed])
    held = np.diag([0.3] * 5 + [0.0] * fixed.shape[1])
    wanted = np.linalg.solve(design.T @ design / SAMPLES + held, design.T @ targets / SAMPLES)
    np.testing.assert_allclose(point.outputs, wanted, rtol=1e-5, atol=1e-6)
    cost = 0.3 * np.sum(wanted[:5] ** 2) / 3
    error = np.mean((design @ wanted - targets) ** 2)
    assert float(point.loss) == pytest.approx(error + cost, rel=1e-6)


def test_gradient_is_the_slope_of_the_loss_with_a_ridge():
    network, inputs, targets = problem("softplus")
    frame = frame_of(inputs, targets)._replace(ridge=jnp.asarray(0.3))
    root, step = np.asarray(frame.root), 1e-5
    with double():
        gradient = np.asarray(slopes_gradient(point_at(network, frame), frame))
    move = np.random.default_rng(0).normal(size=gradient.shape)
    ends = [
        float(point_at(network, frame, vectors=network.input_vectors + end @ root.T).loss)
        for end in (step * move, -step * move)
    ]
    slope = (ends[0] - ends[1]) / (2.0 * step) * 3 / 2
    assert np.sum(gradient * move) == pytest.approx(slope, rel=1e-6)


def test_the_median_is_that_of_neurons_that_are_present():
    outputs = np.array([[3.0, 4.0], [100.0, 0.0], [1.0, 0.0], [0.0, 2.0], [7.0, 7.0]])
    present = np.array([1.0, 0.0, 1.0, 1.0])
    with double():
        found = median_square(jnp.asarray(outputs), jnp.asarray(present))
    assert float(found) == 4.0


def test_cauchy_weights_are_those_of_the_formula():
    rng = np.random.default_rng(0)
    residual, shares = rng.normal(size=(2, 50, 3)) ** 3, np.full((2, 50), 0.01)
    shares[1, 40:] = 0.0
    with double():
        arguments = (jnp.asarray(values) for values in (residual, shares, 0.8, 2.0))
        found = np.asarray(cauchy_weights(*arguments))
    squares = (residual**2).sum(axis=2)
    counted = shares / (1.0 + squares / (4.0 * np.quantile(squares[shares > 0], 0.8)))
    np.testing.assert_allclose(found, counted * shares.sum() / counted.sum(), rtol=1e-12)
