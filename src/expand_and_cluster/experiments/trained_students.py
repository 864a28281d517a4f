"""Fig. A.6 on students that were really trained: every one reduces to the teacher.

Students are trained until they imitate the teacher nearly perfectly; those that end in a local
minimum are counted and left out, for their function is another.
"""

from itertools import count
from pathlib import Path

import numpy as np

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import Row, Task, run_study
from expand_and_cluster.fitting.levenberg_marquardt import (
    LevenbergMarquardtSettings,
    fit_levenberg_marquardt,
)
from expand_and_cluster.reconstruction.reduce import Step, reduce
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.students.initial import initial_students
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.teachers.synthetic import synthetic, synthetic_inputs

WIDTH = 4
# Activation, inputs, and how many times as wide as the teacher the students are.
FAMILIES = (("softplus", 4, 4), ("relu", 2, 3))
TEACHERS, STUDENTS = 4, 5
PAIRS = 4_000
STEPS = 1_000
# Error on the training pairs, relative to the outputs' spread, that counts as near zero.
NEAR_ZERO = 1e-6
# What the study has to show: the teacher's width, and weights right to this.
WEIGHT_ERROR = 1e-5


def reduce_student(task: Task, report: Reporter) -> Row:
    """Train students of one teacher until one is near zero, reduce it, and compare."""
    activation, size, teacher_seed = task["activation"], task["input_size"], task["teacher"]
    teacher = synthetic(size, WIDTH, teacher_seed, activation)
    inputs = synthetic_inputs(PAIRS, size, teacher_seed + 1)
    student, error, trained = _near_zero(task, inputs, teacher(inputs), report)
    reduction = reduce(student, inputs, error=error)
    steps = [_plain(step) for step in reduction.steps]
    return {
        "label": f"{activation}, teacher {teacher_seed}, student {task['student']}",
        "activation": activation,
        "trained": trained,
        "student_error": error,
        "student_width": student.hidden_widths[0],
        "width": WIDTH,
        "found_width": reduction.network.hidden_widths[0],
        "skip": reduction.network.skip is not None,
        "worst_step": max((step["error"] for step in steps), default=0.0),
        "reduced_error": reduction.error,
        "max_weight_error": compare(reduction.network, teacher).max_weight_error,
        "steps": steps,
    }


def _near_zero(
    task: Task, inputs: np.ndarray, outputs: np.ndarray, report: Reporter
) -> tuple[Network, float, int]:
    """The first near-zero student, its error, and how many were trained."""
    standard = Standardisation.fit(inputs, outputs)
    widths = (inputs.shape[1], task["factor"] * WIDTH, 1)
    for trial in count():
        start = initial_students(
            widths,
            catalogue[task["activation"]],
            count=1,
            seed=task["teacher"],
            first=1_000 * task["student"] + trial,
        )
        fit = fit_levenberg_marquardt(
            start,
            standard.inputs(inputs),
            standard.targets(outputs),
            settings=LevenbergMarquardtSettings(steps=STEPS),
            report=report,
        )
        error = float(np.sqrt(fit.losses[0]))
        if error <= NEAR_ZERO:
            return standard.restore(fit.students.student(0)).at_rest(), error, trial + 1
    raise AssertionError("unreachable: count() does not end")


def _plain(step: Step) -> Row:
    return {
        "width": step.width,
        "reason": step.reason,
        "neurons": " ".join(map(str, step.neurons)),
        "error": step.error,
    }


def run(folder: Path, smoke: bool, workers: int, report: Reporter) -> int:
    """Run the study; 0 if its claim holds, 3 if not."""
    families = FAMILIES[1:] if smoke else FAMILIES
    tasks = [
        {
            "activation": activation,
            "input_size": size,
            "factor": factor,
            "teacher": teacher,
            "student": student,
        }
        for activation, size, factor in families
        for teacher in range(1 if smoke else TEACHERS)
        for student in range(2 if smoke else STUDENTS)
    ]
    rows = run_study(
        "trained-students", reduce_student, tasks, folder, workers=workers, report=report
    )
    reduced = [
        row["found_width"] == row["width"] and row["max_weight_error"] <= WEIGHT_ERROR
        for row in rows
    ]
    return 0 if all(reduced) else 3


EXPERIMENT = Experiment(
    name="trained-students",
    claim="20 softplus and 20 relu students trained to near zero: all reduce to the teacher",
    minutes=5.0,
    run=run,
)
