"""Train students of several hidden layers, or what is above the layers that are rebuilt already."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.core.progress import Reporter, silent
from expand_and_cluster.fitting.damped_steps import LevenbergMarquardtSettings
from expand_and_cluster.fitting.deep_descent import (
    BiasesFirstDescent,
    DeepDescent,
    hidden_weights,
    lay_out_above,
)
from expand_and_cluster.fitting.deep_equations import lay_out
from expand_and_cluster.fitting.each_student import fit_each
from expand_and_cluster.fitting.first_order import AdamSettings, fit_adam
from expand_and_cluster.fitting.memory import Memory
from expand_and_cluster.fitting.result import Fit
from expand_and_cluster.students.initial import initial_students
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData

# Adam first, for it is cheap and sees all pairs: from a random start, Levenberg-Marquardt needs
# seven equations for every weight, and more of its costly steps, or it fits its few pairs by heart.
ADAM = AdamSettings(steps=12_000, learning_rate=3e-3, batch_size=256)
# Then Levenberg-Marquardt: whoever is on the way to zero halves the error all the time, whoever
# does not is in a minimum. The last digits are left to the network that has lost its spare neurons.
NEWTON = LevenbergMarquardtSettings(
    steps=300, target=1e-24, damping=1e-4, patience=24, progress=0.5
)
# Equations for every unknown that it sees: fewer are fitted by heart, more only cost time.
EQUATIONS = 4
FEWEST_SAMPLES = 2500
# Mean squared error of a student that holds all of the teacher.
FOUND = 1e-8


@dataclass(frozen=True)
class Above:
    """Students to be trained above rebuilt layers.

    Attributes:
        rebuilt: Hidden layers that are given, from the first one on; may be empty.
        widths: Sizes of the hidden layers above them.
        activation: Activation of the hidden layers.
        count: How many students.
        seed: Seed of the ensemble.
        first: Index of the first student.
    """

    rebuilt: tuple[Layer, ...]
    widths: tuple[int, ...]
    activation: Activation
    count: int
    seed: int
    first: int = 0


def samples_for_deep(widths: tuple[int, ...], available: int) -> int:
    """How many pairs Levenberg-Marquardt sees for students of these widths."""
    weights = sum((size + 1) * width for size, width in pairwise(widths))
    return min(available, max(FEWEST_SAMPLES, EQUATIONS * weights // widths[-1]))


def train_above(
    data: TrainingData,
    wanted: Above,
    *,
    report: Reporter = silent,
    stage: str = "train students",
    deadline: float | None = None,
) -> Fit:
    """Train random students by Adam on what the rebuilt layers give.

    Args:
        data: Standardised pairs in random order.
        wanted: Which students.
        report: Receives progress.
        stage: Name of the work in the reports.
        deadline: `time.monotonic()` after which training stops.

    Returns:
        Whole students, the rebuilt layers below each.
    """
    fed = values_after(wanted.rebuilt, wanted.activation, data.inputs)
    outputs = data.targets.shape[1]
    start = initial_students(
        (fed.shape[1], *wanted.widths, outputs),
        wanted.activation,
        count=wanted.count,
        seed=wanted.seed,
        first=wanted.first,
    )
    standard = Standardisation.fit(fed, data.targets)
    fit = fit_adam(
        start,
        standard.inputs(fed),
        data.targets,
        settings=ADAM,
        seed=wanted.seed,
        report=report,
        stage=stage,
        deadline=deadline,
    )
    # Targets are standardised already: only what the layers are fed is undone.
    plain = Standardisation(
        standard.input_center, standard.input_scale, np.zeros(outputs), np.ones(outputs)
    )
    whole = []
    for index in range(wanted.count):
        above = plain.restore(fit.students.student(index)).at_rest()
        whole.append(Network((*wanted.rebuilt, *above.layers), wanted.activation))
    return Fit(Network.stack(whole), fit.losses, fit.steps, fit.curves, fit.stops)


def sharpen(
    data: TrainingData,
    students: Network,
    *,
    report: Reporter = silent,
    stage: str = "sharpen students",
    deadline: float | None = None,
    memory: Memory | None = None,
    biases_first: bool = False,
) -> Fit:
    """Levenberg-Marquardt on all weights of these students, rebuilt layers included.

    Args:
        data: Standardised pairs in random order.
        students: Ensemble, as Adam left it.
        report: Receives progress.
        stage: Name of the work in the reports.
        deadline: `time.monotonic()` after which training stops.
        memory: Keeps students as they finish.
        biases_first: Whether of the first layer, whose input vectors all students have, only biases
            move.
    """
    widths = (0, *students.widths[1:]) if biases_first else students.widths
    part = data.first(samples_for_deep(widths, len(data.inputs)))
    weights = hidden_weights(widths)
    with double():
        if biases_first:
            vectors = np.asarray(students.student(0).layers[0].weight)
            laid_out = lay_out_above(vectors, part.inputs, part.targets, weights)
        else:
            laid_out = lay_out(part.inputs, part.targets, weights)
    descent = BiasesFirstDescent if biases_first else DeepDescent
    return fit_each(
        students,
        lambda student: descent(student, laid_out, NEWTON, deadline),
        steps=NEWTON.steps,
        report=report,
        stage=stage,
        memory=memory,
    )


def values_after(
    layers: tuple[Layer, ...], activation: Activation, inputs: Float[np.ndarray, "samples inputs"]
) -> Float[np.ndarray, "samples size"]:
    """What these hidden layers give for the inputs."""
    if not layers:
        return inputs
    size = len(layers[-1].bias)
    passing = Network((*layers, Layer(np.eye(size), np.zeros(size))), activation)
    return passing(inputs)
