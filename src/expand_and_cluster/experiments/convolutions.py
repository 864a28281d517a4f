"""Convolutional layers by chosen questions: kernels of networks trained on images, and random ones.

Paper, A.7 and Fig. A.16: two layers of 16 channels with max-pooling, students of three times the
channels, given data; kernels align well, no number is given. Here questions are chosen, nothing is
trained, and kernels must be exact. Dense layers are not rebuilt.
"""

import time
from pathlib import Path

from expand_and_cluster.convolutions import recover_convolutions
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.conv_geometry import Conv, Convolutional
from expand_and_cluster.core.conv_layer import ConvLayer
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.errors import QueryBudgetError
from expand_and_cluster.core.progress import Reporter, silent
from expand_and_cluster.datasets.loading import load
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import Row, Task, run_study
from expand_and_cluster.queries.samplers import Gaussian
from expand_and_cluster.scoring.compare_channels import ChannelComparison, compare_channels
from expand_and_cluster.teachers.convolutional import convolutional, trained_convolutional

HIDDEN = 32
MAX_QUERIES = 1_000_000
# Largest cosine distance of any kernel, bias included, that the claim allows.
DISTANCE = 1e-6

TASKS = (
    {"dataset": "fashion_mnist", "channels": [16, 16], "seed": 2},
    {"dataset": "fashion_mnist", "channels": [16, 16], "seed": 1},
    {"dataset": None, "channels": [16, 16], "seed": 0},
)
SMOKE = ({"dataset": "digits", "channels": [4], "seed": 0},)


def recover_one(task: Task, report: Reporter = silent) -> Row:
    """Recover the convolutional layers of one teacher by asking, and compare."""
    side = 8 if task["dataset"] == "digits" else 28
    architecture = Convolutional((1, side, side), [Conv(3, pool="max") for _ in task["channels"]])
    teacher = make_teacher(architecture, task)
    layers, outcome = _recovered(
        teacher, architecture, task.get("max_queries", MAX_QUERIES), report
    )
    scores = compare_channels(layers, teacher)
    keep_kernels(scores, architecture, task)
    absent = sum(teacher.channels[len(layers) :])
    distances = [float(layer.distances.max()) for layer in scores] + [1.0] * bool(absent)
    return {
        "label": f"{task['dataset'] or 'random'} seed {task['seed']}",
        "dataset": task["dataset"] or "random",
        "channels": list(teacher.channels),
        "found_channels": [len(layer.bias) for layer in layers],
        "missing": sum(layer.missing for layer in scores) + absent,
        "excess": sum(layer.excess for layer in scores),
        "max_input_distance": max(distances),
        **outcome,
    }


def _recovered(
    teacher: ConvNetwork, architecture: Convolutional, max_queries: int, report: Reporter
) -> tuple[tuple[ConvLayer, ...], Row]:
    """Layers as far as the budget goes, and how it went."""
    began = time.monotonic()
    try:
        recovery = recover_convolutions(
            teacher,
            architecture,
            inputs=Gaussian(architecture.input_size, 1.0),
            max_queries=max_queries,
            seed=0,
            progress=report,
        )
    except QueryBudgetError as error:
        return error.partial, {
            "identified": False,
            "reasons": [str(error)],
            "queries": max_queries,
            "recovery_seconds": time.monotonic() - began,
        }
    return recovery.layers, {
        "identified": recovery.verdict.identified,
        "reasons": list(recovery.verdict.reasons),
        "queries": recovery.queries,
        "recovery_seconds": recovery.seconds,
    }


def keep_kernels(
    scores: tuple[ChannelComparison, ...], architecture: Convolutional, task: Task
) -> None:
    """Keep kernels for the picture."""
    kept = {
        f"{name}-{depth}": getattr(layer, name)
        for depth, layer in enumerate(scores, start=1)
        for name in ("teacher", "recovered", "distances")
    }
    name = f"{task['dataset'] or 'random'}-{task['seed']}"
    kernels = [layer.kernel for layer in architecture.layers[: len(scores)]]
    Checkpoint(Path(task["folder"]) / "kernels").save(name, kept, {"kernels": kernels})


def make_teacher(architecture: Convolutional, task: Task) -> ConvNetwork:
    """The teacher of a task: a classifier of its images, or a random network."""
    if task["dataset"] is None:
        return convolutional(architecture, task["channels"], (HIDDEN, 10), seed=task["seed"])
    return trained_convolutional(
        load(task["dataset"]), architecture, task["channels"], (HIDDEN,), seed=task["seed"],
        steps=800,
    )  # fmt: skip


def exact(row: Row) -> bool:
    """Whether all channels of all layers were found, and no other."""
    return row["found_channels"] == row["channels"] and row["max_input_distance"] <= DISTANCE


def run(folder: Path, smoke: bool, workers: int, report: Reporter) -> int:
    """Recover all teachers; 0 if every channel is exact, 3 if not."""
    del workers  # Each recovery uses all cores; side by side they would only share them.
    tasks = [{**task, "folder": str(folder)} for task in (SMOKE if smoke else TASKS)]
    rows = run_study("convolutions", recover_one, tasks, folder, workers=0, report=report)
    return 0 if all(map(exact, rows)) else 3


EXPERIMENT = Experiment(
    name="convolutions",
    claim="28 x 28 relu networks with two layers of 16 channels, max-pooling and 32 neurons, "
    "numbers of channels unknown, two trained on Fashion-MNIST and a random one: all kernels of "
    "both layers within a cosine distance of 1e-6, and no other, from at most 1,000,000 questions "
    "each",
    minutes=50.0,
    run=run,
)
