"""Deep networks over many inputs, by chosen questions: 784-30-30-30-10, trained on MNIST.

The paper has the same widths from answers on the training images, with four neurons too many. Here
nothing is known of the images: questions are asked, and widths must be exact.
"""

from pathlib import Path

from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.datasets.loading import load
from expand_and_cluster.experiments.chosen_queries import peak_memory
from expand_and_cluster.experiments.depth import deep_row
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import Row, Task, all_in_time, run_study
from expand_and_cluster.pipeline import recover
from expand_and_cluster.queries.samplers import Gaussian
from expand_and_cluster.teachers.trained import trained

HIDDEN = (30, 30, 30)
ACTIVATIONS = ("g", "softplus")
MAX_QUERIES = 1_000_000
# Root mean squared error of the logits on images that the claim allows, and minutes for a recovery.
RMSE, MINUTES = 1e-9, 60.0


def recover_deep_by_asking(task: Task, report: Reporter) -> Row:
    """Train one teacher, recover it by asking, and compare."""
    data = load(task["dataset"])
    widths = (data.input_size, *task["hidden"], data.classes)
    teacher = trained(
        data, widths, task["activation"], seed=task["seed"], cache=Path(task["folder"]) / "teachers"
    )
    recovery = recover(
        teacher,
        inputs=Gaussian(data.input_size),
        activation=task["activation"],
        hidden_layers=len(task["hidden"]),
        max_queries=task["max_queries"],
        seed=task["seed"],
        progress=report,
    )
    row = deep_row({**task, "widths": widths}, recovery, teacher, data.test_inputs)
    label = f"{task['dataset']} {task['activation']} seed {task['seed']}"
    return row | {"label": label, "peak_gib": peak_memory()}


def exact(row: Row) -> bool:
    """Whether a row has the exact widths, and gives the teacher's logits on images."""
    return row["found_widths"] == row["widths"] and row["rmse"] <= RMSE


def run(folder: Path, smoke: bool, workers: int, report: Reporter) -> int:
    """One teacher for each activation; 0 if all are exact and identified in time, 3 if not."""
    del workers  # Each recovery uses all cores; side by side they would only share them.
    tasks = [
        {
            "dataset": "digits" if smoke else "mnist",
            "hidden": [6, 5] if smoke else list(HIDDEN),
            "activation": activation,
            "max_queries": 200_000 if smoke else MAX_QUERIES,
            "seed": 0,
            "folder": str(folder),
        }
        for activation in (ACTIVATIONS[:1] if smoke else ACTIVATIONS)
    ]
    rows = run_study("deep-images", recover_deep_by_asking, tasks, folder, workers=0, report=report)
    return 0 if all_in_time(rows, exact, MINUTES) else 3


EXPERIMENT = Experiment(
    name="deep-images",
    claim="784-30-30-30-10 trained on MNIST, g and softplus, widths unknown, by asking: "
    "exact widths, logits right to 1e-9 on images, in at most an hour each",
    minutes=15.0,
    run=run,
)
