"""Which activation lets students imitate the pairs: a race of candidates, decided by error."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.students.training import TrainingData, default_fit, train_students

# Students of every candidate at every width, and the steps each of them may take.
STUDENTS = 3
STEPS = {"levenberg_marquardt": 100, "adam": 4_000, "gradient_flow": None}
WIDTHS = {
    "levenberg_marquardt": (8, 16, 32, 64),
    "adam": (32, 64, 128),
    "gradient_flow": (8, 16),
}
# Rounds before the worse half of the candidates is left behind: a student of the right activation
# and little more than the teacher's width often ends in a poor minimum, where others do better.
GRACE = 2
LEAST = 3
# Relative root mean squared error on held-out pairs that only the right activation and its near
# relations reach. On 32 of 33 teachers of every activation the next one erred 9e11 times as much;
# on the other one the right students were stuck, and those of a near relation were not.
REACHED = 1e-10
# Where the answers are rounded: the same, in units of their rounding.
NOISE_FACTOR = 30.0


@dataclass(frozen=True)
class Trial:
    """What the students of one activation came to.

    Attributes:
        activation: Their activation.
        width: Width of those with the least error.
        error: Least root mean squared error on held-out pairs, relative to the outputs' spread.
        reached: Whether that is all that rounding leaves.
    """

    activation: Activation
    width: int
    error: float
    reached: bool


def screen(
    data: TrainingData,
    held_out: TrainingData,
    candidates: Sequence[Activation],
    *,
    seed: int,
    width: int | None = None,
    noise: float = 0.0,
    method: str | None = None,
    report: Reporter = silent,
    deadline: float | None = None,
) -> tuple[Trial, ...]:
    """Train a few small students of every activation, wider each round, until one imitates all.

    After a grace of two rounds the worse half of the candidates is left behind each time
    (successive halving). All candidates of the round in which one reaches rounding are tried
    before it ends.

    Args:
        data: Standardised pairs in random order.
        held_out: Standardised pairs the students do not see.
        candidates: Activations to try.
        seed: Seed of the students: the same start for every activation.
        width: Hidden neurons of a student; None tries several.
        noise: Root mean squared rounding of the answers, in standardised units.
        method: Way of fitting; None chooses by the number of inputs.
        report: Receives progress.
        deadline: `time.monotonic()` after which nothing new is begun.

    Returns:
        One trial for each candidate, the best first.
    """
    inputs, outputs = data.inputs.shape[1], data.targets.shape[1]
    method = method or default_fit(inputs)
    enough = max(REACHED, NOISE_FACTOR * noise)
    widths = WIDTHS[method] if width is None else (width,)
    affordable = [w for w in widths if w * (inputs + 1 + outputs) <= len(data.inputs) * outputs]
    trials = [Trial(candidate, 0, float("inf"), False) for candidate in candidates]
    racing = len(trials)
    for number, size in enumerate(affordable or widths[:1]):
        if number >= GRACE:
            racing = max(LEAST, racing // 2)
        for place in range(min(racing, len(trials))):
            if is_over(deadline):
                return _ranked(trials)
            activation = trials[place].activation
            report(Progress("name the activation", place, racing, note=f"{activation.name} {size}"))
            fit = train_students(
                data,
                size,
                activation,
                count=STUDENTS,
                seed=seed,
                method=method,
                steps=STEPS[method],
                stage=f"name the activation: {activation.name}, width {size}",
                deadline=deadline,
            )
            error = float(np.min(_errors(fit.students(held_out.inputs), held_out.targets)))
            if error < trials[place].error:
                trials[place] = replace(
                    trials[place], width=size, error=error, reached=error <= enough
                )
        trials = list(_ranked(trials))
        if trials[0].reached:
            break
    return tuple(trials)


def _errors(
    answers: Float[np.ndarray, "students samples outputs"],
    targets: Float[np.ndarray, "samples outputs"],
) -> Float[np.ndarray, " students"]:
    errors = np.sqrt(np.mean((answers - targets) ** 2, axis=(1, 2)))
    return np.where(np.isfinite(errors), errors, np.inf)


def _ranked(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    return tuple(sorted(trials, key=lambda trial: trial.error))
