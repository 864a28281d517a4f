"""How many of a teacher's neurons does one student hold, trained by Adam on given images?

    python benchmarks/given_students.py [--dataset fashion_mnist] [--epochs 60]
        [--activation tanh] [--width 128] [--ways 0.1:3e-3:640 1.0:1e-3:160 1.0:1e-3:80]

A 784-64-10 teacher, trained on the images with batches of 640 and rate 1e-3; one student on 54,000
images. A way is the share of the typical spread by which an input is divided
at least, the learning rate, and the batch size. Printed are the root mean squared errors relative
to the outputs' spread, and the neurons of the teacher within a cosine distance of 1e-3 and 1e-2 of
one of the student's, in the metric of the images' second moments.
"""

import argparse
import time

import numpy as np

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.datasets import load
from expand_and_cluster.fitting.first_order import AdamSettings, fit_adam
from expand_and_cluster.students.initial import initial_students
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.teachers.trained import trained

TEACHER, STUDENT, SHARE = 64, 128, 0.9
WAYS = ("0.1:3e-3:640", "1.0:3e-3:640", "1.0:1e-3:160", "1.0:1e-3:80")


def distances(found: np.ndarray, true: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Cosine distance of every true vector to the nearest found one, sign left open."""

    def length(vectors: np.ndarray) -> np.ndarray:
        return np.sqrt(np.einsum("ki,ij,kj->k", vectors, moments, vectors))

    cosines = np.abs(true @ moments @ found.T) / np.outer(length(true), length(found))
    return 1.0 - cosines.max(axis=1)


def main() -> None:
    """Train one student for each way and print what it holds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--activation", default="tanh")
    parser.add_argument("--width", type=int, default=STUDENT)
    parser.add_argument("--ways", nargs="+", default=WAYS)
    chosen = parser.parse_args()
    data, activation = load(chosen.dataset), catalogue[chosen.activation]
    sizes = (data.input_size, TEACHER, data.classes)
    teacher = trained(data, sizes, activation, seed=0, batch_size=640, learning_rate=1e-3)
    rows = np.random.default_rng(0).permutation(len(data.train_inputs))
    images = data.train_inputs[rows[: round(SHARE * len(rows))]]
    answers = teacher(images)
    for way in chosen.ways:
        least, rate, batch = way.split(":")
        standard = Standardisation.fit(images, answers, float(least))
        inputs = standard.inputs(images)
        settings = AdamSettings(
            learning_rate=float(rate), epochs=chosen.epochs, batch_size=int(batch)
        )
        began = time.monotonic()
        students = initial_students((sizes[0], chosen.width, sizes[2]), activation, count=1, seed=0)
        fit = fit_adam(students, inputs, standard.targets(answers), settings=settings)
        seconds = time.monotonic() - began
        student = fit.students.student(0)
        unseen = standard.targets(teacher(data.test_inputs))
        error = np.sqrt(np.mean((student(standard.inputs(data.test_inputs)) - unseen) ** 2))
        extended = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
        moments = extended.T @ extended / len(extended)
        far = distances(student.input_vectors, standard.enter(teacher).input_vectors, moments)
        print(
            f"{way:>14}: error {np.sqrt(fit.losses[0]):.1e}, on unseen images {error:.1e}; "
            f"{(far < 1e-3).sum()} neurons within 1e-3, {(far < 1e-2).sum()} within 1e-2 "
            f"of {TEACHER}; {seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
