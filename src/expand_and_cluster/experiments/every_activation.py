"""Recover synthetic teachers of every activation of the catalogue, and of one of the user's own."""

from pathlib import Path

import jax.numpy as jnp
from jax import Array

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import Row, Task, run_study
from expand_and_cluster.experiments.synthetic import exact, recover_teacher

INPUT_SIZE, WIDTH, SEEDS = 8, 4, 5
OWN = "shifted_softsign"


def shifted_softsign(z: Array) -> Array:
    """Softsign of z + 0.3: bounded, smooth but for one point, and without symmetry."""
    moved = z + 0.3
    return moved / (1.0 + jnp.abs(moved))


def recover_activation(task: Task, report: Reporter) -> Row:
    """Recover one teacher of the named activation."""
    name = task["activation"]
    activation = shifted_softsign if name == OWN else name
    row = recover_teacher({**task, "activation": activation}, report)
    return {**row, "label": f"{name}, teacher {task['seed']}", "activation": name}


def run(folder: Path, smoke: bool, workers: int, report: Reporter) -> int:
    """Run the study; 0 if its claim holds, 3 if not."""
    names = ("tanh", OWN) if smoke else (*catalogue, OWN)
    tasks = [
        {"input_size": INPUT_SIZE, "width": WIDTH, "seed": seed, "activation": name}
        for name in names
        for seed in range(1 if smoke else SEEDS)
    ]
    rows = run_study(
        "activations", recover_activation, tasks, folder, workers=workers, report=report
    )
    wrong = [row for row in rows if row["identified"] and not exact(row)]
    return 0 if sum(map(exact, rows)) >= 0.9 * len(rows) and not wrong else 3


EXPERIMENT = Experiment(
    name="activations",
    claim="every activation and one of the user's own, 8-4-1: at least 9 of 10 exact",
    minutes=3.0,
    run=run,
)
