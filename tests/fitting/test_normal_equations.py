"""Against the dense Jacobian of `tests.oracles.jacobian`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.oracles import jacobian

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting.normal_equations import (
    Masks,
    NormalEquations,
    Parameters,
    assemble,
    loss,
    network_of,
    parameters_of,
    prepare,
    solve,
)

NEURONS, INPUTS, SAMPLES = 4, 3, 60
PRESENT = np.array([1.0, 1.0, 0.0, 1.0])
FREE = np.array([1.0, 0.0, 1.0, 1.0])
DAMPING = 1e-3
# As the library calls them: within compiled programs.
ASSEMBLED, LOSS = (jax.jit(function, static_argnums=2) for function in (assemble, loss))
SOLVED = jax.jit(solve, static_argnums=3)


class Case(NamedTuple):
    """The library's equations and the dense ones, at the same weights."""

    parameters: Parameters
    equations: NormalEquations
    error: np.ndarray
    jacobian: np.ndarray
    shape: tuple[int, int, int, int]
    flat: np.ndarray


def build(
    activation: str, outputs: int, *, skip: bool = False, masked: bool = False, seed: int = 0
) -> Case:
    rng = np.random.default_rng(seed)
    x, targets = rng.normal(size=(SAMPLES, INPUTS)), rng.normal(size=(SAMPLES, outputs))
    features = INPUTS + 1 if skip else 1
    arrays = (
        rng.normal(size=(NEURONS, INPUTS + 1)),
        rng.normal(size=(outputs, NEURONS)),
        rng.normal(size=(outputs, features)),
    )
    shape = (NEURONS, INPUTS + 1, outputs, features)
    flat = jacobian.flatten(*arrays)
    present, free = (PRESENT, FREE) if masked else (np.ones(NEURONS), np.ones(NEURONS))
    error, dense = jacobian.dense(
        flat, shape, x, targets, activation, skip=skip, present=present, free=free
    )
    with double():
        parameters = Parameters(*(jnp.asarray(a) for a in arrays))
        masks = Masks(jnp.asarray(present), jnp.asarray(free))
        data = prepare(x, targets, skip=skip)
        equations = ASSEMBLED(parameters, masks, resolve(activation), data)
        value = float(LOSS(parameters, masks, resolve(activation), data))
        assert value == pytest.approx(float(equations.loss), rel=1e-14)
    return Case(parameters, equations, error, dense, shape, flat)


def with_outputs(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The library's Gram matrix and gradient of all weights, in the order of the oracle."""
    neurons, inputs, outputs, features = case.shape
    blocks = case.equations
    weights = np.asarray(case.parameters.outputs)
    mixing = np.kron(weights.T @ weights, np.ones((inputs, inputs)))
    # An output feature's weights, output by output, from "features x outputs" to the flat order.
    order = np.concatenate(
        [
            (np.arange(neurons)[None, :] * outputs + np.arange(outputs)[:, None]).ravel(),
            (
                (neurons + np.arange(features))[None, :] * outputs + np.arange(outputs)[:, None]
            ).ravel(),
        ]
    )
    spread = np.repeat(weights, inputs, axis=1)  # output weight of the neuron of each input weight
    cross = (np.asarray(blocks.cross_gram)[:, None, :] * spread[None]).reshape(-1, neurons * inputs)
    last = np.kron(np.asarray(blocks.feature_gram), np.eye(outputs))
    gram = np.block(
        [
            [mixing * np.asarray(blocks.input_gram), cross[order].T],
            [cross[order], last[np.ix_(order, order)]],
        ]
    )
    gradient = np.concatenate(
        [
            np.asarray(blocks.input_gradient),
            np.asarray(blocks.feature_gradient).reshape(-1)[order],
        ]
    )
    return gram, gradient


@pytest.mark.parametrize(
    ("activation", "outputs", "skip", "masked"),
    [
        ("g", 1, False, False),
        ("g", 3, False, False),
        ("g", 3, True, True),
        ("tanh", 3, False, True),
        ("gelu", 1, True, False),
        ("gelu", 3, True, False),
        ("relu", 3, True, True),
    ],
)
def test_blocks_are_those_of_the_dense_jacobian(activation, outputs, skip, masked):
    case = build(activation, outputs, skip=skip, masked=masked)
    gram, gradient = with_outputs(case)
    wanted = case.jacobian.T @ case.jacobian / SAMPLES
    np.testing.assert_allclose(gram, wanted, atol=1e-13 * np.abs(wanted).max())
    wanted = case.jacobian.T @ case.error / SAMPLES
    np.testing.assert_allclose(gradient, wanted, atol=1e-13 * np.abs(wanted).max())
    value = float(case.equations.loss)
    assert value == pytest.approx(float(case.error @ case.error) / SAMPLES, rel=1e-13)


@pytest.mark.parametrize(
    ("activation", "outputs", "skip", "masked", "ridge"),
    [
        ("sigmoid", 1, False, False, 0.0),
        ("sigmoid", 3, False, False, 0.1),
        ("softplus", 3, True, False, 0.1),
        ("softplus", 1, True, True, 0.0),
        ("tanh", 3, False, True, 0.1),
    ],
)
def test_step_is_that_of_the_dense_damped_equations(activation, outputs, skip, masked, ridge):
    case = build(activation, outputs, skip=skip, masked=masked, seed=1)
    with double():
        moved, predicted = SOLVED(case.parameters, case.equations, jnp.asarray(DAMPING), ridge)
    gram = case.jacobian.T @ case.jacobian / SAMPLES
    gradient = case.jacobian.T @ case.error / SAMPLES
    first = NEURONS * (INPUTS + 1)
    # The ridge is relative to the mean square of the output features.
    block = gram[first:, first:]
    diagonal = np.full(len(gram), DAMPING)
    diagonal[first:] += ridge * np.trace(block) / len(block)
    step = np.linalg.solve(gram + np.diag(diagonal), -gradient)
    taken = jacobian.flatten(*(np.asarray(leaf) for leaf in moved)) - case.flat
    np.testing.assert_allclose(taken, step, atol=1e-10 * np.abs(step).max())
    model = -2.0 * gradient @ step - step @ gram @ step
    assert float(predicted) == pytest.approx(model, rel=1e-9)
    if masked:
        shape = (NEURONS, INPUTS + 1)
        moves = taken[:first].reshape(shape)
        assert not moves[PRESENT == 0].any()
        assert not moves[FREE == 0].any()
        assert moves[(PRESENT > 0) & (FREE > 0)].all()


@pytest.mark.parametrize("skip", [False, True])
def test_network_survives_the_round_trip(skip):
    rng = np.random.default_rng(2)
    layers = [
        (rng.normal(size=(NEURONS, INPUTS)), rng.normal(size=NEURONS)),
        (rng.normal(size=(2, NEURONS)), rng.normal(size=2)),
    ]
    extra = (rng.normal(size=(2, INPUTS)), rng.normal(size=2)) if skip else None
    network = Network.from_arrays(layers, "tanh", extra)
    with double():
        back = network_of(parameters_of(network), network.activation, np.ones(NEURONS, bool))
    x = rng.normal(size=(20, INPUTS))
    np.testing.assert_allclose(back(x), network(x), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(back.input_vectors, network.input_vectors)
    np.testing.assert_array_equal(back.output_vectors, network.output_vectors)
    assert (back.skip is None) == (not skip)


def test_absent_neurons_are_left_out_of_the_network():
    case = build("tanh", 2, masked=True)
    present = PRESENT > 0
    with double():
        network = network_of(case.parameters, resolve("tanh"), present)
    assert network.hidden_widths == (3,)
    np.testing.assert_array_equal(
        network.input_vectors, np.asarray(case.parameters.inputs)[present]
    )
    wanted = float(case.equations.loss)
    rng = np.random.default_rng(0)
    x, targets = rng.normal(size=(SAMPLES, INPUTS)), rng.normal(size=(SAMPLES, 2))
    assert np.sum((network(x) - targets) ** 2) / SAMPLES == pytest.approx(wanted, rel=1e-13)
