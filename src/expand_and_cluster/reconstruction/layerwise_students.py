"""The students of a layerwise search: trained once, kept, and found again."""

from dataclasses import dataclass

import numpy as np

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.fitting.deep_descent import deep_step_operations
from expand_and_cluster.fitting.memory import Memory
from expand_and_cluster.fitting.result import Fit, joined
from expand_and_cluster.students.above import (
    FOUND,
    Above,
    samples_for_deep,
    sharpen,
    train_above,
)
from expand_and_cluster.students.regrown import Ground, regrow
from expand_and_cluster.students.training import TrainingData

# Students that are sharpened at a time, best first; none after one of them has found everything.
AT_ONCE = 2
# Most of the regrown ones.
SHARPENED = 4
# Wide students, of which nothing is known, are sharpened where a step costs no more than this.
MOST_OPERATIONS = 1e10


@dataclass(frozen=True)
class DeepStudents:
    """Trains students of several hidden layers.

    Attributes:
        data: Pairs to fit, in random order.
        activation: Activation of the hidden layers.
        hidden_layers: How many of them.
        count: Students of every ensemble.
        seed: Seed of all of them.
        checkpoint: Keeps every trained student.
        report: Receives progress.
        deadline: `time.monotonic()` after which training stops.
    """

    data: TrainingData
    activation: Activation
    hidden_layers: int
    count: int
    seed: int
    checkpoint: Checkpoint
    report: Reporter
    deadline: float | None

    def can_sharpen(self, students: Network) -> bool:
        """Whether steps of Levenberg-Marquardt on students so wide are affordable."""
        samples = samples_for_deep(students.widths, len(self.data.inputs))
        return deep_step_operations(samples, students.widths) <= MOST_OPERATIONS

    def trained(self, index: int, layer: int, below: tuple[Layer, ...], width: int) -> Fit:
        """Random students above rebuilt layers, by Adam.

        Args:
            index: The round.
            layer: First hidden layer that is not rebuilt.
            below: Rebuilt layers.
            width: Neurons of every hidden layer above.
        """
        memory = Memory(self.checkpoint, f"students-{index}-{layer}", self.activation)
        known = memory.load_all()
        if known is not None:
            return known
        fit = train_above(
            self.data,
            Above(
                below,
                (width,) * (self.hidden_layers - layer),
                self.activation,
                self.count,
                self.seed,
                first=index * self.count,
            ),
            report=self.report,
            stage=f"train students, layer {layer + 1}, round {index + 1}",
            deadline=self.deadline,
        )
        memory.save_all(fit)
        return fit

    def regrown(self, ground: Ground, above: int, where: tuple[int, int, int]) -> Fit:
        """Students from what is known of a layer: by Adam, then the best sharpened.

        Args:
            ground: What is known.
            above: Neurons of every hidden layer above.
            where: Round, layer and look.
        """
        name = "-".join(map(str, where))
        memory = Memory(self.checkpoint, f"regrown-{name}", self.activation)
        fit = memory.load_all()
        if fit is None:
            fit = regrow(
                self.data,
                ground,
                (above,) * (self.hidden_layers - len(ground.below) - 1),
                self.activation,
                count=self.count,
                seed=(self.seed, *where),
                report=self.report,
                stage=f"regrow students, layer {where[1] + 1}, round {where[0] + 1}",
                deadline=self.deadline,
            )
            memory.save_all(fit)
        return self.sharpened(fit, name, most=SHARPENED)

    def above_read(self, rough: Fit, index: int) -> Fit:
        """Students above a layer that was read off, sharpened: mostly its biases are rough.

        While only these move, steps are cheap. The best student then moves as a whole, for what was
        read is not exact; so do others if none holds all of the teacher yet.

        Args:
            rough: Students as Adam left them.
            index: The round.
        """
        fit = self.sharpened(rough, f"above-{index}", most=SHARPENED, biases_first=True)
        if is_over(self.deadline):
            return fit
        found = fit.losses.min() <= FOUND
        return self.sharpened(fit, f"whole-{index}", most=1 if found else SHARPENED)

    def sharpened(
        self, rough: Fit, name: str, *, most: int = AT_ONCE, biases_first: bool = False
    ) -> Fit:
        """The best of these students by Levenberg-Marquardt, until one holds all of the teacher.

        The others follow as they are.

        Args:
            rough: Students as Adam left them.
            name: Name of the ensemble, for the checkpoint.
            most: At most this many are sharpened.
            biases_first: Whether of the first layer, which all students have, only biases move.
        """
        order = np.argsort(rough.losses, kind="stable")
        done: list[Fit] = []
        chosen = order[:most]
        for begin in range(0, len(chosen), AT_ONCE):
            some = [int(student) for student in chosen[begin : begin + AT_ONCE]]
            fit = sharpen(
                self.data,
                Network.stack([rough.students.student(student) for student in some]),
                report=self.report,
                stage=f"sharpen students {name}",
                deadline=self.deadline,
                memory=Memory(self.checkpoint, f"sharpened-{name}-{begin}", self.activation),
                biases_first=biases_first,
            )
            done.append(fit)
            if fit.losses.min() <= FOUND or is_over(self.deadline):
                break
        rest = order[sum(len(fit.losses) for fit in done) :]
        return joined([*done, *(rough.part(int(student)) for student in rest)])
