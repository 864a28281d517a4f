import time
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fitting.problems import ensemble, flattened, imitation, loss_and_gradient

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.core.symmetry import Symmetry
from expand_and_cluster.fitting import adam_clock
from expand_and_cluster.fitting.first_order import AdamSettings, fit_adam
from expand_and_cluster.fitting.result import StopReason

SHORT = AdamSettings(batch_size=64, epochs=20)


@pytest.mark.parametrize("decay", [0.0, 5.0])
def test_one_batch_takes_the_steps_of_adam_written_by_hand(decay):
    widths = (3, 4, 2)
    inputs, targets = imitation((3, 2, 2), 40)
    students = ensemble(widths, 1)
    first = students.student(0)
    weights = flattened(first)
    # Biases do not decay.
    decays = flattened(
        first.replace(
            layers=tuple(
                Layer(np.ones_like(each.weight), np.zeros_like(each.bias)) for each in first.layers
            )
        )
    )
    mean = square = np.zeros_like(weights)
    steps, rate = 12, 0.01
    for step in range(steps):
        _, gradient = loss_and_gradient(weights, widths, inputs, targets)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        unbiased = square / (1 - 0.999 ** (step + 1))
        direction = mean / (1 - 0.9 ** (step + 1)) / (np.sqrt(unbiased) + 1e-8)
        falling = 0.5 * (1 + np.cos(np.pi * step / steps))
        weights = weights - rate * falling * (direction + decay * falling * decays * weights)
    settings = AdamSettings(learning_rate=rate, batch_size=100, epochs=steps, weight_decay=decay)
    fit = fit_adam(students, inputs, targets, settings=settings)
    # Float32: twelve steps of 0.01 on weights near 1.
    np.testing.assert_allclose(flattened(fit.students.student(0)), weights, atol=2e-6)
    exact, _ = loss_and_gradient(flattened(fit.students.student(0)), widths, inputs, targets)
    np.testing.assert_allclose(fit.losses, exact, rtol=1e-12)


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_descends_and_reports(schedule):
    inputs, targets = imitation((4, 2, 2), 300)
    settings = AdamSettings(
        learning_rate=1e-2, batch_size=64, epochs=150, schedule=schedule, patience=5
    )
    reports = []
    fit = fit_adam(
        ensemble((4, 8, 2), 4),
        inputs,
        targets,
        settings=settings,
        report=reports.append,
        stage="fit",
    )
    assert np.all(fit.losses < 0.02 * fit.curves[:, 0])
    assert fit.students.layers[0].weight.dtype == np.float64
    assert fit.students.layers[0].weight.shape == (4, 8, 4)
    assert fit.steps[0] == 0
    assert fit.steps[-1] == 150 * 5
    assert fit.curves.shape == (4, len(fit.steps))
    assert np.all(fit.losses <= np.nanmin(fit.curves, axis=1) * (1 + 1e-4))
    assert reports[0].note == "compiling"
    assert (reports[-1].done, reports[-1].total) == (150, 150)
    assert np.all(reports[-1].losses < 0.2)


def test_a_student_alone_equals_the_same_student_among_others():
    inputs, targets = imitation((4, 3, 2), 300)
    students = ensemble((4, 8, 2), 4)
    together = fit_adam(students, inputs, targets, settings=SHORT, seed=3)
    alone = fit_adam(Network.stack([students.student(3)]), inputs, targets, settings=SHORT, seed=3)
    # Float32 sums in another order, over 100 steps of at most 3e-3.
    np.testing.assert_allclose(
        together.students.layers[0].weight[3], alone.students.layers[0].weight[0], atol=1e-5
    )
    np.testing.assert_allclose(together.curves[3], alone.curves[0], rtol=1e-4)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    inputs, targets = imitation((4, 3, 2), 300)
    students = ensemble((4, 8, 2), 4)
    first, again, other = (
        fit_adam(students, inputs, targets, settings=SHORT, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.students.layers[0].weight, again.students.layers[0].weight)
    assert np.any(first.students.layers[0].weight != other.students.layers[0].weight)


def test_a_diverged_student_is_frozen_and_the_others_do_not_notice():
    inputs, targets = imitation((4, 3, 2), 300)
    students = ensemble((4, 8, 2), 4)
    first = students.layers[1]
    weight = first.weight.copy()
    weight[1] = 1e30  # its squared error overflows float32
    spoiled = students.replace(layers=(students.layers[0], type(first)(weight, first.bias)))
    healthy = fit_adam(students, inputs, targets, settings=SHORT)
    fit = fit_adam(spoiled, inputs, targets, settings=SHORT)
    steps = StopReason.STEPS
    assert fit.stops == (steps, StopReason.DIVERGED, steps, steps)
    assert fit.losses[1] == np.inf
    assert fit.best != 1
    np.testing.assert_array_equal(fit.students.layers[0].weight[1], _float32(students, 1))
    for student in (0, 2, 3):
        np.testing.assert_array_equal(
            fit.students.layers[0].weight[student], healthy.students.layers[0].weight[student]
        )


def test_a_student_that_breaks_down_later_keeps_its_best_weights():
    inputs, targets = imitation((4, 3, 2), 300)
    settings = AdamSettings(learning_rate=1e19, batch_size=64, epochs=4)
    fit = fit_adam(ensemble((4, 8, 2), 1), inputs, targets, settings=settings)
    assert fit.stops == (StopReason.DIVERGED,)
    np.testing.assert_array_equal(
        fit.students.layers[0].weight[0], _float32(ensemble((4, 8, 2), 1), 0)
    )


def test_the_last_weights_are_kept_where_they_are_asked_for():
    """From an exact start every step is one for the worse; one that breaks down keeps the start."""
    inputs, targets = imitation((4, 3, 2), 300)
    students = ensemble((4, 8, 2), 1)
    exact = students.student(0)(inputs)
    taught = AdamSettings(learning_rate=1e-2, batch_size=64, epochs=3)
    best = fit_adam(students, inputs, exact, settings=taught)
    np.testing.assert_array_equal(best.students.layers[0].weight[0], _float32(students, 0))
    last = fit_adam(students, inputs, exact, settings=replace(taught, keep="last"))
    found = last.students.student(0)
    assert not np.any(found.layers[0].weight == _float32(students, 0))
    assert last.losses[0] == pytest.approx(np.mean((found(inputs) - exact) ** 2), rel=1e-9)
    assert last.losses[0] > best.losses[0]
    broken = AdamSettings(learning_rate=1e19, batch_size=64, epochs=4, keep="last")
    fit = fit_adam(students, inputs, targets, settings=broken)
    np.testing.assert_array_equal(fit.students.layers[0].weight[0], _float32(students, 0))


def test_each_student_stops_at_the_target():
    inputs, targets = imitation((4, 2, 2), 300)
    students = ensemble((4, 8, 2), 4)
    settings = AdamSettings(learning_rate=1e-2, batch_size=64, epochs=200)
    free = fit_adam(students, inputs, targets, settings=settings)
    target = float(np.mean(free.curves[:, 10]))
    fit = fit_adam(students, inputs, targets, settings=AdamSettings(1e-2, 64, 200, target=target))
    assert fit.stops == (StopReason.TARGET,) * 4
    assert np.all(fit.losses <= target * (1 + 1e-5))
    assert np.all(fit.losses > free.losses)
    assert len(fit.steps) < len(free.steps)


def test_a_student_on_a_plateau_stops_by_itself():
    inputs, targets = imitation((4, 2, 2), 100)
    settings = AdamSettings(
        learning_rate=0.1,
        batch_size=20,
        epochs=2000,
        schedule="plateau",
        patience=2,
        factor=0.1,
        smallest_scale=1e-3,
    )
    fit = fit_adam(ensemble((4, 1, 2), 2), inputs, targets, settings=settings)
    assert fit.stops == (StopReason.STALLED, StopReason.STALLED)
    assert fit.steps[-1] < 2000 * 5


def test_a_passed_deadline_returns_the_students_as_they_came():
    inputs, targets = imitation((4, 2, 2), 100)
    students = ensemble((4, 5, 2), 2)
    fit = fit_adam(students, inputs, targets, deadline=time.monotonic())
    assert fit.stops == (StopReason.TIME, StopReason.TIME)
    np.testing.assert_array_equal(fit.students.layers[0].weight[1], _float32(students, 1))


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_a_fit_by_the_clock_descends_and_ends_by_itself(schedule):
    inputs, targets = imitation((4, 2, 2), 300)
    settings = AdamSettings(1e-2, batch_size=64, seconds=3.0, schedule=schedule, patience=10**6)
    reports = []
    fit = fit_adam(
        ensemble((4, 8, 2), 2), inputs, targets, settings=settings, report=reports.append
    )
    assert fit.stops == (StopReason.STEPS, StopReason.STEPS)
    assert np.all(fit.losses <= fit.curves[:, 0])
    assert np.all(np.diff(fit.steps) > 0)
    assert reports[0].total is None
    exact = np.mean((fit.students(inputs) - targets) ** 2, axis=(1, 2))
    np.testing.assert_allclose(fit.losses, exact, rtol=1e-12)


def test_a_deadline_before_the_end_of_the_settings_time_is_a_lack_of_time():
    inputs, targets = imitation((4, 2, 2), 100)
    settings = AdamSettings(seconds=1000.0)
    fit = fit_adam(
        ensemble((4, 5, 2), 2), inputs, targets, settings=settings, deadline=time.monotonic() + 0.1
    )
    assert fit.stops == (StopReason.TIME, StopReason.TIME)


@pytest.mark.parametrize(
    ("epochs", "interval"), [(1, 1), (20, 1), (40, 2), (100, 5), (500, 5), (501, 6), (10_000, 100)]
)
def test_evaluations_cost_a_small_share_of_training(epochs, interval):
    inputs, targets = imitation((2, 1, 1), 8)
    assert adam_clock.interval(epochs) == interval
    if epochs <= 100:
        settings = AdamSettings(batch_size=8, epochs=epochs)
        fit = fit_adam(ensemble((2, 2, 1), 1), inputs, targets, settings=settings)
        expected = sorted({*range(0, epochs, interval), epochs})
        np.testing.assert_array_equal(fit.steps, expected)


def test_ctrl_c_leaves_between_calls():
    inputs, targets = imitation((4, 2, 2), 100)

    def interrupt(progress):
        if progress.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_adam(ensemble((4, 5, 2), 2), inputs, targets, report=interrupt)


def test_two_hidden_layers_and_a_skip_inside_double_precision():
    inputs, targets = imitation((3, 2, 1), 200)
    single = ensemble((3, 6, 5, 1), 1).student(0)
    single = Network.from_arrays(
        [(layer.weight, layer.bias) for layer in single.layers],
        "tanh",
        skip=(np.zeros((1, 3)), np.zeros(1)),
    )
    settings = AdamSettings(learning_rate=1e-2, batch_size=50, epochs=100)
    with double():
        fit = fit_adam(Network.stack([single, single]), inputs, targets, settings=settings)
    assert np.all(fit.losses < 0.05 * fit.curves[:, 0])
    assert fit.students.skip is not None
    assert np.all(fit.students.skip.weight != 0)


def test_the_same_shapes_compile_once():
    inputs, targets = imitation((4, 2, 2), 110)
    traced = []

    def counted_tanh(z):
        traced.append(z.shape)
        return jnp.tanh(z)

    activation = Activation("counted", counted_tanh, lambda z: 1 - jnp.tanh(z) ** 2, Symmetry())
    students = ensemble((4, 3, 2), 2).replace(activation=activation)
    fit_adam(students, inputs, targets, settings=AdamSettings(epochs=5))
    once = len(traced)
    fit_adam(students, inputs, targets, settings=AdamSettings(1e-2, epochs=90), seed=1)
    assert len(traced) == once > 0


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "step"}, "schedule"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"batch_size": 0}, "batch_size"),
        ({"epochs": -1}, "epochs"),
        ({"seconds": 0.0}, "seconds"),
        ({"factor": 1.0}, "factor"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"keep": "first"}, "keep"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    inputs, targets = imitation((3, 2, 1), 20)
    with pytest.raises(InvalidInputError, match=message):
        fit_adam(ensemble((3, 4, 1), 1), inputs, targets, settings=AdamSettings(**changes))


def _float32(students, index):
    """First-layer weights of a student after a visit to float32."""
    rounded = jax.tree.map(lambda leaf: leaf.astype(np.float32).astype(np.float64), students)
    return rounded.layers[0].weight[index]
