"""What every way of fitting returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.core.network import Network


class StopReason(StrEnum):
    """Why a student's training ended."""

    TARGET = "reached the target loss"
    STALLED = "no further descent"
    STEPS = "used all steps"
    TIME = "used all time"
    DIVERGED = "loss became NaN or infinite"
    UNTRAINED = "read off second derivatives, not trained"


@dataclass(frozen=True)
class Fit:
    """Trained students with the history of their losses.

    Losses are mean squared errors over samples and outputs; a diverged student's is infinite and
    its weights are those of its best step.

    Attributes:
        students: Ensemble with NumPy float64 leaves.
        losses: Final loss of every student.
        steps: Optimiser steps at which the curves are recorded.
        curves: Loss of every student at these steps, NaN after it stopped.
        stops: Why each student stopped.
    """

    students: Network
    losses: Float[np.ndarray, " students"]
    steps: Int[np.ndarray, " points"]
    curves: Float[np.ndarray, "students points"]
    stops: tuple[StopReason, ...]

    @property
    def best(self) -> int:
        """Index of the student with the lowest loss."""
        return int(np.argmin(self.losses))

    @property
    def steps_taken(self) -> list[int]:
        """Steps after which each student stopped."""
        recorded = np.isfinite(self.curves)
        last = recorded.shape[1] - 1 - np.argmax(recorded[:, ::-1], axis=1)
        return [int(step) for step in np.where(recorded.any(axis=1), self.steps[last], 0)]

    def part(self, index: int) -> "Fit":
        """One of the students alone."""
        curves = self.curves[[index]]
        seen = np.isfinite(curves[0])
        return Fit(
            Network.stack([self.students.student(index)]),
            self.losses[[index]],
            self.steps[seen],
            curves[:, seen],
            (self.stops[index],),
        )

    @staticmethod
    def untrained(student: Network, loss: float) -> "Fit":
        """A single student as it came."""
        return Fit.from_histories(
            Network.stack([student]), [loss], [[(0, loss)]], [StopReason.UNTRAINED]
        )

    @staticmethod
    def from_histories(
        students: Network,
        losses: list[float],
        histories: list[list[tuple[int, float]]],
        stops: list[StopReason],
    ) -> "Fit":
        """Lay the students' (step, loss) records on one common axis of steps."""
        steps = sorted({step for history in histories for step, _ in history})
        position = {step: i for i, step in enumerate(steps)}
        curves = np.full((len(histories), len(steps)), np.nan)
        for row, history in zip(curves, histories, strict=True):
            for step, loss in history:
                row[position[step]] = loss
        return Fit(
            students,
            np.array([loss if np.isfinite(loss) else np.inf for loss in losses]),
            np.array(steps, dtype=np.int64),
            curves,
            tuple(stops),
        )


def joined(parts: Sequence[Fit]) -> Fit:
    """Fits of students of equal shape as one."""
    students = Network.stack(
        [fit.students.student(i) for fit in parts for i in range(len(fit.losses))]
    )
    histories = [
        [(int(step), float(loss)) for step, loss in zip(fit.steps, curve, strict=True)]
        for fit in parts
        for curve in fit.curves
    ]
    kept = [[(step, loss) for step, loss in each if np.isfinite(loss)] for each in histories]
    losses = [float(loss) for fit in parts for loss in fit.losses]
    return Fit.from_histories(students, losses, kept, [stop for fit in parts for stop in fit.stops])
