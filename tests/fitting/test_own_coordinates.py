"""Each neuron's own coordinates: against dense matrices, and against blocks on hard problems."""

import jax.numpy as jnp
import numpy as np
import pytest
from tests.fitting.problems import solve_step
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.network import Layer
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting import own_coordinates as own_coordinates_module
from expand_and_cluster.fitting import own_moments
from expand_and_cluster.fitting.conjugate_gradients import (
    blocks_at,
    curvature_at,
    inverse_factors,
    product,
)
from expand_and_cluster.fitting.gauss_newton import GaussNewton, GaussNewtonSettings
from expand_and_cluster.fitting.own_coordinates import FLOOR, own_coordinates
from expand_and_cluster.fitting.own_moments import OwnMoments
from expand_and_cluster.fitting.projection import evaluate, frame_of, slopes_gradient


def saturated(width=6, inputs=12, outputs=3, seed=0):
    """A network of which some neurons bend at few of the inputs."""
    source = teacher((inputs, width, outputs), "tanh", seed)
    first, last = source.layers
    reach = np.where(np.arange(width) % 2 == 0, 3.0, 1.0)[:, None]
    bias = np.where(np.arange(width) % 2 == 0, 8.0, first.bias)
    return source.replace(layers=(Layer(reach * first.weight, bias), last))


def laid_out(network, samples=3000, seed=0, present=None):
    inputs = gaussian(samples, network.input_size, seed)
    frame = frame_of(inputs, network(inputs))
    rng = np.random.default_rng(seed)
    vectors = network.input_vectors * (1.0 + 0.01 * rng.normal(size=network.input_vectors.shape))
    taking_part = jnp.ones(len(vectors)) if present is None else jnp.asarray(present)
    point = evaluate(jnp.asarray(vectors), taking_part, frame, network.activation)
    return frame, point


def solved(frame, point, damping, *, own, tolerance=1e-6, iterations=2000):
    curvature, _, shape = preconditioner(frame, point, damping)
    if not own:
        blocks = blocks_at(point, frame, jnp.float64)
        shape = inverse_factors(blocks, damping * curvature.metric)
    return solve_step(
        curvature,
        slopes_gradient(point, frame),
        jnp.asarray(damping),
        jnp.asarray(tolerance),
        jnp.asarray(iterations),
        shape,
    )


def linear_at_most(width=6, inputs=12, outputs=3):
    """A network of which most neurons bend at few of the inputs, and are far from flat there."""
    source = saturated(width, inputs, outputs).replace(activation=resolve("softplus"))
    first, last = source.layers
    bias = np.where(np.arange(width) % 3 == 0, first.bias, 8.0)
    return source.replace(layers=(Layer(first.weight, bias), last))


def preconditioner(frame, point, damping):
    curvature = curvature_at(point, frame, jnp.float64)
    moments = OwnMoments(frame).at(point)
    within = own_coordinates(moments, curvature.outputs, jnp.asarray(damping), curvature.metric)
    return curvature, moments, within


# Slopes of gelu have both signs, and kinks are measured by the samples on one side.
@pytest.mark.parametrize("name", ["softplus", "gelu", "relu", "leaky_relu"])
def test_moments_are_what_the_regression_on_the_inputs_leaves(name):
    with double():
        frame, point = laid_out(saturated().replace(activation=resolve(name)), samples=200)
        moments = OwnMoments(frame).at(point)
        white = np.asarray(frame.white).reshape(-1, frame.root.shape[1])[:200]
        slopes = np.asarray(point.slopes).reshape(len(frame.white.reshape(-1, 13)), -1)[:200]
        features = np.asarray(point.features).reshape(-1, 7)[:200]
        basis, _ = np.linalg.qr(features)
        unmatched = white.T @ (white - basis @ (basis.T @ white)) / 200
        assert moments.linear is not None
        for k, (own, linear) in enumerate(zip(moments.own, moments.linear, strict=True)):
            weighted = white * slopes[:, k : k + 1]
            regression, *_ = np.linalg.lstsq(white, weighted, rcond=None)
            left = weighted - white @ regression
            np.testing.assert_allclose(own, left.T @ left / 200, atol=1e-5)
            np.testing.assert_allclose(moments.mean[k], np.sum(weighted**2) / 200 / 13, rtol=1e-5)
            wanted = regression @ unmatched @ regression.T
            np.testing.assert_allclose(linear @ linear.T, wanted, atol=1e-5)


def test_moments_follow_their_neurons_and_only_changed_ones_are_measured_anew(monkeypatch):
    measured = []
    original = OwnMoments._measured
    monkeypatch.setattr(
        OwnMoments, "_measured", lambda *args: measured.append(1) or original(*args)
    )
    with double():
        network = saturated()
        frame, point = laid_out(network)
        store = OwnMoments(frame)
        before = np.asarray(store.at(point).own)
        assert len(measured) == 6
        order = np.array([3, 0, 5, 2])
        vectors = network.input_vectors[order].copy()
        vectors[1] *= 0.3  # another neuron altogether
        fewer = evaluate(jnp.asarray(vectors), jnp.ones(4), frame, network.activation)
        after = np.asarray(store.at(fewer).own)
        assert len(measured) == 7
        # Those that only moved a little keep what was measured.
        np.testing.assert_array_equal(after[[0, 2, 3]], before[order[[0, 2, 3]]])
        np.testing.assert_allclose(after[1], np.asarray(OwnMoments(frame).at(fewer).own)[1])


@pytest.mark.parametrize("damping", [1e-8, 1e-1])
def test_the_split_matrix_is_inverted(damping):
    with double():
        frame, point = laid_out(saturated())
        curvature, moments, within = preconditioner(frame, point, damping)
        outputs, metric = np.asarray(curvature.outputs), np.asarray(curvature.metric)
        assert moments.linear is not None
        shared = np.einsum("ko,kij->kioj", outputs, moments.linear).reshape(6 * 13, -1)
        matrix = shared @ shared.T
        for k, own in enumerate(np.asarray(moments.own)):
            alone = own + FLOOR * float(moments.mean[k]) * np.eye(13)
            here = slice(13 * k, 13 * (k + 1))
            matrix[here, here] += np.sum(outputs[k] ** 2) * alone + np.diag(damping * metric)
        move = np.random.default_rng(1).normal(size=(6, 13))
        left = (matrix @ move.reshape(-1)).reshape(6, 13)
        back = np.asarray(within.apply(jnp.asarray(left)))
        assert np.linalg.norm(back - move) < 1e-2 * np.linalg.norm(move)


def test_neurons_are_taken_by_themselves_where_coupling_them_would_be_too_large(monkeypatch):
    monkeypatch.setattr(own_moments, "MOST_COUPLED", 38)
    with double():
        frame, point = laid_out(saturated(width=1))
        curvature, moments, within = preconditioner(frame, point, 1e-8)
        assert moments.linear is None
        own = np.asarray(moments.own)[0] + FLOOR * float(moments.mean[0]) * np.eye(13)
        matrix = own * float(jnp.sum(curvature.outputs**2))
        move = np.random.default_rng(1).normal(size=(1, 13))
        back = np.asarray(within.apply(jnp.asarray(move @ matrix)))
        assert np.linalg.norm(back - move) < 1e-2 * np.linalg.norm(move)


def test_what_cannot_be_coupled_is_taken_by_itself(monkeypatch):
    """A matrix that is not finite: the step is tried all the same, and damped more if it is bad."""
    monkeypatch.setattr(own_coordinates_module, "_inverted", lambda matrix: None)
    with double():
        frame, point = laid_out(saturated())
        _, moments, within = preconditioner(frame, point, 1e-8)
        assert moments.linear is not None
        assert within.coupling is None
        left = jnp.asarray(np.random.default_rng(1).normal(size=(6, 13)))
        assert np.isfinite(np.asarray(within.apply(left))).all()


def test_a_matrix_that_is_no_number_has_no_inverse():
    assert own_coordinates_module._inverted(np.full((3, 3), np.nan, np.float32)) is None
    assert own_coordinates_module._inverted(-np.eye(3, dtype=np.float32)) is None


def test_the_preconditioner_is_symmetric_and_positive():
    with double():
        frame, point = laid_out(linear_at_most())
        curvature, _, within = preconditioner(frame, point, 1e-6)
        rng = np.random.default_rng(2)
        one, other = (jnp.asarray(rng.normal(size=(6, len(curvature.metric)))) for _ in range(2))
        there, back = (float(jnp.sum(a * within.apply(b))) for a, b in ((one, other), (other, one)))
        np.testing.assert_allclose(there, back, rtol=1e-3)
        assert float(jnp.sum(one * within.apply(one))) > 0


def test_what_is_linear_costs_few_iterations():
    with double():
        frame, point = laid_out(linear_at_most())
        _, predicted, many = solved(frame, point, 1e-8, own=False)
        _, as_predicted, few = solved(frame, point, 1e-8, own=True)
    np.testing.assert_allclose(float(predicted), float(as_predicted), rtol=1e-4)
    assert int(few) < 0.7 * int(many)


def test_steps_are_the_same_and_take_fewer_iterations():
    with double():
        frame, point = laid_out(saturated())
        plain, predicted, many = solved(frame, point, 1e-6, own=False)
        own, as_predicted, few = solved(frame, point, 1e-6, own=True)
        curvature = curvature_at(point, frame, jnp.float64)
        apart = product(curvature, plain - own)
        assert float(jnp.sum((plain - own) * apart)) < 1e-6 * float(
            jnp.sum(plain * product(curvature, plain))
        )
        np.testing.assert_allclose(float(predicted), float(as_predicted), rtol=1e-5)
        assert int(few) < 0.6 * int(many)


def test_absent_neurons_stay_where_they_are():
    with double():
        frame, point = laid_out(saturated(), present=[1.0, 1.0, 0.0, 1.0, 1.0, 0.0])
        move, predicted, _ = solved(frame, point, 1e-6, own=True)
        assert np.isfinite(np.asarray(move)).all()
        assert float(predicted) > 0
        np.testing.assert_array_equal(np.asarray(move)[[2, 5]], 0.0)


def test_a_descent_ends_at_rounding():
    source = saturated()
    inputs = gaussian(3000, 12)
    frame = frame_of(inputs, source(inputs))
    rng = np.random.default_rng(0)
    first, last = source.layers
    start = Layer(first.weight + 0.02 * rng.normal(size=first.weight.shape), first.bias)
    settings = GaussNewtonSettings(target=1e-29, own=True)
    descent = GaussNewton(source.replace(layers=(start, last)), frame, settings)
    for _ in descent.run():
        pass
    assert descent.loss < 1e-26


def test_a_constant_slope_counts_for_nothing_beside_a_skip():
    """Neurons that are linear at most inputs: what is linear, the affine map makes up for."""
    source = saturated().replace(activation=resolve("softplus"))
    network = source.replace(skip=Layer(np.zeros((3, 12)), np.zeros(3)))
    inputs = gaussian(3000, 12)
    with double():
        frame = frame_of(inputs, network(inputs), skip=True)
        moved = network.input_vectors + 0.05 * np.random.default_rng(0).normal(size=(6, 13))
        point = evaluate(jnp.asarray(moved), jnp.ones(6), frame, network.activation)
        slopes = network.activation.derivative(frame.inputs @ moved.T)
        mean = np.average(slopes, axis=(0, 1), weights=frame.weights)
        np.testing.assert_allclose(point.slopes, slopes - mean, atol=1e-12)
        move, decrease, taken = solved(frame, point, 1e-10, own=False)
        whole = point._replace(slopes=jnp.asarray(slopes))
        same, wanted, longer = solved(frame, whole, 1e-10, own=False)
    assert int(taken) < 0.5 * int(longer)
    np.testing.assert_allclose(decrease, wanted, rtol=1e-4)
    np.testing.assert_allclose(move, same, atol=1e-2 * np.abs(same).max())
