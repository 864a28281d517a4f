import time

import numpy as np
import pytest
from scipy.optimize import least_squares
from tests.fitting.problems import (
    ensemble,
    flattened,
    imitation,
    loss_and_gradient,
    random_network,
)
from tests.oracles import jacobian

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.core.progress import Progress
from expand_and_cluster.fitting.levenberg_marquardt import (
    Descent,
    LevenbergMarquardtSettings,
    fit_levenberg_marquardt,
    steps_per_call,
)
from expand_and_cluster.fitting.normal_equations import prepare
from expand_and_cluster.fitting.result import StopReason

WIDTHS = (3, 5, 1)


@pytest.fixture(scope="module")
def problem():
    """Inputs, targets and six students."""
    inputs, targets = imitation((3, 3, 1), 200)
    return inputs, targets, ensemble(WIDTHS, 6)


@pytest.fixture(scope="module")
def fit(problem):
    inputs, targets, students = problem
    settings = LevenbergMarquardtSettings(steps=60)
    return fit_levenberg_marquardt(students, inputs, targets, settings=settings)


def nearby(network, size, seed):
    rng = np.random.default_rng(seed)
    layers = [
        (layer.weight + size * rng.normal(size=layer.weight.shape),
         layer.bias + size * rng.normal(size=layer.bias.shape))
        for layer in network.layers
    ]  # fmt: skip
    return Network.from_arrays(layers, network.activation)


def assert_same(network, other):
    np.testing.assert_array_equal(flattened(network), flattened(other))


@pytest.mark.parametrize("outputs", [1, 2])
def test_reaches_rounding_from_a_nearby_start(outputs):
    teacher = random_network((3, 4, outputs), 7, scale=1.5)
    inputs = np.random.default_rng(0).normal(size=(300, 3))
    students = Network.stack([nearby(teacher, 0.02, seed) for seed in range(2)])
    fit = fit_levenberg_marquardt(students, inputs, teacher(inputs))
    assert fit.stops == (StopReason.TARGET, StopReason.TARGET)
    assert fit.losses.max() <= 1e-28
    for index in range(2):
        # Rounding of outputs of size one, through a well conditioned problem.
        np.testing.assert_allclose(
            flattened(fit.students.student(index)), flattened(teacher), atol=1e-11
        )


def test_losses_are_those_of_the_students_and_never_rise(problem, fit):
    inputs, targets, students = problem
    error = fit.students(inputs) - targets
    np.testing.assert_allclose(fit.losses, np.mean(error**2, axis=(1, 2)), rtol=1e-8, atol=1e-29)
    first = np.mean((students(inputs) - targets) ** 2, axis=(1, 2))
    for curve, start, end in zip(fit.curves, first, fit.losses, strict=True):
        recorded = curve[~np.isnan(curve)]
        assert recorded[0] < start
        assert np.all(np.diff(recorded) <= 0)
        assert recorded[-1] == end
    assert fit.steps[-1] <= 60
    assert fit.losses[fit.best] == fit.losses.min()


def test_student_among_others_takes_the_steps_it_takes_alone(problem, fit):
    inputs, targets, students = problem
    alone = fit_levenberg_marquardt(
        Network.stack([students.student(3)]),
        inputs,
        targets,
        settings=LevenbergMarquardtSettings(steps=60),
    )
    # Nothing is batched across students: equal to the last bit.
    assert_same(alone.students.student(0), fit.students.student(3))
    assert alone.losses[0] == fit.losses[3]
    assert alone.stops[0] == fit.stops[3]


def test_twice_is_the_same(problem, fit):
    inputs, targets, students = problem
    settings = LevenbergMarquardtSettings(steps=60)
    again = fit_levenberg_marquardt(students, inputs, targets, settings=settings, seed=5)
    assert_same(again.students, fit.students)
    np.testing.assert_array_equal(again.curves, fit.curves)
    assert again.stops == fit.stops


def test_broken_student_stays_alone(problem, fit):
    inputs, targets, students = problem
    mixed = Network.stack([students.student(index) for index in range(3)])
    mixed.layers[0].weight[1, 0, 0] = np.nan
    result = fit_levenberg_marquardt(
        mixed, inputs, targets, settings=LevenbergMarquardtSettings(steps=60)
    )
    assert result.stops[1] == StopReason.DIVERGED
    assert result.losses[1] == np.inf
    for mine, before in ((0, 0), (2, 2)):
        assert_same(result.students.student(mine), fit.students.student(before))
        assert result.stops[mine] == fit.stops[before]
    assert result.best != 1


@pytest.mark.parametrize("steps", [1, 7, 30])
def test_steps_are_respected(problem, steps):
    inputs, targets, students = problem
    result = fit_levenberg_marquardt(
        Network.stack([students.student(0)]),
        inputs,
        targets,
        settings=LevenbergMarquardtSettings(steps=steps),
    )
    assert result.steps[-1] == steps
    assert result.stops == (StopReason.STEPS,)


def test_calls_divide_the_work_without_changing_it(problem, monkeypatch):
    inputs, targets, students = problem
    with double():
        data = prepare(inputs, targets, skip=False)
        settings = LevenbergMarquardtSettings(steps=20)
        whole = Descent(students.student(0), data, settings)
        divided = Descent(students.student(0), data, settings)
        monkeypatch.setattr(divided._steps, "_call", 3)
        calls = sum(1 for _ in whole.run())
        many = sum(1 for _ in divided.run())
    assert (calls, many) == (1, 7)
    # The loss is taken anew at the start of a call, from the same weights by the same program.
    assert_same(whole.network(), divided.network())


def test_deadline_in_the_past_ends_after_one_call(problem):
    inputs, targets, students = problem
    result = fit_levenberg_marquardt(students, inputs, targets, deadline=time.monotonic() - 1.0)
    # Those that were not done within the one call are stopped by the clock.
    assert set(result.stops) <= {StopReason.TIME, StopReason.TARGET}
    assert StopReason.TIME in result.stops
    assert result.steps[-1] <= steps_per_call(200, 4, 5, 1)
    assert np.all(np.isfinite(result.losses))


def test_stalls_where_nothing_is_left_to_gain():
    rng = np.random.default_rng(3)
    inputs, targets = rng.normal(size=(150, 2)), rng.normal(size=(150, 1))
    result = fit_levenberg_marquardt(ensemble((2, 2, 1), 1), inputs, targets)
    assert result.stops == (StopReason.STALLED,)
    assert result.steps[-1] < 300


def test_progress_counts_steps_and_shows_every_student(problem):
    inputs, targets, students = problem
    seen: list[Progress] = []
    result = fit_levenberg_marquardt(
        students,
        inputs,
        targets,
        settings=LevenbergMarquardtSettings(steps=10),
        report=seen.append,
        stage="some stage",
    )
    assert {progress.stage for progress in seen} == {"some stage"}
    assert {progress.total for progress in seen} == {10}
    assert max(progress.done for progress in seen) == 10
    shown = [progress.losses for progress in seen]
    assert all(losses is not None and losses.shape == (6,) for losses in shown)
    best = np.nanmin(np.stack([np.asarray(losses) for losses in shown]), axis=0)
    np.testing.assert_allclose(best, np.sqrt(result.losses), rtol=1e-12)


def test_frozen_and_absent_neurons_stay_as_they_are(problem):
    inputs, targets, students = problem
    start = students.student(4)
    present = np.array([True, True, False, True, True])
    free = np.array([True, False, True, True, False])
    with double():
        descent = Descent(
            start,
            prepare(inputs, targets, skip=False),
            LevenbergMarquardtSettings(steps=15),
            present=present,
            free=free,
        )
        for _ in descent.run():
            pass
        network, padded = descent.network(), descent.padded()
    still = ~(present & free)
    np.testing.assert_array_equal(padded.input_vectors[still], start.input_vectors[still])
    assert np.all(padded.input_vectors[~still] != start.input_vectors[~still])
    assert network.hidden_widths == (4,)
    np.testing.assert_array_equal(padded.input_vectors[present], network.input_vectors)
    np.testing.assert_array_equal(padded.output_vectors[2], start.output_vectors[2])
    # Frozen neurons may still change their output weights, and the absent one is not in the loss.
    assert np.all(padded.output_vectors[1] != start.output_vectors[1])
    assert descent.loss == pytest.approx(np.mean((network(inputs) - targets) ** 2), rel=1e-10)


def test_finds_the_minimum_that_scipy_finds():
    """Noisy targets: the minimum is not zero, and both methods must end in the same one."""
    widths = (2, 2, 1)
    teacher = random_network(widths, 5, scale=2.0)
    rng = np.random.default_rng(6)
    inputs = rng.normal(size=(120, 2))
    targets = teacher(inputs) + 0.05 * rng.normal(size=(120, 1))
    start = nearby(teacher, 0.1, 9)
    shape = (2, 3, 1, 1)

    def evaluate(flat):
        return jacobian.dense(flat, shape, inputs, targets, "tanh")

    first = jacobian.flatten(start.input_vectors, start.layers[1].weight, start.layers[1].bias)
    theirs = least_squares(
        lambda flat: evaluate(flat)[0],
        first,
        jac=lambda flat: evaluate(flat)[1],  # type: ignore[arg-type]  # SciPy has no types; pyright guesses
        method="lm",
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
    )
    fit = fit_levenberg_marquardt(Network.stack([start]), inputs, targets)
    ours = fit.students.student(0)
    assert fit.losses[0] == pytest.approx(2.0 * theirs.cost / 120, rel=1e-12)
    found = jacobian.flatten(ours.input_vectors, ours.layers[1].weight, ours.layers[1].bias)
    # A minimum of size f is flat over sqrt(rounding of f): weights agree to about 1e-7.
    np.testing.assert_allclose(found, theirs.x, atol=1e-5)
    assert np.abs(loss_and_gradient(flattened(ours), widths, inputs, targets)[1]).max() < 1e-7


def test_skip_is_fitted_too():
    rng = np.random.default_rng(8)
    inputs = rng.normal(size=(200, 2))
    weights = [(rng.normal(size=(2, 2)), rng.normal(size=2)), (rng.normal(size=(1, 2)), [0.3])]
    teacher = Network.from_arrays(weights, "gelu", (rng.normal(size=(1, 2)), [0.0]))
    start = Network(
        nearby(teacher, 0.02, 1).layers, resolve("gelu"), type(teacher.layers[0])(
            np.zeros((1, 2)), np.zeros(1)
        ),
    )  # fmt: skip
    fit = fit_levenberg_marquardt(Network.stack([start]), inputs, teacher(inputs))
    assert fit.stops == (StopReason.TARGET,)
    found = fit.students.student(0)
    assert found.skip is not None
    assert teacher.skip is not None
    np.testing.assert_allclose(found.skip.weight, teacher.skip.weight, atol=1e-10)


def test_call_length_depends_on_shapes_alone_and_is_bounded():
    assert steps_per_call(100, 3, 4, 1) == 25
    assert steps_per_call(10**6, 300, 200, 10) == 1
