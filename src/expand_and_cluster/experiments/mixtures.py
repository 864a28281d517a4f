"""Recover synthetic teachers whose neurons have activations of their own.

The paper leaves unknown activations open (section 7). Told are the activations that occur; how many
neurons there are, and which has which, is to be found.
"""

from pathlib import Path

from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import Row, Task, run_study
from expand_and_cluster.experiments.synthetic import WEIGHT_ERROR
from expand_and_cluster.pipeline import recover
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.teachers.synthetic import synthetic, synthetic_inputs

INPUT_SIZE, PAIRS, SEEDS = 6, 10_000, 2
KINDS = (
    ("tanh", "relu"),
    ("tanh", "gelu"),
    ("sigmoid", "softplus"),
    ("g", "relu"),
    ("relu", "gelu"),
    ("tanh", "relu", "silu"),
)
WIDTH = 6
# One of them with more neurons.
WIDER = 12


def recover_mixture(task: Task, report: Reporter) -> Row:
    """Recover one teacher whose neurons have these activations by turns, and compare."""
    kinds, width, seed = task["kinds"], task["width"], task["seed"]
    names = [kinds[k % len(kinds)] for k in range(width)]
    teacher = synthetic(INPUT_SIZE, width, seed, names)
    inputs = synthetic_inputs(PAIRS, INPUT_SIZE, seed + 1)
    pairs = QueryPairs(inputs, teacher(inputs))
    recovery = recover(pairs, activation=kinds, seed=seed, progress=report)
    comparison = compare(recovery, teacher)
    found = [recovery.network.activation.of(k).name for k in range(recovery.network.widths[1])]
    return {
        "label": f"{', '.join(kinds)}, {width} neurons, teacher {seed}",
        "activations": ", ".join(kinds),
        "width": width,
        "seed": seed,
        "found": ", ".join(f"{found.count(kind)} {kind}" for kind in kinds),
        "right": comparison.missing == comparison.excess == 0,
        "max_weight_error": comparison.max_weight_error,
        "identified": recovery.verdict.identified,
        "found_by": recovery.settings["found_by"],
        "rounds": recovery.settings["rounds_used"],
        "reasons": list(recovery.verdict.reasons),
    }


def run(folder: Path, smoke: bool, workers: int, report: Reporter) -> int:
    """Run the study; 0 if its claim holds, 3 if not."""
    small = [(kinds, WIDTH) for kinds in KINDS]
    chosen = [(KINDS[0], 2)] if smoke else [*small, (KINDS[0], WIDER)]
    tasks = [
        {"kinds": list(kinds), "width": width, "seed": seed}
        for kinds, width in chosen
        for seed in range(1 if smoke else SEEDS)
    ]
    rows = run_study("mixtures", recover_mixture, tasks, folder, workers=workers, report=report)
    exact = [row for row in rows if row["right"] and row["max_weight_error"] <= WEIGHT_ERROR]
    wrong = [row for row in rows if row["identified"] and row not in exact]
    return 0 if len(exact) >= 0.75 * len(rows) and not wrong else 3


EXPERIMENT = Experiment(
    name="mixtures",
    claim="neurons with activations of their own, 6-6-1 and 6-12-1: at least 3 of 4 exact",
    minutes=90.0,
    run=run,
)
