"""Hand-built students: which neuron is a copy of what is known."""

from collections import Counter
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ensemble:
    """Input vectors of all students' neurons.

    `truth` is the teacher neuron that a row copies, or -1 for a redundant neuron.
    """

    vectors: np.ndarray
    students: np.ndarray
    truth: np.ndarray
    number_of_students: int
    sign_free: bool

    def findable(self, required):
        """Teacher neurons that enough distinct students hold."""
        return sorted(
            int(t)
            for t in np.unique(self.truth[self.truth >= 0])
            if np.unique(self.students[self.truth == t]).size >= required
        )

    def found(self, selection):
        """For each kept cluster, what most of its members copy."""
        return sorted(
            Counter(self.truth[cluster.members].tolist()).most_common(1)[0][0]
            for cluster in selection.clusters
        )


def teacher(rng, inputs, width, family):
    """The paper's family (A.4), or Gaussian vectors; no two within 0.3 up to sign."""
    rows = []
    while len(rows) < width:
        if family == "paper":
            weight = rng.integers(-1, 2, size=inputs).astype(float)
            if not weight.any():
                continue
            bias = rng.integers(-2, 3) * np.sqrt(3) / 3
            row = 3 * np.append(weight / np.linalg.norm(weight), bias)
        else:
            row = 3 * rng.normal(size=inputs + 1) / np.sqrt(inputs + 1)
        if all(min(np.linalg.norm(row - u), np.linalg.norm(row + u)) > 0.3 for u in rows):
            rows.append(row)
    return np.array(rows)


# Orders of magnitude of the students' errors relative to a neuron's length, and lengths of
# redundant neurons relative to the teacher's.
REGIMES = {
    "precise": ((-12, -2), (0.03, 0.3)),
    "noisy": ((-2.2, -1.1), (0.03, 0.3)),
    "wide": ((-12, -2), (0.3, 1.0)),
    "giant": ((-12, -2), (1e-2, 1e3)),
}


def ensemble(seed, regime):
    """Up to 12 teacher neurons, each held by a student with probability 0.8 to 1.

    A held neuron may come two or three times; up to three times as many redundant ones join it.
    Errors are the same for all students, or differ from one to the next by any amount in range.
    """
    rng = np.random.default_rng(seed)
    (low, high), (short, long) = REGIMES[regime]
    inputs = int(rng.choice([2, 4, 8, 16]))
    width = int(rng.integers(1, 9 if inputs == 2 else 13))
    count = int(rng.choice([5, 10, 20]))
    neurons = teacher(rng, inputs, width, ["paper", "gaussian"][seed % 2])
    held = rng.uniform(0.8, 1.0)
    common = rng.uniform(low, high) if rng.random() < 0.5 else None
    start = 3 * np.exp(rng.uniform(np.log(short), np.log(long)))
    rows, students, truth = [], [], []
    for student in range(count):
        noise = 10 ** (rng.uniform(low, high) if common is None else common)
        for t, neuron in enumerate(neurons):
            if rng.random() > held:
                continue
            for _ in range(1 if rng.random() < 0.7 else int(rng.integers(2, 4))):
                error = rng.normal(size=inputs + 1) / np.sqrt(inputs + 1)
                rows.append(neuron + noise * np.linalg.norm(neuron) * error)
                truth.append(t)
                students.append(student)
        for _ in range(int(rng.integers(0, 3 * width + 1))):
            length = start
            if regime == "giant":
                length = 3 * np.exp(rng.uniform(np.log(short), np.log(long)))
            rows.append(length * rng.normal(size=inputs + 1) / np.sqrt(inputs + 1))
            truth.append(-1)
            students.append(student)
    vectors = np.array(rows)
    sign_free = seed % 4 >= 2
    if sign_free:
        vectors *= rng.choice([-1.0, 1.0], size=(len(vectors), 1))
    return Ensemble(vectors, np.array(students), np.array(truth), count, sign_free)
