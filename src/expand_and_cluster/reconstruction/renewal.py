"""Find neurons that are missing by training new ones beside those that are known.

A neuron of the teacher that bends little, and much like others, is found by no student: those
others make up for it. Once they are in their places, as far as they can be, what is left of the
error is mostly its work. New random neurons that are trained together with all known ones, by
first-order steps, come to it then, and the known ones give it back what they did for it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.reconstruction.candidate import Candidate, padded
from expand_and_cluster.reconstruction.ordinary import ordinary_error
from expand_and_cluster.reconstruction.prune import Removal
from expand_and_cluster.reconstruction.winnowing import ENOUGH, Pace, winnow
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.initial import initial_students

Vectors = Float[np.ndarray, "neurons inputs_and_bias"]

# New neurons, for every known one, and the first number of the students that they are of: larger
# than any that an ensemble has.
FRESH, NUMBER = 0.5, 1 << 20
# How often at most.
ROUNDS = 4
# It is time for new ones once a step gains little. Those just found are not in their places, and
# cost little yet.
BEFORE = Pace(patience=1)
AFTER = Pace(careful=1.2, bold=64.0, patience=2)


@dataclass(frozen=True)
class Renew:
    """How new neurons are trained beside known ones.

    Attributes:
        train: Gives the input vectors of all of them after first-order steps.
        seed: Of the new ones.
    """

    train: Callable[[Vectors], Vectors]
    seed: int


def winnow_with_new(
    bench: Workbench, candidate: Candidate, renew: Renew
) -> tuple[Candidate, tuple[Removal, ...]]:
    """Winnow, and train new neurons beside those that are left, until that gains nothing more.

    Args:
        bench: Where candidates are polished.
        candidate: Neurons among which most of the teacher's are, and others.
        renew: How new neurons are trained.

    Returns:
        What is left, with the mean squared error of all samples alike, and what was lost.
    """
    candidate, removals = winnow(bench, candidate, BEFORE)
    error = ordinary_error(bench, candidate)
    for index in range(ROUNDS):
        if error <= max(ENOUGH, bench.floor(candidate)) or is_over(bench.deadline):
            break
        known = candidate.compact().input_vectors
        vectors = renew.train(np.vstack([known, _fresh(bench, len(known), renew.seed, index)]))
        renewed = bench.start(vectors, padded(len(vectors)))
        renewed, lost = winnow(bench, renewed, AFTER)
        before, error = error, ordinary_error(bench, renewed)
        if not error < before:
            break
        candidate, removals = renewed, removals + lost
    return candidate, removals


def _fresh(bench: Workbench, known: int, seed: int, index: int) -> Vectors:
    """Input vectors of new neurons: those of a student at its start."""
    data = bench.training
    widths = (data.inputs.shape[1], max(1, round(FRESH * known)), data.targets.shape[1])
    first = NUMBER + index
    students = initial_students(widths, bench.activation, count=1, seed=seed, first=first)
    return students.student(0).input_vectors
