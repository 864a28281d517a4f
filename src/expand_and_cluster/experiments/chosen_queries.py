"""Large networks by chosen questions: 784-64-10 and 784-256-10, trained on images.

Paper, Table 1: the same kind of teachers from their answers on the training images, logits right to
1e-3 after 25,000 epochs of every student. Here nothing is known of the images: questions are asked.
"""

import resource
import sys
from functools import partial
from pathlib import Path

from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.datasets.loading import load
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import Row, Task, all_in_time, run_study
from expand_and_cluster.pipeline import recover
from expand_and_cluster.queries.samplers import Gaussian
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.teachers.trained import trained

ACTIVATIONS = ("tanh", "sigmoid", "softplus", "relu", "leaky_relu", "gelu", "silu", "g")
WIDE = ("g", "sigmoid", "tanh")
DATASETS = ("mnist", "fashion_mnist")
STUDENTS = 4
# Largest error of any weight, after sign and scale, that the claims allow.
WEIGHT_ERROR = 1e-9


def recover_by_asking(task: Task, report: Reporter) -> Row:
    """Train one teacher, recover it by asking, and compare."""
    data = load(task["dataset"])
    widths = (data.input_size, task["width"], data.classes)
    cache = Path(task["teachers"])
    teacher = trained(data, widths, task["activation"], seed=task["seed"], cache=cache)
    recovery = recover(
        teacher,
        inputs=Gaussian(data.input_size),
        activation=task["activation"],
        max_queries=task["max_queries"],
        students=task["students"],
        seed=task["seed"],
        progress=report,
    )
    scores = compare(recovery, teacher)
    return {
        "label": f"{task['dataset']} {task['activation']} {task['width']}",
        "dataset": task["dataset"],
        "activation": task["activation"],
        "width": task["width"],
        "found_width": recovery.network.hidden_widths[0],
        "identified": recovery.verdict.identified,
        "confidence": recovery.verdict.confidence,
        "max_weight_error": scores.max_weight_error,
        "rmse": scores.output_rmse(data.test_inputs),
        "queries": recovery.queries,
        "recovery_seconds": recovery.seconds,
        "peak_gib": peak_memory(),
        "found_by": recovery.settings["found_by"],
    }


def peak_memory() -> float:
    """Most memory this process has held, in GiB."""
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def exact(row: Row) -> bool:
    """Whether a row is a recovery with the exact width and every weight."""
    return row["found_width"] == row["width"] and row["max_weight_error"] <= WEIGHT_ERROR


def run(
    folder: Path,
    smoke: bool,
    workers: int,
    report: Reporter,
    *,
    name: str,
    width: int,
    activations: tuple[str, ...],
    max_queries: int,
    minutes: float,
) -> int:
    """Run one width; 0 if its claim holds, 3 if not."""
    del workers  # Each recovery uses all cores; side by side they would only share them.
    pairs = [("digits", "tanh")] if smoke else [(d, a) for d in DATASETS for a in activations]
    tasks = [
        {
            "dataset": dataset,
            "activation": activation,
            "width": 16 if smoke else width,
            "max_queries": 12_000 if smoke else max_queries,
            "students": STUDENTS,
            "seed": 0,
            "teachers": str(folder / "teachers"),
        }
        for dataset, activation in pairs
    ]
    rows = run_study(name, recover_by_asking, tasks, folder, workers=0, report=report)
    return 0 if all_in_time(rows, exact, minutes) else 3


EXPERIMENT = Experiment(
    name="chosen-queries",
    claim="784-64-10, eight activations, two datasets, width unknown: all weights within 1e-9 from "
    "at most 65,536 questions, in at most 5 minutes each",
    minutes=22.0,
    run=partial(
        run,
        name="chosen-queries",
        width=64,
        activations=ACTIVATIONS,
        max_queries=65_536,
        minutes=5.0,
    ),
)

WIDE_EXPERIMENT = Experiment(
    name="chosen-queries-wide",
    claim="784-256-10, three activations, width unknown: all weights "
    "within 1e-9 from at most 262,144 questions, in at most 30 minutes each",
    minutes=50.0,
    run=partial(
        run,
        name="chosen-queries-wide",
        width=256,
        activations=WIDE,
        max_queries=1 << 18,
        minutes=30.0,
    ),
)
