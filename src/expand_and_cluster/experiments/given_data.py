"""Large networks from their answers on given images: the rows of Tables 1 and 2.

Nothing is asked: a recovery sees what the teacher answers on the training images, and what these
hardly vary in it cannot tell. Two masks say which pixels count when input vectors are compared: one
by the images' own spectrum, and Boruta's, which the paper used (A.6).
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Progress, Reporter
from expand_and_cluster.datasets.dataset import Dataset
from expand_and_cluster.datasets.loading import load
from expand_and_cluster.experiments.chosen_queries import peak_memory
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import Row, Task, run_study
from expand_and_cluster.pipeline import recover
from expand_and_cluster.queries.masks import boruta_mask, spectrum_mask
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.recovery import Recovery
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.teachers.trained import trained

STUDENTS = 3
OVERPARAMETERISATION = 2
# A teacher's batches and learning rate: few large steps leave it off the flat ends of its
# activations.
BATCH, RATE = 640, 1e-3
# Seconds that a recovery may take, and the share of them after which its last step is finished and
# judged.
SECONDS, WIDE_SECONDS = 1800.0, 7200.0
LAST = 17.0 / 18.0
# What the claim allows: share of the paper's error, and the largest cosine distance.
SHARE, DISTANCE = 0.1, 1e-3


@dataclass(frozen=True)
class Published:
    """A row of the paper's tables.

    Attributes:
        teacher: Dataset that the teacher was trained on.
        images: Dataset on whose images it answers.
        activation: Its activation.
        width: Its hidden neurons.
        rmse: Root mean squared error of the logits, as published.
    """

    teacher: str
    images: str
    activation: str
    width: int
    rmse: float


TABLE_1 = (
    Published("fashion_mnist", "fashion_mnist", "tanh", 64, 3.3e-4),
    Published("fashion_mnist", "fashion_mnist", "g", 64, 4.7e-4),
    Published("fashion_mnist", "fashion_mnist", "sigmoid", 64, 2.5e-3),
    Published("fashion_mnist", "fashion_mnist", "softplus", 64, 3.7e-3),
    Published("mnist", "mnist", "softplus", 64, 2.3e-3),
    Published("mnist", "mnist", "relu", 64, 8.2e-3),
    Published("mnist", "mnist", "gelu", 64, 1.8e-3),
    Published("mnist", "mnist", "leaky_relu", 64, 3.3e-3),
    Published("mnist", "mnist", "tanh", 128, 1.7e-3),
)
WIDE = (
    Published("mnist", "mnist", "g", 256, 1.5e-3),
    Published("mnist", "mnist", "sigmoid", 256, 8.4e-4),
)
TABLE_2 = (Published("mnist", "fashion_mnist", "g", 64, 1.1e-3),)
CIFAR = (
    Published("cifar10", "cifar10", "g", 64, 3.7e-3),
    Published("cifar10", "cifar10", "sigmoid", 64, 1.2e-3),
    Published("cifar10", "cifar10", "softplus", 64, 7.1e-3),
    Published("cifar10", "cifar10", "relu", 64, 2.3e-3),
)
SMALL = Published("digits", "digits", "tanh", 16, 1e-3)


def recover_given(task: Task, report: Reporter) -> Row:
    """Train one teacher, recover it from its answers on images, and compare."""
    own, asked = load(task["teacher"]), load(task["images"])
    folder = Path(task["folder"])
    sizes = (own.input_size, task["width"], own.classes)
    teacher = trained(
        own,
        sizes,
        task["activation"],
        seed=task["seed"],
        batch_size=BATCH,
        learning_rate=RATE,
        cache=folder / "teachers",
    )
    name = f"{task['teacher']}-{task['images']}-{task['activation']}-{task['width']}"
    kept = folder / "checkpoints" / name
    resumed = kept.exists()
    recovery = recover(
        QueryPairs(asked.train_inputs, teacher(asked.train_inputs)),
        activation=task["activation"],
        width=OVERPARAMETERISATION * task["width"],
        students=task["students"],
        seed=task["seed"],
        time_budget=LAST * task["seconds"],
        progress=report,
        checkpoint=kept,
    )
    recovery.save(folder / "recoveries" / name)
    report(Progress("compare with the teacher", 0, None, note="all images"))
    return {
        "label": name,
        "teacher": task["teacher"],
        "images": task["images"],
        "activation": task["activation"],
        "width": task["width"],
        "found_width": recovery.network.hidden_widths[0],
        "identified": recovery.verdict.identified,
        **_errors(recovery.network, teacher, asked),
        "paper_rmse": task["paper_rmse"],
        **_distances(recovery, teacher, asked, folder / "masks", report),
        "recovery_seconds": recovery.seconds,
        "resumed": resumed,
        "peak_gib": peak_memory(),
    }


def _errors(found: Network, teacher: Network, images: Dataset) -> Row:
    """Errors on images that the recovery saw, on all others, and on those it could know."""
    seen = _missed(found, teacher, images.train_inputs)
    unseen = _missed(found, teacher, images.test_inputs)
    ordinary = within_support(images.train_inputs, images.test_inputs)
    return {
        "rmse_seen": float(np.sqrt(np.mean(seen))),
        "rmse": float(np.sqrt(np.mean(unseen))),
        "rmse_within": float(np.sqrt(np.mean(unseen[ordinary]))) if ordinary.any() else None,
        "within": float(np.mean(ordinary)),
    }


def _missed(found: Network, teacher: Network, inputs: np.ndarray) -> np.ndarray:
    return np.mean((found(inputs) - teacher(inputs)) ** 2, axis=1)


def within_support(
    seen: np.ndarray, unseen: np.ndarray, least: int = 100
) -> Bool[np.ndarray, " unseen"]:
    """Which unseen images show nothing where fewer than so many seen ones showed anything.

    Args:
        seen: (samples, d_in), images that are dark where there is nothing.
        unseen: (others, d_in).
        least: Images that have to show a pixel for it to count as known.
    """
    rare = np.count_nonzero(seen, axis=0) < least
    return ~np.any(unseen[:, rare] != 0.0, axis=1)


def _distances(
    recovery: Recovery, teacher: Network, images: Dataset, folder: Path, report: Reporter
) -> Row:
    inputs, center = images.train_inputs, images.train_inputs.mean(axis=0)
    masks = {"spectrum": spectrum_mask(inputs), "boruta": _boruta(images, folder, report)}
    row: Row = {}
    for done, (name, mask) in enumerate(masks.items(), 1):
        report(Progress("compare with the teacher", done, None, note=f"{name} mask"))
        scores = compare(recovery, teacher, masked_inputs=mask, held_inputs=center)
        row |= {
            f"{name}_inputs": int(np.sum(~mask)),
            f"{name}_mean_distance": scores.mean_input_distance,
            f"{name}_max_distance": scores.max_input_distance,
            f"{name}_missing": scores.missing,
            f"{name}_excess": scores.excess,
        }
    return row


def _boruta(images: Dataset, folder: Path, report: Reporter) -> np.ndarray:
    """Boruta's mask of a dataset, found once: it takes minutes."""
    kept = Checkpoint(folder)
    saved = kept.load(f"boruta-{images.name}")
    if saved is None:
        report(Progress("find Boruta's mask", 0, None, note="minutes, once for each dataset"))
        mask = boruta_mask(images.train_inputs, images.train_labels)
        kept.save(f"boruta-{images.name}", {"mask": mask}, {})
        return mask
    return saved[0]["mask"]


def reached(row: Row) -> bool:
    """Whether a row keeps the claim."""
    near = max(row["spectrum_max_distance"], row["boruta_max_distance"]) <= DISTANCE
    exact = row["found_width"] == row["width"]
    accurate = row["rmse"] <= SHARE * row["paper_rmse"]
    # What a row that was interrupted took before is not counted.
    whole = not row.get("resumed", False)
    in_time = whole and row["recovery_seconds"] <= row["task"]["seconds"]
    return exact and near and accurate and in_time


def run(
    folder: Path,
    smoke: bool,
    workers: int,
    report: Reporter,
    *,
    name: str,
    rows: tuple[Published, ...],
    seconds: float,
) -> int:
    """Run these rows; 0 if the claim holds for all, 3 if not."""
    del workers  # Each recovery uses all cores; side by side they would only share them.
    tasks = [
        {
            "teacher": row.teacher,
            "images": row.images,
            "activation": row.activation,
            "width": row.width,
            "paper_rmse": row.rmse,
            "students": STUDENTS,
            "seconds": 120.0 if smoke else seconds,
            "seed": 0,
            "folder": str(folder),
        }
        for row in ((SMALL,) if smoke else rows)
    ]
    done = run_study(name, recover_given, tasks, folder, workers=0, report=report)
    return 0 if all(reached(row) for row in done) else 3


def _experiment(
    name: str, claim: str, rows: tuple[Published, ...], seconds: float = SECONDS
) -> Experiment:
    minutes = seconds / 60.0
    return Experiment(
        name=name,
        claim=f"{claim}: exact width, a tenth of the paper's error on unseen images, every input "
        f"vector within a cosine distance of 1e-3, in at most {minutes:.0f} minutes each",
        minutes=minutes * len(rows),
        run=partial(run, name=name, rows=rows, seconds=seconds),
    )


GIVEN = _experiment("given-data", "Table 1 from given images, 64 and 128 neurons", TABLE_1)
GIVEN_WIDE = _experiment(
    "given-data-wide", "Table 1 from given images, 256 neurons", WIDE, WIDE_SECONDS
)
OTHER = _experiment(
    "other-data", "Table 2: a teacher of digits that answers on images of clothes", TABLE_2
)
GIVEN_CIFAR = _experiment("given-cifar10", "Table 1 from CIFAR-10's images, 3,072 inputs", CIFAR)
