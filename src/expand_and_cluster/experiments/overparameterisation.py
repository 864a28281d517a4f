"""Fig. A.2A: direct training beside wider students at equal compute.

Paper (16 inputs, 4 neurons, one teacher): 2 of 1,024 direct runs reach zero loss, and 72 of 128
runs of students 8 times as wide, at equal compute.
"""

from pathlib import Path

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import Row, Task, run_study
from expand_and_cluster.experiments.synthetic import PAIRS
from expand_and_cluster.fitting.levenberg_marquardt import step_operations
from expand_and_cluster.fitting.result import StopReason
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData, samples_for, train_students
from expand_and_cluster.teachers.synthetic import synthetic, synthetic_inputs

INPUT_SIZE, WIDTH = 16, 4
FACTORS = (1, 2, 4, 8)
# Operations that every factor may spend on one teacher: a few batches of the widest students.
OPERATIONS = 2e11
BATCH = 8


def train_at_factor(task: Task, report: Reporter) -> Row:
    """Train students of one width until the operations are spent; count zero losses."""
    seed, factor = task["seed"], task["factor"]
    teacher = synthetic(INPUT_SIZE, WIDTH, seed)
    inputs = synthetic_inputs(PAIRS, INPUT_SIZE, seed + 1)
    outputs = teacher(inputs)
    standard = Standardisation.fit(inputs, outputs)
    data = TrainingData(standard.inputs(inputs), standard.targets(outputs))
    width = factor * WIDTH
    samples = samples_for("levenberg_marquardt", (INPUT_SIZE, width, 1), PAIRS)
    per_step = step_operations(samples, INPUT_SIZE + 1, width, 1)
    spent, trials, successes = 0.0, 0, 0
    while spent < task["operations"]:
        fit = train_students(
            data,
            width,
            catalogue["g"],
            count=BATCH,
            seed=seed,
            method="levenberg_marquardt",
            first=trials,
            report=report,
        )
        trials += BATCH
        successes += sum(stop == StopReason.TARGET for stop in fit.stops)
        spent += per_step * sum(fit.steps_taken)
    return {
        "label": f"teacher {seed}, students {factor} times as wide",
        "overparameterisation": factor,
        "seed": seed,
        "successes": successes,
        "trials": trials,
        "operations": spent,
    }


def run(folder: Path, smoke: bool, workers: int, report: Reporter) -> int:
    """Run the study; 0 if wide students succeed more often than direct training, 3 if not."""
    seeds = (7,) if smoke else tuple(range(5))
    operations = 0.02 * OPERATIONS if smoke else OPERATIONS
    tasks = [
        {"seed": seed, "factor": factor, "operations": operations}
        for seed in seeds
        for factor in FACTORS
    ]
    rows = run_study(
        "overparameterisation", train_at_factor, tasks, folder, workers=workers, report=report
    )

    def rate(factor: int) -> float:
        chosen = [row for row in rows if row["overparameterisation"] == factor]
        return sum(row["successes"] for row in chosen) / sum(row["trials"] for row in chosen)

    return 0 if rate(max(FACTORS)) > rate(1) else 3


EXPERIMENT = Experiment(
    name="overparameterisation",
    claim="16-4-1: share of students that reach zero loss, direct and 2, 4, 8 times as wide",
    minutes=4.0,
    run=run,
)
