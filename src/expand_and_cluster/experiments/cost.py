"""What a recovery of several layers costs: against widths, depth, inputs and number of students.

Paper, section 5: the cost grows with the students' number and weights. Networks that are asked need
no student; what they cost are questions, and the time to read layers off and to polish all weights.
The cost of students is that of training them on given pairs, so many steps each.
"""

import time
from itertools import pairwise
from pathlib import Path

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import Row, Task, run_study
from expand_and_cluster.pipeline import recover
from expand_and_cluster.queries.samplers import Gaussian
from expand_and_cluster.recovery import Recovery
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData, train_students
from expand_and_cluster.teachers.synthetic import synthetic_deep, synthetic_inputs
from expand_and_cluster.teachers.untrained import untrained

ACTIVATION, OUTPUTS, SEED = "g", 10, 0
# One thing varies, the others stay: neurons of both layers, layers, inputs, students.
WIDTHS, INPUTS, LAYERS = (8, 16, 24, 32), (20, 40, 80, 160, 320), (1, 2, 3)
WIDTH, SIZE, STUDENTS = 16, 40, (1, 2, 4, 8, 16)
MAX_QUERIES, SECONDS = 1_000_000, 600.0
# What students are trained on, and for how long.
PAIRS, STEPS, STUDENT_WIDTH = 20_000, 4_000, 24
WEIGHT_ERROR = 1e-8


def tasks(smoke: bool) -> list[Task]:
    """One for each point of the picture."""
    if smoke:
        return [
            {"varied": "neurons of a layer", "value": r, "widths": [8, r, r, OUTPUTS]}
            for r in (4, 8)
        ]
    neurons = [(r, [SIZE, r, r, OUTPUTS]) for r in WIDTHS]
    layers = [(count, [SIZE, *[WIDTH] * count, OUTPUTS]) for count in LAYERS]
    inputs = [(size, [size, WIDTH, WIDTH, OUTPUTS]) for size in INPUTS]
    asked = {"neurons of a layer": neurons, "hidden layers": layers, "inputs": inputs}
    rows: list[Task] = [
        {"varied": varied, "value": value, "widths": widths}
        for varied, points in asked.items()
        for value, widths in points
    ]
    return rows + [{"varied": "students", "value": count} for count in STUDENTS]


def measure(task: Task, report: Reporter) -> Row:
    """One recovery by asking, or the training of some students."""
    varied, value = task["varied"], task["value"]
    label = {"label": f"{varied} {value}", "varied": varied, "value": value}
    if "widths" not in task:
        return label | _train(task, report)
    widths = tuple(task["widths"])
    teacher = untrained(widths, ACTIVATION, SEED)

    def recovered() -> Recovery:
        return recover(
            teacher,
            inputs=Gaussian(widths[0]),
            activation=ACTIVATION,
            hidden_layers=len(widths) - 2,
            max_queries=MAX_QUERIES,
            time_budget=SECONDS,
            seed=SEED,
            progress=report,
        )

    # The first time compiles.
    recovered()
    recovery = recovered()
    error = compare(recovery, teacher).max_weight_error
    return label | {
        "network": "-".join(map(str, widths)),
        "weights": teacher.parameter_count,
        "exact": bool(error <= WEIGHT_ERROR),
        "queries": recovery.queries,
        "cost": recovery.seconds,
    }


def _train(task: Task, report: Reporter) -> Row:
    teacher = synthetic_deep((16, 8, 4, 2), SEED)
    inputs = synthetic_inputs(PAIRS, 16, SEED)
    outputs = teacher(inputs)
    standard = Standardisation.fit(inputs, outputs)
    data = TrainingData(standard.inputs(inputs), standard.targets(outputs))

    def train(steps: int) -> float:
        began = time.monotonic()
        train_students(
            data,
            STUDENT_WIDTH,
            resolve("g"),
            count=task["value"],
            seed=SEED,
            method="adam",
            steps=steps,
            hidden_layers=2,
            report=report,
        )
        return time.monotonic() - began

    # The first time compiles.
    short = min(train(STEPS // 10) for _ in range(2))
    widths = (16, STUDENT_WIDTH, STUDENT_WIDTH, 2)
    return {
        "network": "-".join(map(str, widths)),
        "weights": sum((i + 1) * o for i, o in pairwise(widths)),
        "exact": None,
        "queries": PAIRS,
        "cost": train(STEPS) - short,
    }


def run(folder: Path, smoke: bool, workers: int, report: Reporter) -> int:
    """All points one after the other; 0 if every network that was asked came back exactly."""
    del workers  # Side by side they would measure each other.
    rows = run_study("deep-cost", measure, tasks(smoke), folder, workers=1, report=report)
    return 0 if all(row["exact"] is not False for row in rows) else 3


EXPERIMENT = Experiment(
    name="deep-cost",
    claim="what a recovery of several layers costs against neurons, layers, inputs and students, "
    "with the exponents; every network that is asked comes back exactly",
    minutes=10.0,
    run=run,
)
