"""Each neuron's own coordinates: against dense matrices, and against blocks on hard problems."""

import jax.numpy as jnp
import numpy as np
import pytest
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.network import Layer
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting import own_coordinates as own_coordinates_module
from expand_and_cluster.fitting.conjugate_gradients import (
    blocks_at,
    curvature_at,
    product,
    solve_step,
)
from expand_and_cluster.fitting.gauss_newton import GaussNewton, GaussNewtonSettings
from expand_and_cluster.fitting.own_coordinates import OwnMoments, own_coordinates
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
    curvature = curvature_at(point, frame, jnp.float64)
    return solve_step(
        curvature,
        slopes_gradient(point, frame),
        jnp.asarray(damping),
        jnp.asarray(tolerance),
        jnp.asarray(iterations),
        OwnMoments(frame).at(point) if own else blocks_at(point, frame, jnp.float64),
    )


def test_moments_are_those_of_the_weighted_inputs():
    with double():
        frame, point = laid_out(saturated(), samples=200)
        moments = OwnMoments(frame).at(point)
        white = np.asarray(frame.white).reshape(-1, frame.root.shape[1])[:200]
        slopes = np.asarray(point.slopes).reshape(len(frame.white.reshape(-1, 13)), -1)[:200]
        for k, own in enumerate(np.asarray(moments.own)):
            wanted = (white * slopes[:, k : k + 1] ** 2).T @ white / 200
            np.testing.assert_allclose(own, wanted, atol=2e-6)


def test_drawn_samples_stand_for_all():
    with double():
        frame, point = laid_out(saturated(), samples=6000)
        moments = OwnMoments(frame).at(point)
        # 2,048 drawn samples of 6,000: sums scatter by some 2 % of their size.
        few = np.asarray(moments.inputs) * np.asarray(moments.slopes)[:, 1:2]
        np.testing.assert_allclose(few.T @ few, np.asarray(moments.own)[1], atol=0.1)


def test_moments_follow_their_neurons_and_only_changed_ones_are_measured_anew(monkeypatch):
    measured = []
    original = own_coordinates_module._moments
    monkeypatch.setattr(
        own_coordinates_module, "_moments", lambda *args: measured.append(1) or original(*args)
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
def test_one_neuron_is_inverted(damping):
    with double():
        frame, point = laid_out(saturated(width=1))
        curvature = curvature_at(point, frame, jnp.float64)
        metric = curvature.metric
        within = own_coordinates(
            OwnMoments(frame).at(point), curvature.outputs, jnp.asarray(damping), metric
        )
        own = np.asarray(OwnMoments(frame).at(point).own)[0] * float(jnp.sum(curvature.outputs**2))
        matrix = own + np.diag(damping * np.asarray(metric))
        move = np.random.default_rng(1).normal(size=(1, len(metric)))
        back = np.asarray(within.apply(jnp.asarray(move @ matrix)))
        assert np.linalg.norm(back - move) < 1e-2 * np.linalg.norm(move)


def test_the_preconditioner_is_symmetric_and_positive():
    with double():
        frame, point = laid_out(saturated())
        curvature = curvature_at(point, frame, jnp.float64)
        within = own_coordinates(
            OwnMoments(frame).at(point), curvature.outputs, jnp.asarray(1e-6), curvature.metric
        )
        rng = np.random.default_rng(2)
        one, other = (jnp.asarray(rng.normal(size=(6, len(curvature.metric)))) for _ in range(2))
        there, back = (float(jnp.sum(a * within.apply(b))) for a, b in ((one, other), (other, one)))
        np.testing.assert_allclose(there, back, rtol=1e-3)
        assert float(jnp.sum(one * within.apply(one))) > 0


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
        move, decrease, taken = solved(frame, point, 1e-10, own=True)
        whole = point._replace(slopes=jnp.asarray(slopes))
        same, wanted, longer = solved(frame, whole, 1e-10, own=True)
    assert int(taken) < 0.5 * int(longer)
    np.testing.assert_allclose(decrease, wanted, rtol=1e-4)
    np.testing.assert_allclose(move, same, atol=1e-2 * np.abs(same).max())
