"""How many of a teacher's neurons does one student hold, trained by Adam on given images?

    python benchmarks/given_students.py [--dataset fashion_mnist] [--activation tanh]
        [--teacher 64] [--width 128] [--epochs 60 | --seconds 30] [--common]
        [--ways 0.1:3e-3:640 1.0:1e-3:80 1.0:1e-3:80:0.25:1]

A teacher with one hidden layer, trained on the images with batches of 640 and rate 1e-3; one
student on nine images of ten, or, of those, on the common ones and the pixels that they show
(`--common`). A way is the share of the typical spread by which an input is divided at least, the
learning rate, the batch size, and, if they are not 0 and 2, weight decay and the length of the
first input vectors. Printed are the root mean squared errors on these and on other given images,
relative to the outputs' spread, and the neurons of the teacher within a cosine distance of 1e-3
and 1e-2 of one of the student's, in the metric of the images' second moments.
"""

import argparse
import time

import numpy as np

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.network import Network
from expand_and_cluster.datasets import load
from expand_and_cluster.datasets.dataset import Dataset
from expand_and_cluster.fitting.first_order import AdamSettings, fit_adam
from expand_and_cluster.queries.common_pairs import Shown
from expand_and_cluster.students.initial import LENGTH, initial_students
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.teachers.trained import trained

SHARE = 0.9
WAYS = ("1.0:1e-3:80", "1.0:1e-3:80:0.25:2", "1.0:1e-3:80:0:1", "1.0:1e-3:80:0.25:1")


def distances(found: np.ndarray, true: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Cosine distance of every true vector to the nearest found one, sign left open."""

    def length(vectors: np.ndarray) -> np.ndarray:
        return np.sqrt(np.einsum("ki,ij,kj->k", vectors, moments, vectors))

    cosines = np.abs(true @ moments @ found.T) / np.outer(length(true), length(found))
    return 1.0 - cosines.max(axis=1)


def asked(data: Dataset, teacher: Network, common: bool) -> tuple[np.ndarray, Network]:
    """The images in random order, and the teacher on them: on the pixels that they show."""
    images = data.train_inputs
    if common:
        found = Shown(images).common()
        if found is None:
            raise SystemExit("These images have no common ones: most show nearly all pixels.")
        images, teacher = found.rows(images), found.restrict(teacher)
    return images[np.random.default_rng(0).permutation(len(images))], teacher


def main() -> None:
    """Train one student for each way and print what it holds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--activation", default="tanh")
    parser.add_argument("--teacher", type=int, default=64)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--common", action="store_true")
    parser.add_argument("--ways", nargs="+", default=WAYS)
    chosen = parser.parse_args()
    data, activation = load(chosen.dataset), catalogue[chosen.activation]
    sizes = (data.input_size, chosen.teacher, data.classes)
    teacher = trained(data, sizes, activation, seed=0, batch_size=640, learning_rate=1e-3)
    images, teacher = asked(data, teacher, chosen.common)
    answers, seen = teacher(images), round(SHARE * len(images))
    for way in chosen.ways:
        said = [float(number) for number in way.split(":")]
        least, rate, batch, decay, length = [*said, *(0.0, LENGTH)[len(said) - 3 :]]
        standard = Standardisation.fit(images[:seen], answers[:seen], least)
        inputs, targets = standard.inputs(images), standard.targets(answers)
        settings = AdamSettings(
            learning_rate=rate,
            epochs=None if chosen.seconds else chosen.epochs,
            seconds=chosen.seconds,
            batch_size=int(batch),
            weight_decay=decay,
        )
        began = time.monotonic()
        widths = (inputs.shape[1], chosen.width, sizes[2])
        students = initial_students(widths, activation, count=1, seed=0, length=length)
        fit = fit_adam(students, inputs[:seen], targets[:seen], settings=settings)
        seconds = time.monotonic() - began
        student = fit.students.student(0)
        error = np.sqrt(np.mean((student(inputs[seen:]) - targets[seen:]) ** 2))
        extended = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
        moments = extended.T @ extended / len(extended)
        far = distances(student.input_vectors, standard.enter(teacher).input_vectors, moments)
        print(
            f"{way:>20}: error {np.sqrt(fit.losses[0]):.1e}, on other images {error:.1e}; "
            f"{(far < 1e-3).sum()} neurons within 1e-3, {(far < 1e-2).sum()} within 1e-2 "
            f"of {chosen.teacher}; {seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
