"""Normal equations and descent of several hidden layers, against a Jacobian written out by JAX."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.oracles.deep import dense

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting.damped_steps import LevenbergMarquardtSettings
from expand_and_cluster.fitting.deep_descent import (
    BiasesFirstDescent,
    DeepDescent,
    all_present,
    hidden_weights,
    lay_out_above,
)
from expand_and_cluster.fitting.deep_equations import DeepModel, deep_parameters, lay_out
from expand_and_cluster.fitting.result import StopReason


def a_network(widths: tuple[int, ...], activation: str, seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    layers = [(rng.normal(size=(o, i)), rng.normal(size=o)) for i, o in pairwise(widths)]
    return Network.from_arrays(layers, activation)


def matrices(network: Network) -> list[np.ndarray]:
    return [np.column_stack([layer.weight, layer.bias]) for layer in network.layers]


@pytest.mark.parametrize("widths", [(3, 4, 2, 1), (2, 3, 3, 2, 3)])
@pytest.mark.parametrize("activation", ["g", "tanh", "relu"])
def test_normal_equations_are_those_of_the_jacobian(widths, activation):
    network = a_network(widths, activation)
    rng = np.random.default_rng(1)
    inputs, targets = rng.normal(size=(50, widths[0])), rng.normal(size=(50, widths[-1]))
    answers, jacobian = dense(matrices(network), inputs, activation)
    count = hidden_weights(network.widths)
    with double():
        parameters = deep_parameters(network)
        masks = jax.tree.map(jnp.asarray, all_present(network))
        # Blocks smaller than the data: the last one is filled up.
        data = jax.tree.map(
            lambda *parts: np.concatenate(parts),
            lay_out(inputs[:30], targets[:30], count),
            lay_out(inputs[20:], targets[20:], count),
        )
        found = DeepModel(network.activation, 1e-13).assemble(parameters, masks, data)
    rows = np.concatenate([np.arange(30), np.arange(20, 50)])
    error, hidden = (answers - targets)[rows], jacobian[rows][:, :, :count]
    features = jacobian[rows][:, 0, count : count + widths[-2] + 1]
    np.testing.assert_allclose(
        found.hidden_gram, np.einsum("sop,soq->pq", hidden, hidden) / 30, rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(
        found.cross_gram, np.einsum("sf,sop->ofp", features, hidden) / 30, rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(found.hidden_gradient, np.einsum("so,sop->p", error, hidden) / 30)
    np.testing.assert_allclose(found.feature_gradient, features.T @ error / 30)
    assert float(found.loss) == pytest.approx(float(np.sum(error**2)) / 30)


def test_a_step_is_the_damped_least_squares_solution():
    network = a_network((3, 4, 2, 2), "tanh")
    rng = np.random.default_rng(1)
    inputs, targets = rng.normal(size=(60, 3)), rng.normal(size=(60, 2))
    answers, jacobian = dense(matrices(network), inputs, "tanh")
    model = DeepModel(network.activation, 0.0)
    with double():
        parameters = deep_parameters(network)
        masks = jax.tree.map(jnp.asarray, all_present(network))
        data = lay_out(inputs, targets, hidden_weights(network.widths))
        equations = model.assemble(parameters, masks, data)
        moved, predicted = model.solve(parameters, equations, jnp.asarray(0.1))
    flat, error = jacobian.reshape(120, -1), (answers - targets).ravel()
    gram = flat.T @ flat / 60 + 0.1 * np.eye(flat.shape[1])
    step = -np.linalg.solve(gram, flat.T @ error / 60)
    taken = np.concatenate(
        [
            (np.asarray(new) - old).ravel()
            for new, old in zip((*moved.hidden, moved.outputs), matrices(network), strict=True)
        ]
    )
    np.testing.assert_allclose(taken, step, rtol=1e-8, atol=1e-10)
    before = np.sum(error**2) / 60
    after = np.sum((error + flat @ step) ** 2) / 60
    # Nielsen's gain ratio divides by the model's decrease with the damping counted in.
    assert float(predicted) == pytest.approx(before - after, rel=1e-6)


def descent(start: Network, teacher: Network, **options) -> DeepDescent:
    inputs = np.random.default_rng(2).normal(size=(400, teacher.input_size))
    with double():
        data = lay_out(inputs, teacher(inputs), hidden_weights(start.widths))
        found = DeepDescent(start, data, LevenbergMarquardtSettings(steps=60), **options)
        for _ in found.run():
            pass
    return found


def nearby(network: Network, by: float) -> Network:
    rng = np.random.default_rng(3)
    return jax.tree.map(lambda leaf: leaf + by * rng.normal(size=leaf.shape), network)


def test_it_converges_to_rounding():
    teacher = a_network((3, 4, 2, 1), "tanh")
    found = descent(nearby(teacher, 0.03), teacher)
    assert found.stop is StopReason.TARGET
    assert found.loss < 1e-28
    pairs = zip(found.network().layers, teacher.layers, strict=True)
    assert max(np.abs(one.weight - other.weight).max() for one, other in pairs) < 1e-10


def test_an_absent_neuron_stays_and_adds_nothing():
    teacher = a_network((3, 4, 2, 1), "tanh")
    first, second, last = nearby(teacher, 0.03).layers
    layers = (
        Layer(np.vstack([first.weight, first.weight[:1]]), np.append(first.bias, 0.5)),
        Layer(np.column_stack([second.weight, second.weight[:, 0]]), second.bias),
        last,
    )
    start = teacher.replace(layers=layers)
    present = (np.array([1.0, 1.0, 1.0, 1.0, 0.0]), np.ones(2))
    found = descent(start, teacher, present=present)
    assert found.loss < 1e-28
    np.testing.assert_array_equal(found.network().layers[0].weight[4], first.weight[0])


def biases_first(start: Network, teacher: Network, inputs: np.ndarray) -> BiasesFirstDescent:
    first = np.asarray(start.layers[0].weight)
    with double():
        weights = hidden_weights((0, *start.widths[1:]))
        data = lay_out_above(first, inputs, teacher(inputs), weights)
        return BiasesFirstDescent(start, data, LevenbergMarquardtSettings(steps=60))


def test_where_the_first_vectors_are_known_only_its_biases_and_the_rest_move():
    teacher = a_network((3, 4, 2, 1), "tanh")
    moved = nearby(teacher, 0.03)
    known = Layer(teacher.layers[0].weight, moved.layers[0].bias)
    start = moved.replace(layers=(known, *moved.layers[1:]))
    with double():
        found = biases_first(start, teacher, np.random.default_rng(2).normal(size=(400, 3)))
        for _ in found.run():
            pass
    assert found.loss < 1e-26
    np.testing.assert_array_equal(found.network().layers[0].weight, teacher.layers[0].weight)
    for here, there in zip(found.network().layers, teacher.layers, strict=True):
        np.testing.assert_allclose(here.weight, there.weight, atol=1e-10)
        np.testing.assert_allclose(here.bias, there.bias, atol=1e-10)


def test_its_first_step_is_that_of_all_other_weights_columns():
    start, teacher = a_network((3, 4, 2, 2), "g"), a_network((3, 4, 2, 2), "g", seed=1)
    inputs = np.random.default_rng(2).normal(size=(60, 3))
    answers, jacobian = dense(matrices(start), inputs, "g")
    with double():
        first = np.asarray(start.layers[0].weight)
        weights = hidden_weights((0, 4, 2, 2))
        data = lay_out_above(first, inputs, teacher(inputs), weights)
        bare = start.replace(layers=(Layer(first[:, :0], start.layers[0].bias), *start.layers[1:]))
        equations = DeepModel(start.activation, 0.0).assemble(
            deep_parameters(bare), jax.tree.map(jnp.asarray, all_present(bare)), data
        )
    # Of the first layer, 4 neurons of 3 weights and a bias, the biases alone; then all of the next.
    columns = jacobian[:, :, [3, 7, 11, 15, *range(16, 26)]]
    gram = np.einsum("sop,soq->pq", columns, columns) / 60
    np.testing.assert_allclose(equations.hidden_gram, gram, rtol=1e-10, atol=1e-12)
    gradient = np.einsum("so,sop->p", answers - teacher(inputs), columns) / 60
    np.testing.assert_allclose(equations.hidden_gradient, gradient, rtol=1e-10, atol=1e-12)
