import time

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from tests.fitting.problems import ensemble, flattened, imitation, loss_and_gradient

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.symmetry import Symmetry
from expand_and_cluster.fitting.gradient_flow import GradientFlowSettings, fit_gradient_flow
from expand_and_cluster.fitting.result import StopReason

LINEAR = Activation("linear", lambda z: z, jnp.ones_like, Symmetry())
TIGHT = {"rtol": 1e-8, "atol": 1e-10, "bfgs_steps": 0}


@pytest.mark.parametrize("solver", ["stiff", "nonstiff"])
def test_two_linear_layers_follow_the_logistic_curve(solver):
    """With y = s x and balanced weights a = w, the product u = a w obeys u' = 4 u (s - u)."""
    inputs = np.array([[-1.0], [1.0]])
    slope, start, end = 1.7, 0.04, 0.8
    weight = np.full((1, 1), np.sqrt(start))
    single = Network.from_arrays([(weight, [0.0]), (weight, [0.0])], LINEAR)
    settings = GradientFlowSettings(solver=solver, t1=end, **TIGHT)
    fit = fit_gradient_flow(Network.stack([single]), inputs, slope * inputs, settings=settings)
    growth = np.exp(4 * slope * end)
    product = slope * growth / (growth - 1 + slope / start)
    layers = fit.students.student(0).layers
    # The solver's own error at rtol 1e-8, summed over its steps.
    np.testing.assert_allclose(layers[0].weight * layers[1].weight, product, rtol=1e-6)
    np.testing.assert_allclose(layers[0].weight, layers[1].weight, rtol=1e-6)
    np.testing.assert_allclose(fit.losses, (slope - product) ** 2, rtol=1e-5)


def test_stiff_and_nonstiff_agree_with_another_solver_and_a_hand_made_gradient():
    widths = (3, 6, 1)
    inputs, targets = imitation((3, 2, 1), 300)
    students = ensemble(widths, 1)
    exact = solve_ivp(
        lambda _, flat: -loss_and_gradient(flat, widths, inputs, targets)[1],
        (0.0, 3.0),
        flattened(students.student(0)),
        method="DOP853",
        rtol=1e-11,
        atol=1e-12,
    ).y[:, -1]
    for solver in ("stiff", "nonstiff"):
        settings = GradientFlowSettings(solver=solver, t1=3.0, **TIGHT)
        fit = fit_gradient_flow(students, inputs, targets, settings=settings)
        # Both solvers run at rtol 1e-8.
        np.testing.assert_allclose(flattened(fit.students.student(0)), exact, atol=1e-6)
        assert fit.stops == (StopReason.STEPS,)


def test_descends_to_rounding_and_isolates_a_broken_student():
    inputs, targets = imitation((3, 2, 1), 300)
    students = ensemble((3, 6, 1), 2)
    healthy = students.student(1)
    broken = healthy.replace(layers=tuple(_spoiled(layer) for layer in healthy.layers))
    both = Network.stack([students.student(0), broken, students.student(0)])
    reports = []
    fit = fit_gradient_flow(
        both,
        inputs,
        targets,
        settings=GradientFlowSettings(max_steps=500),
        report=reports.append,
        stage="fit",
    )
    assert fit.stops == (StopReason.TARGET, StopReason.DIVERGED, StopReason.TARGET)
    assert fit.losses[1] == np.inf
    assert fit.losses[0] <= 1e-31
    outputs = fit.students.student(0)(inputs)
    # The loss as the network's own call computes it may round differently.
    assert np.mean((outputs - targets) ** 2) < 1e-30
    assert np.all(np.diff(fit.curves[0][np.isfinite(fit.curves[0])]) <= 0)
    alone = fit_gradient_flow(
        Network.stack([students.student(0)]),
        inputs,
        targets,
        settings=GradientFlowSettings(max_steps=500),
    )
    np.testing.assert_array_equal(
        fit.students.layers[0].weight[2], alone.students.layers[0].weight[0]
    )
    assert {report.note for report in reports} >= {"compiling", "gradient flow"}
    assert all(report.stage == "fit" and report.done <= report.total for report in reports)
    assert fit.students.layers[0].weight.dtype == np.float64


def test_bfgs_alone_descends_and_counts_its_steps():
    inputs, targets = imitation((3, 2, 1), 300)
    settings = GradientFlowSettings(solver="nonstiff", t1=1e-6, bfgs_steps=40)
    fit = fit_gradient_flow(ensemble((3, 6, 1), 1), inputs, targets, settings=settings)
    assert fit.stops == (StopReason.STEPS,)
    assert fit.losses[0] < 1e-3 * fit.curves[0, 0]
    # Wolfe's first condition: the loss never rises.
    assert np.all(np.diff(fit.curves[0]) <= 0)


def test_a_passed_deadline_returns_the_students_as_they_came():
    inputs, targets = imitation((3, 2, 1), 300)
    students = ensemble((3, 6, 1), 2)
    fit = fit_gradient_flow(students, inputs, targets, deadline=time.monotonic())
    assert fit.stops == (StopReason.TIME, StopReason.TIME)
    np.testing.assert_array_equal(fit.students.layers[0].weight, students.layers[0].weight)
    assert np.all(np.isfinite(fit.losses))


def test_two_hidden_layers_and_a_skip():
    inputs, targets = imitation((3, 2, 1), 60)
    single = ensemble((3, 4, 3, 1), 1).student(0)
    single = Network.from_arrays(
        [(layer.weight, layer.bias) for layer in single.layers],
        "tanh",
        skip=(np.zeros((1, 3)), np.zeros(1)),
    )
    settings = GradientFlowSettings(solver="nonstiff", t1=20.0, bfgs_steps=0)
    fit = fit_gradient_flow(Network.stack([single]), inputs, targets, settings=settings)
    assert fit.losses[0] < 0.5 * fit.curves[0, 0]
    assert fit.students.skip is not None
    assert np.all(fit.students.skip.weight != 0)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"solver": "euler"}, "solver"),
        ({"rtol": 0.0}, "rtol"),
        ({"max_steps": 0}, "max_steps"),
        ({"bfgs_steps": -1}, "bfgs_steps"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    inputs, targets = imitation((3, 2, 1), 20)
    with pytest.raises(InvalidInputError, match=message):
        fit_gradient_flow(
            ensemble((3, 4, 1), 1), inputs, targets, settings=GradientFlowSettings(**changes)
        )


def _spoiled(layer):
    return type(layer)(np.full_like(layer.weight, np.nan), layer.bias)
