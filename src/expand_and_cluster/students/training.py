"""Train many students: choose a way of fitting, give every one the same call."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.progress import Reporter, silent
from expand_and_cluster.fitting.first_order import AdamSettings, fit_adam
from expand_and_cluster.fitting.gradient_flow import fit_gradient_flow
from expand_and_cluster.fitting.levenberg_marquardt import (
    LevenbergMarquardtSettings,
    fit_levenberg_marquardt,
)
from expand_and_cluster.fitting.memory import Memory
from expand_and_cluster.fitting.result import Fit
from expand_and_cluster.queries.common_pairs import Shown
from expand_and_cluster.students.initial import LENGTH, initial_students

# Above this many input weights of one student, a step of Levenberg-Marquardt (whose solve grows
# with their cube) costs more than the many epochs of Adam that it replaces.
MOST_WEIGHTS = 1200
# Width of students by which the number of inputs decides, before any width is known.
NARROW = 32
# Equations that Levenberg-Marquardt sees for every unknown: more only cost time.
EQUATIONS_PER_WEIGHT = 4


@dataclass(frozen=True)
class TrainingData:
    """Standardised pairs that students are trained on."""

    inputs: Float[np.ndarray, "samples inputs"]
    targets: Float[np.ndarray, "samples outputs"]

    @cached_property
    def shown(self) -> Shown:
        """How often the pairs show each input."""
        return Shown(self.inputs)

    def first(self, count: int) -> "TrainingData":
        """The first pairs; pairs are in random order."""
        return TrainingData(self.inputs[:count], self.targets[:count])

    def joined(self, others: "TrainingData") -> "TrainingData":
        """These pairs and others."""
        return TrainingData(
            np.concatenate([self.inputs, others.inputs]),
            np.concatenate([self.targets, others.targets]),
        )


def default_fit(input_size: int, width: int = NARROW) -> str:
    """The way of fitting that suits a student of this size, or one of so many inputs."""
    small = (input_size + 1) * width <= MOST_WEIGHTS
    return "levenberg_marquardt" if small else "adam"


def samples_for(method: str, widths: tuple[int, ...], available: int) -> int:
    """How many pairs a fit of these widths is given."""
    if method == "adam":
        return available
    weights = sum((i + 1) * o for i, o in pairwise(widths))
    return min(available, max(600, EQUATIONS_PER_WEIGHT * weights // widths[-1]))


def train_students(
    data: TrainingData,
    width: int,
    activation: Activation,
    *,
    count: int,
    seed: int,
    method: str | None = None,
    steps: int | None = None,
    seconds: float | None = None,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    weight_decay: float = 0.0,
    initial_length: float = LENGTH,
    first: int = 0,
    hidden_layers: int = 1,
    report: Reporter = silent,
    stage: str = "train students",
    deadline: float | None = None,
    memory: Memory | None = None,
) -> Fit:
    """Train random students on standardised pairs.

    Args:
        data: Standardised pairs in random order.
        width: Neurons of every hidden layer of a student.
        activation: Their activation.
        count: How many students.
        seed: Seed of the ensemble.
        method: "levenberg_marquardt", "adam", "gradient_flow", or None to choose by size.
        steps: Most steps of one student; None for the default of the way of fitting.
        seconds: For Adam, time for the whole fit in place of steps; None for steps.
        learning_rate: For Adam; None for its default.
        batch_size: For Adam; None for its default.
        weight_decay: For Adam (see `AdamSettings`).
        initial_length: Length of the input vectors that students begin with.
        first: Index of the first student.
        hidden_layers: Hidden layers of a student; with more than one, the way is "adam".
        report: Receives progress.
        stage: Name of the work in the reports.
        deadline: `time.monotonic()` after which training stops.
        memory: Keeps students as they finish, where they are trained one by one.
    """
    widths = (data.inputs.shape[1], *(width,) * hidden_layers, data.targets.shape[1])
    chosen = method or default_fit(widths[0], width)
    part = data.first(samples_for(chosen, widths, len(data.inputs)))
    students = initial_students(
        widths, activation, count=count, seed=seed, first=first, length=initial_length
    )
    adam = first_order_settings(steps, seconds, learning_rate, batch_size)
    adam = replace(adam, weight_decay=weight_decay)
    return _fitter(chosen, steps, adam, memory)(
        students,
        part.inputs,
        part.targets,
        seed=seed,
        report=report,
        stage=stage,
        deadline=deadline,
    )


def _fitter(
    method: str,
    steps: int | None,
    adam: AdamSettings,
    memory: Memory | None,
) -> Callable[..., Fit]:
    if method == "levenberg_marquardt":
        settings = LevenbergMarquardtSettings()
        if steps is not None:
            settings = LevenbergMarquardtSettings(steps=steps)
        return partial(fit_levenberg_marquardt, settings=settings, memory=memory)
    if method == "adam":
        return partial(fit_adam, settings=adam)
    return fit_gradient_flow


def first_order_settings(
    steps: int | None,
    seconds: float | None,
    learning_rate: float | None,
    batch_size: int | None,
) -> AdamSettings:
    """Settings of Adam, defaults for what is None."""
    chosen = AdamSettings(batch_size=batch_size, seconds=seconds)
    if steps is not None:
        chosen = replace(chosen, steps=steps)
    if learning_rate is not None:
        chosen = replace(chosen, learning_rate=learning_rate)
    return chosen
