"""Matrix-free Gauss-Newton for any depth, against the Jacobian written out."""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting.deep_equations import (
    DeepParameters,
    deep_network,
    deep_parameters,
)
from expand_and_cluster.fitting.deep_gauss_newton import (
    DeepGaussNewton,
    DeepGaussNewtonSettings,
)
from expand_and_cluster.fitting.deep_pairs import DeepPairs
from expand_and_cluster.fitting.deep_products import solve_deep_step, solve_outputs
from expand_and_cluster.fitting.jacobian import jacobian
from expand_and_cluster.fitting.neuron_blocks import damped, neuron_moments
from expand_and_cluster.fitting.result import StopReason

WIDTHS = (5, 4, 3, 2)
# As the library calls it: within a compiled program.
WEIGHED = jax.jit(solve_outputs, static_argnums=2)


@jax.jit
def solved(parameters, point, pairs, spectrum, damping):
    """The step with the preconditioner of these neurons' moments."""
    moments = neuron_moments(parameters, point.fed, point.slopes, pairs, spectrum)
    return solve_deep_step(
        parameters, point, pairs, damped(moments, damping).solve,
        damping, jnp.asarray(1e-12), jnp.asarray(500),
    )  # fmt: skip


def a_network(seed: int, activation: str = "tanh", widths: tuple[int, ...] = WIDTHS) -> Network:
    rng = np.random.default_rng(seed)
    layers = [
        (rng.normal(size=(above, below)) / np.sqrt(below), 0.3 * rng.normal(size=above))
        for below, above in pairwise(widths)
    ]
    return Network.from_arrays(layers, activation)


def moved(network: Network, size: float, seed: int = 9) -> Network:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + size * rng.normal(size=leaf.shape), network)


def through_hidden(network: Network, inputs: np.ndarray) -> np.ndarray:
    values = inputs
    for layer in network.layers[:-1]:
        values = np.asarray(network.activation(jnp.asarray(values @ layer.weight.T + layer.bias)))
    return values


def written_out(parameters: DeepParameters) -> np.ndarray:
    """All weights in the order of `jacobian`: layer by layer, each row with its bias."""
    return np.concatenate(
        [np.asarray(part).ravel() for part in (*parameters.hidden, parameters.outputs)]
    )


@pytest.mark.parametrize("activation", ["tanh", "g", "softplus"])
def test_a_step_is_that_of_the_jacobian(activation: str):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(60, 5))
    network = a_network(1, activation)
    targets = moved(network, 0.1)(inputs)
    pairs = DeepPairs(inputs, targets)
    with double():
        parameters, point = WEIGHED(deep_parameters(network), pairs.double, network.activation)
    network = deep_network(parameters, network)
    derivatives = jacobian(network, inputs).reshape(120, -1)
    error = (network(inputs) - targets).reshape(-1)
    damping = 1e-3
    normal = derivatives.T @ derivatives / 60 + damping * np.eye(derivatives.shape[1])
    wanted = -np.linalg.solve(normal, derivatives.T @ error / 60)
    with double():
        move, predicted, _ = solved(parameters, point, pairs.double, pairs.spectrum, damping)
    np.testing.assert_allclose(
        float(point.loss), np.mean(np.sum(error.reshape(60, 2) ** 2, axis=1))
    )
    np.testing.assert_allclose(written_out(point.gradient), derivatives.T @ error / 60, atol=1e-12)
    np.testing.assert_allclose(written_out(move), wanted, atol=1e-8)
    left = error + derivatives @ wanted
    np.testing.assert_allclose(float(predicted), (error @ error - left @ left) / 60, rtol=1e-6)


def test_a_moved_network_comes_back_to_rounding():
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(3000, 5))
    teacher = a_network(3)
    pairs = DeepPairs(inputs, teacher(inputs))
    descent = DeepGaussNewton(moved(teacher, 0.02), pairs, DeepGaussNewtonSettings(steps=30))
    first = descent.loss
    losses = [descent.loss for _ in descent.run()]
    assert losses[-1] < 1e-20 * first or losses[-1] < 1e-24
    assert all(later <= sooner for sooner, later in pairwise([first, *losses]))
    np.testing.assert_allclose(descent.network()(inputs), teacher(inputs), atol=1e-9)


def test_neurons_blocks_are_those_of_the_matrix_written_out(monkeypatch: pytest.MonkeyPatch):
    # What is added to every neuron's curvature would be in the way of comparing.
    monkeypatch.setattr("expand_and_cluster.fitting.neuron_blocks.FLOOR", 0.0)
    rng = np.random.default_rng(7)
    inputs = rng.normal(size=(60, 5)) * [1.0, 3.0, 0.1, 1.0, 1.0]
    network = a_network(1)
    pairs = DeepPairs(inputs, moved(network, 0.1)(inputs))
    with double():
        parameters, point = WEIGHED(deep_parameters(network), pairs.double, network.activation)
    derivatives = jacobian(deep_network(parameters, network), inputs)
    damping, left = 1e-3, rng.normal(size=derivatives.shape[2])
    parts, wanted, start, diagonal = [], [], 0, 0.0
    for each in (*parameters.hidden, parameters.outputs):
        parts.append(left[start : start + each.size].reshape(each.shape))
        for row in parts[-1]:
            own = derivatives[:, :, start : start + len(row)].reshape(-1, len(row))
            block = own.T @ own / 60
            diagonal += np.trace(block)
            wanted.append(np.linalg.solve(block + damping * np.eye(len(row)), row))
            start += len(row)
    with double():
        moments = neuron_moments(parameters, point.fed, point.slopes, pairs.double, pairs.spectrum)
        residual = DeepParameters(tuple(map(jnp.asarray, parts[:-1])), jnp.asarray(parts[-1]))
        solved = damped(moments, jnp.asarray(damping)).solve(residual)
    np.testing.assert_allclose(float(moments.mean), diagonal / len(left), rtol=1e-6)
    # The inputs' coordinates are in single precision.
    np.testing.assert_allclose(written_out(solved), np.concatenate(wanted), rtol=1e-5)


def test_where_blocks_are_too_many_a_layer_shares_one_and_steps_lead_to_the_same_end(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("expand_and_cluster.fitting.neuron_blocks.MOST", 4 * 6**2 - 1)
    rng = np.random.default_rng(2)
    # Another number of samples than elsewhere, so that nothing is compiled yet.
    inputs = rng.normal(size=(1001, 5))
    teacher = a_network(3)
    pairs = DeepPairs(inputs, teacher(inputs))
    descent = DeepGaussNewton(moved(teacher, 0.02), pairs)
    with double():
        parameters, point = WEIGHED(deep_parameters(teacher), pairs.double, teacher.activation)
        moments = neuron_moments(parameters, point.fed, point.slopes, pairs.double, pairs.spectrum)
    assert [len(own) for own in moments.own] == [1, 3, 1]
    list(descent.run())
    assert descent.loss < 1e-24


def test_a_neuron_that_is_off_everywhere_spoils_no_step():
    rng = np.random.default_rng(8)
    inputs = rng.normal(size=(500, 5))
    teacher = a_network(3, "relu")
    student = moved(teacher, 0.02)
    dead = student.layers[0].bias.copy()
    dead[0] = -100.0
    layers = (Layer(student.layers[0].weight, dead), *student.layers[1:])
    descent = DeepGaussNewton(student.replace(layers=layers), DeepPairs(inputs, teacher(inputs)))
    list(descent.run())
    assert np.isfinite(descent.loss)
    assert descent.loss < descent.history[0][1]


def test_samples_far_off_that_count_less_do_not_hold_up_the_others():
    """Twenty answers are wrong; the teacher is found all the same where these count less."""
    rng = np.random.default_rng(6)
    inputs = rng.normal(size=(2000, 5))
    teacher = a_network(3)
    targets = teacher(inputs)
    targets = targets + np.pad(rng.normal(size=(20, 2)), ((0, 1980), (0, 0)))
    found = []
    for robust in (None, 0.9):
        settings = DeepGaussNewtonSettings(steps=60, robust=robust)
        descent = DeepGaussNewton(moved(teacher, 0.02), DeepPairs(inputs, targets), settings)
        list(descent.run())
        found.append(np.sqrt(np.mean((descent.network()(inputs) - teacher(inputs)) ** 2)))
    assert found[0] > 1e-3
    assert found[1] < 1e-6


def test_it_stops_at_a_target_after_steps_and_where_nothing_is_gained():
    rng = np.random.default_rng(4)
    inputs = rng.normal(size=(400, 5))
    teacher = a_network(3)
    pairs = DeepPairs(inputs, teacher(inputs))

    def stopped(settings: DeepGaussNewtonSettings, pairs: DeepPairs = pairs) -> StopReason:
        descent = DeepGaussNewton(moved(teacher, 0.02), pairs, settings)
        for _ in descent.run():
            pass
        return descent.stop

    assert stopped(DeepGaussNewtonSettings(target=1e-6)) is StopReason.TARGET
    assert stopped(DeepGaussNewtonSettings(steps=1)) is StopReason.STEPS
    noisy = DeepPairs(inputs, teacher(inputs) + rng.normal(size=(400, 2)))
    assert stopped(DeepGaussNewtonSettings(steps=60), noisy) is StopReason.STALLED


def test_rows_that_fill_up_a_block_count_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("expand_and_cluster.fitting.deep_pairs.BLOCK", 7)
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(20, 5))
    teacher, student = a_network(3), a_network(4)
    pairs: Any = DeepPairs(inputs, teacher(inputs))
    descent = DeepGaussNewton(student, pairs)
    assert pairs.double.inputs.shape == (3, 7, 6)
    hidden = np.concatenate([through_hidden(student, inputs), np.ones((20, 1))], axis=1)
    left = np.linalg.lstsq(hidden, teacher(inputs), rcond=None)[1]
    np.testing.assert_allclose(descent.loss, left.sum() / 40, rtol=1e-6)
    np.testing.assert_allclose(
        np.mean((descent.network()(inputs) - teacher(inputs)) ** 2), descent.loss, rtol=1e-6
    )
