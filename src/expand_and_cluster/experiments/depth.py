"""Several hidden layers of unknown widths: the paper's deep synthetic teachers, and random ones.

Paper, Fig. A.1: 8-4-2-1 with one neuron too many, 16-8-4-2 with two, at a loss below 1e-10. Here
widths must be exact and every weight right.
"""

from functools import partial
from pathlib import Path

import numpy as np

from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import Row, Task, all_in_time, run_study
from expand_and_cluster.pipeline import recover
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.queries.samplers import Gaussian
from expand_and_cluster.reconstruction.reduce import reduce
from expand_and_cluster.recovery import Recovery
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.teachers.synthetic import synthetic_deep, synthetic_inputs
from expand_and_cluster.teachers.untrained import untrained

SYNTHETIC = ((8, 4, 2, 1), (16, 8, 4, 2))
UNTRAINED = ((10, 15, 15, 1), (10, 20, 20, 1), (40, 20, 10, 10, 1))
ACTIVATIONS = ("tanh", "relu", "g", "softplus", "gelu")
SEEDS = 10
# As in the paper; the last are for scoring alone.
PAIRS, UNSEEN = 30_000, 4_000
MAX_QUERIES = 1 << 18
# Largest error of any weight that the claims allow, and minutes for one recovery.
SYNTHETIC_ERROR, UNTRAINED_ERROR = 1e-9, 1e-8
MINUTES = 20.0


def recover_synthetic(task: Task, report: Reporter) -> Row:
    """Recover one teacher of the paper's deep synthetic family from given pairs."""
    widths = tuple(task["widths"])
    teacher = synthetic_deep(widths, task["seed"])
    inputs = synthetic_inputs(PAIRS + UNSEEN, widths[0], task["seed"])
    recovery = recover(
        QueryPairs(inputs[:PAIRS], teacher(inputs[:PAIRS])),
        activation="g",
        hidden_layers=len(widths) - 2,
        seed=task["seed"],
        time_budget=60.0 * MINUTES,
        progress=report,
    )
    return deep_row(task, recovery, teacher, inputs[PAIRS:])


def recover_untrained(task: Task, report: Reporter) -> Row:
    """Recover one random teacher by asking.

    What no question shows, a neuron that is never active for example, is taken out of the teacher
    before the comparison, and counted.
    """
    widths = tuple(task["widths"])
    teacher = untrained(widths, task["activation"], task["seed"])
    recovery = recover(
        teacher,
        inputs=Gaussian(widths[0]),
        activation=task["activation"],
        hidden_layers=len(widths) - 2,
        max_queries=MAX_QUERIES,
        seed=task["seed"],
        time_budget=60.0 * MINUTES,
        progress=report,
    )
    scale = recovery.settings["sampler"]["scale"]
    scale *= recovery.settings.get("widened_within_the_subspace", 1.0)
    inputs = scale * np.random.default_rng(task["seed"]).standard_normal((UNSEEN, widths[0]))
    visible = reduce(teacher, inputs, error=0.0).network
    return deep_row(task, recovery, visible, inputs) | {"teacher": list(teacher.hidden_widths)}


def exact(row: Row, error: float) -> bool:
    """Whether a row is a recovery with the exact widths and every weight."""
    return row["found_widths"] == row["widths"] and row["max_weight_error"] <= error


def deep_row(task: Task, recovery: Recovery, teacher: Network, inputs: np.ndarray) -> Row:
    """What is kept of a recovery of several layers; `inputs` are those it is scored on."""
    scores = compare(recovery, teacher)
    name = "-".join(map(str, task["widths"]))
    activation = teacher.activation.name
    return {
        "label": f"{name} {activation} seed {task['seed']}",
        "network": name,
        "activation": activation,
        "seed": task["seed"],
        "widths": list(teacher.hidden_widths),
        "found_widths": list(recovery.network.hidden_widths),
        "missing": scores.missing,
        "excess": scores.excess,
        "identified": recovery.verdict.identified,
        "max_weight_error": scores.max_weight_error,
        "rmse": scores.output_rmse(inputs),
        "queries": recovery.queries,
        "rounds": recovery.settings["rounds_used"],
        "student_width": recovery.settings["width"],
        "found_by": recovery.settings["found_by"],
        "recovery_seconds": recovery.seconds,
    }


def run_synthetic(folder: Path, smoke: bool, workers: int, report: Reporter) -> int:
    """Ten teachers of each of two sizes; 0 if nine of ten are exact in time, no verdict wrong."""
    sizes, seeds = (SYNTHETIC[:1], (0,)) if smoke else (SYNTHETIC, range(SEEDS))
    tasks = [{"widths": list(size), "seed": seed} for size in sizes for seed in seeds]
    rows = run_study("deep", recover_synthetic, tasks, folder, workers=workers, report=report)
    right = [exact(row, SYNTHETIC_ERROR) for row in rows]
    in_time = [row["recovery_seconds"] <= 60.0 * MINUTES for row in rows]
    wrong = any(row["identified"] and not good for row, good in zip(rows, right, strict=True))
    enough = all(
        sum(g and t for r, g, t in zip(rows, right, in_time, strict=True) if r["network"] == name)
        >= 0.9 * sum(r["network"] == name for r in rows)
        for name in {row["network"] for row in rows}
    )
    return 0 if enough and not wrong else 3


def run_untrained(folder: Path, smoke: bool, workers: int, report: Reporter) -> int:
    """Random teachers by asking; 0 if all are exact in time."""
    del workers  # Each recovery uses all cores; side by side they would only share them.
    pairs = [(w, a) for a in ACTIVATIONS for w in UNTRAINED]
    if smoke:
        pairs = [((4, 3, 2, 1), "tanh")]
    tasks = [{"widths": list(w), "activation": a, "seed": 0} for w, a in pairs]
    rows = run_study("deep-queries", recover_untrained, tasks, folder, workers=1, report=report)
    right = partial(exact, error=UNTRAINED_ERROR)
    return 0 if all_in_time(rows, right, MINUTES) else 3


EXPERIMENT = Experiment(
    name="deep",
    claim="8-4-2-1 and 16-8-4-2 synthetic, ten teachers each, widths unknown: exact widths and "
    "every weight within 1e-9 for at least nine of ten, in at most 20 minutes each",
    minutes=60.0,
    run=run_synthetic,
)

ASKING_EXPERIMENT = Experiment(
    name="deep-queries",
    claim="random networks 10-15-15-1, 10-20-20-1 and 40-20-10-10-1 of tanh, relu, g, softplus and "
    "gelu, widths unknown: every weight within 1e-8 from at most 262,144 questions, in at most 20 "
    "minutes each",
    minutes=25.0,
    run=run_untrained,
)
