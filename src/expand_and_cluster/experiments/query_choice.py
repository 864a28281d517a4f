"""What a chosen second round of questions gains over plain ones, at equal count.

Half of the questions are Gaussian; the others are too, or are chosen among many candidates by what
students of the first half, or the network rebuilt from it, leave open. The paper leaves open which
queries are informative (section 7).
"""

from pathlib import Path

import numpy as np

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.errors import EacError
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import Row, Task, run_study
from expand_and_cluster.fitting.jacobian import jacobian
from expand_and_cluster.pipeline import recover
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.recovery import Recovery
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.students.choosing import (
    most_disputed,
    nearest_to_uncertain_hyperplanes,
    weakest_directions_first,
)
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData, train_students
from expand_and_cluster.teachers.synthetic import synthetic

INPUT_SIZE, WIDTH = 6, 4
ACTIVATIONS = ("tanh", "relu")
TEACHERS = 4
STUDENTS, STUDENT_WIDTH = 6, 12
# Questions for every weight of the teacher.
SHARES = (1.5, 2.0, 3.0)
CHOICES = ("plain", "disagreement", "hyperplanes", "directions")
CANDIDATES = 2000
# Seconds of each recovery.
SECONDS = 30.0
# Largest error of any weight at which a network counts as the teacher.
EXACT = 1e-9


def recover_chosen(task: Task, report: Reporter) -> Row:
    """Recover one teacher from questions of which the second half is chosen one way.

    Where the first half shows no network to choose by, the second is plain.
    """
    teacher = synthetic(INPUT_SIZE, WIDTH, task["seed"], task["activation"])
    weights = WIDTH * (INPUT_SIZE + 2) + 1
    count = round(task["share"] * weights)
    rng = np.random.default_rng((task["seed"], 3))
    first = rng.standard_normal((count - count // 2, INPUT_SIZE))
    candidates = rng.standard_normal((CANDIDATES, INPUT_SIZE))
    second = candidates[_chosen(task, first, teacher(first), candidates, count // 2, report)]
    inputs = np.concatenate([first, second])
    try:
        recovery = _recovered(task, inputs, teacher(inputs), report)
        identified = recovery.verdict.identified
        error = compare(recovery, teacher).max_weight_error
    except EacError:
        identified, error = False, float("inf")
    return {
        "label": f"{task['activation']} {task['choice']} {task['share']:g}",
        "activation": task["activation"],
        "choice": task["choice"],
        "share": task["share"],
        "seed": task["seed"],
        "queries": len(inputs),
        "exact": bool(error <= EXACT),
        "identified": identified,
        "max_weight_error": error,
        "amplification": _amplification(jacobian(teacher, inputs)),
    }


def _recovered(task: Task, inputs: np.ndarray, answers: np.ndarray, report: Reporter) -> Recovery:
    return recover(
        QueryPairs(inputs, answers),
        activation=task["activation"],
        students=STUDENTS,
        width=STUDENT_WIDTH,
        seed=0,
        time_budget=task["seconds"],
        progress=report,
    )


def _chosen(
    task: Task,
    first: np.ndarray,
    answers: np.ndarray,
    candidates: np.ndarray,
    count: int,
    report: Reporter,
) -> np.ndarray:
    """Indices of the candidates to ask."""
    if task["choice"] == "plain":
        return np.arange(count)
    if task["choice"] == "disagreement":
        standard = Standardisation.fit(first, answers)
        data = TrainingData(standard.inputs(first), standard.targets(answers))
        activation = resolve(task["activation"])
        fit = train_students(data, STUDENT_WIDTH, activation, count=STUDENTS, seed=1, report=report)
        return most_disputed(fit.students, standard.inputs(candidates), count, task["seed"])
    try:
        network = _recovered(task, first, answers, report).network
    except EacError:
        return np.arange(count)
    if task["choice"] == "hyperplanes":
        return nearest_to_uncertain_hyperplanes(network, first, candidates, count, task["seed"])
    return weakest_directions_first(network, first, candidates, count)


def _amplification(rows: np.ndarray) -> float:
    """Error of the worst direction of the weights for an error of one in every answer.

    The scale of a homogeneous neuron is no direction of the function: as many directions are left
    out as the activation has scales.
    """
    values = np.linalg.svd(rows.reshape(-1, rows.shape[-1]), compute_uv=False)
    seen = values[values > 1e-10 * values[0]]
    return float(1.0 / seen[-1])


def run(folder: Path, smoke: bool, workers: int, report: Reporter) -> int:
    """Run the study; 0: it makes no claim that could fail."""
    tasks = [
        {
            "activation": activation,
            "choice": choice,
            "share": share,
            "seed": seed,
            "seconds": SECONDS,
        }
        for activation in ACTIVATIONS[: 1 if smoke else None]
        for share in (SHARES[-1:] if smoke else SHARES)
        for choice in CHOICES
        for seed in range(1 if smoke else TEACHERS)
    ]
    run_study("query-choice", recover_chosen, tasks, folder, workers=workers, report=report)
    return 0


EXPERIMENT = Experiment(
    name="query-choice",
    claim="what questions chosen by disagreement, uncertain hyperplanes or the Jacobian's weakest "
    "directions gain over Gaussian ones at equal count",
    minutes=40.0,
    run=run,
)
