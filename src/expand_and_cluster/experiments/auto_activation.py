"""Name the activation of synthetic teachers from their answers alone.

The paper leaves unknown activations open (section 7).
"""

from pathlib import Path

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import Row, Task, run_study
from expand_and_cluster.experiments.synthetic import PAIRS, WEIGHT_ERROR
from expand_and_cluster.pipeline import recover
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.symmetries.relations import find_relation
from expand_and_cluster.teachers.synthetic import synthetic, synthetic_inputs

INPUT_SIZE, WIDTH, SEEDS = 8, 4, 3


def name_activation(task: Task, report: Reporter) -> Row:
    """Recover one teacher whose activation is not told, and compare."""
    name, seed = task["activation"], task["seed"]
    teacher = synthetic(INPUT_SIZE, WIDTH, seed, name)
    inputs = synthetic_inputs(PAIRS, INPUT_SIZE, seed + 1)
    pairs = QueryPairs(inputs, teacher(inputs))
    recovery = recover(pairs, activation="auto", seed=seed, progress=report)
    choice = recovery.activations
    assert choice is not None
    network = recovery.network
    if name in choice.equivalent:
        relation = find_relation(network.activation, catalogue[name])
        assert relation is not None
        network = relation.rewrite(network, catalogue[name])
    right = name in (choice.chosen, *choice.equivalent)
    return {
        "label": f"{name}, teacher {seed}",
        "activation": name,
        "seed": seed,
        "named": choice.chosen,
        "equivalent": ", ".join(choice.equivalent),
        "decided": choice.decided,
        "right": right,
        "runner_up": choice.runner_up,
        "margin": choice.margin,
        "found_width": network.hidden_widths[0],
        "identified": recovery.verdict.identified,
        "max_weight_error": compare(network, teacher).max_weight_error if right else None,
    }


def run(folder: Path, smoke: bool, workers: int, report: Reporter) -> int:
    """Run the study; 0 if its claim holds, 3 if not."""
    names = ("sigmoid",) if smoke else tuple(catalogue)
    tasks = [
        {"activation": name, "seed": seed}
        for seed in range(1 if smoke else SEEDS)
        for name in names
    ]
    rows = run_study(
        "auto-activation", name_activation, tasks, folder, workers=workers, report=report
    )
    wrong = [row for row in rows if row["decided"] and not row["right"]]
    exact = [row for row in rows if row["right"] and row["max_weight_error"] <= WEIGHT_ERROR]
    return 0 if len(exact) == len(rows) and not wrong else 3


EXPERIMENT = Experiment(
    name="auto-activation",
    claim="every activation, not told, 8-4-1: all named, up to equivalence, and recovered exactly",
    minutes=15.0,
    run=run,
)
