"""Convolutional layers from given images, nothing asked: the setting of Fig. A.16.

Paper, A.7: two layers of 16 channels with max-pooling, students of three times the channels;
kernels align well, no number is given. Here students have twice the channels and see the training
images with the teacher's logits.
"""

from pathlib import Path

import numpy as np

from expand_and_cluster.convolutions import recover_convolutions
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.conv_geometry import Conv, Convolutional
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.layer_blocks import arrays_of, network_from
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.datasets.loading import load
from expand_and_cluster.experiments.chosen_queries import peak_memory
from expand_and_cluster.experiments.convolutions import HIDDEN, keep_kernels, make_teacher
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import Row, Task, run_study
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.scoring.compare_channels import compare_channels

# Largest cosine distance of any kernel, bias included, that the claim allows.
DISTANCE = 1e-2

TASKS = (
    {"dataset": "fashion_mnist", "channels": [16, 16], "seed": 2, "students": 4},
    {"dataset": "fashion_mnist", "channels": [16, 16], "seed": 1, "students": 4},
)
SMOKE = ({"dataset": "digits", "channels": [4], "seed": 0, "students": 2, "seconds": 60.0},)


def recover_one(task: Task, report: Reporter) -> Row:
    """Recover one teacher from its logits on the training images, and compare."""
    data = load(task["dataset"])
    side = 8 if task["dataset"] == "digits" else 28
    architecture = Convolutional((1, side, side), [Conv(3, pool="max") for _ in task["channels"]])
    folder, name = Path(task["folder"]), f"{task['dataset']}-{task['seed']}"
    teacher = _same_teacher(make_teacher(architecture, task), folder, name)
    recovery = recover_convolutions(
        QueryPairs(data.train_inputs, teacher(data.train_inputs)),
        architecture,
        students=task["students"],
        widths=[2 * channels for channels in task["channels"]] + [2 * HIDDEN],
        seed=0,
        time_budget=task.get("seconds"),
        progress=report,
        checkpoint=folder / "checkpoints" / name,
    )
    assert recovery.network is not None
    scores = compare_channels(recovery.layers, teacher)
    keep_kernels(scores, architecture, task)
    missed = recovery.network(data.test_inputs) - teacher(data.test_inputs)
    return {
        "label": f"{task['dataset']} seed {task['seed']}",
        "dataset": task["dataset"],
        "channels": list(teacher.channels),
        "found_channels": [len(layer.bias) for layer in recovery.layers],
        "hidden": list(teacher.hidden_widths),
        "found_hidden": list(recovery.network.hidden_widths),
        "missing": sum(layer.missing for layer in scores),
        "excess": sum(layer.excess for layer in scores),
        "max_input_distance": max(float(layer.distances.max()) for layer in scores),
        "rmse": float(np.sqrt(np.mean(missed**2))),
        "logits_spread": float(teacher(data.test_inputs).std()),
        "identified": recovery.verdict.identified,
        "reasons": list(recovery.verdict.reasons),
        "recovery_seconds": recovery.seconds,
        "peak_gib": peak_memory(),
    }


def _same_teacher(trained: ConvNetwork, folder: Path, name: str) -> ConvNetwork:
    """The teacher that the folder keeps, or this one from now on.

    Training again on another number of cores ends elsewhere, and a resumed study needs the same.
    """
    kept = Checkpoint(folder / "teachers")
    saved = kept.load(name)
    if saved is None:
        kept.save(name, arrays_of(trained), {})
        return trained
    return network_from(saved[0], trained)


def near(row: Row) -> bool:
    """Whether all channels of all layers were found, and no other."""
    return row["found_channels"] == row["channels"] and row["max_input_distance"] <= DISTANCE


def run(folder: Path, smoke: bool, workers: int, report: Reporter) -> int:
    """Recover all teachers; 0 if every channel is found, 3 if not."""
    del workers  # Each recovery uses all cores; side by side they would only share them.
    tasks = [{**task, "folder": str(folder)} for task in (SMOKE if smoke else TASKS)]
    rows = run_study("convolutions-given", recover_one, tasks, folder, workers=0, report=report)
    return 0 if all(near(row) for row in rows) else 3


EXPERIMENT = Experiment(
    name="convolutions-given",
    claim="two 28 x 28 relu networks with two layers of 16 channels, max-pooling and 32 neurons, "
    "trained on Fashion-MNIST, numbers of channels unknown (students twice as wide), from their "
    "logits on the 60,000 training images: all kernels of both layers within a cosine distance of "
    "1e-2, and no other",
    minutes=95.0,
    run=run,
)
