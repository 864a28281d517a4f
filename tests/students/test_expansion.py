import time
from typing import Any

import numpy as np
import pytest
from tests.fitting.problems import flattened, imitation

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.network import Network
from expand_and_cluster.fitting.result import StopReason
from expand_and_cluster.students.expansion import NARROWEST, expand
from expand_and_cluster.students.training import (
    TrainingData,
    default_fit,
    samples_for,
    train_students,
)

TANH = resolve("tanh")


def pairs(widths, samples, *, seed=0):
    inputs, targets = imitation(widths, samples, seed=seed)
    held = samples // 5
    training = TrainingData(inputs[held:], targets[held:])
    return training, TrainingData(inputs[:held], targets[:held])


def test_grows_until_students_imitate():
    data, held_out = pairs((3, 3, 1), 500)
    seen = []
    found = expand(data, held_out, TANH, seed=0, report=seen.append)
    assert found.reached
    assert found.chosen >= 3
    np.testing.assert_array_equal(found.widths, NARROWEST["levenberg_marquardt"] * 2 ** np.arange(
        len(found.widths)
    ))  # fmt: skip
    assert found.losses.shape == (len(found.widths), 2)
    assert found.losses[-1].min() <= found.criterion
    assert np.all(found.losses[:-1] > found.criterion)
    assert found.chosen == 2 * found.widths[-1]
    stages = [progress.stage for progress in seen]
    assert all(f"expand: width {width}" in stages for width in found.widths)


def test_teacher_wider_than_the_narrowest_student_needs_growth():
    data, held_out = pairs((4, 6, 1), 700, seed=3)
    found = expand(data, held_out, TANH, seed=0)
    assert found.reached
    assert len(found.widths) > 1
    assert found.chosen >= 6


def test_same_seed_same_curve():
    data, held_out = pairs((3, 3, 1), 300)
    one, two = (expand(data, held_out, TANH, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.losses, two.losses)
    assert one.chosen == two.chosen


def test_gives_up_before_weights_outnumber_equations():
    rng = np.random.default_rng(0)
    noise = TrainingData(rng.normal(size=(60, 2)), rng.normal(size=(60, 1)))
    found = expand(noise, noise.first(15), TANH, seed=0)
    assert not found.reached
    assert found.chosen in found.widths
    assert found.widths[-1] * 4 <= 60


def test_deadline_ends_growth():
    data, held_out = pairs((4, 6, 1), 400, seed=3)
    found = expand(data, held_out, TANH, seed=0, deadline=time.monotonic() - 1.0)
    assert found.chosen > 0
    assert len(found.widths) == 1


@pytest.mark.parametrize(
    ("inputs", "width", "method"),
    [(8, 32, "levenberg_marquardt"), (784, 4, "adam"), (32, 64, "adam")],
)
def test_way_of_fitting_follows_size(inputs, width, method):
    assert default_fit(inputs, width) == method


def test_samples_grow_with_the_weights_up_to_all():
    assert samples_for("adam", (3, 4, 1), 10_000) == 10_000
    small = samples_for("levenberg_marquardt", (3, 4, 1), 10_000)
    large = samples_for("levenberg_marquardt", (16, 64, 1), 10_000)
    assert small < large < 10_000
    assert large >= 4 * (17 * 64 + 65)
    assert samples_for("levenberg_marquardt", (16, 64, 1), 100) == 100


def test_student_of_a_later_round_is_the_same_wherever_it_starts():
    data, _ = pairs((3, 3, 1), 200)
    options: dict[str, Any] = {"seed": 2, "steps": 5}
    all_four = train_students(data, 4, TANH, count=4, **options)
    last = train_students(data, 4, TANH, count=1, first=3, **options)
    np.testing.assert_array_equal(
        flattened(all_four.students.student(3)), flattened(last.students.student(0))
    )


@pytest.mark.parametrize("method", ["levenberg_marquardt", "adam", "gradient_flow"])
def test_every_way_of_fitting_can_be_named(method):
    data, _ = pairs((3, 2, 1), 200)
    # A deadline that is over: only that the call goes through is looked at here.
    fit = train_students(
        data, 3, TANH, count=1, seed=0, method=method, steps=2, deadline=time.monotonic()
    )
    assert isinstance(fit.students, Network)
    assert fit.stops[0] in (StopReason.TIME, StopReason.STEPS)
