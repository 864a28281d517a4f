"""Answered pairs as students see them: shuffled, split, in standardised coordinates."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.queries.answers import Answers
from expand_and_cluster.queries.pairs import QueryPairs, check_informative
from expand_and_cluster.queries.reading import Reader
from expand_and_cluster.queries.validation import Request
from expand_and_cluster.students.holding import find_holding
from expand_and_cluster.students.standardisation import LEAST_SPREAD, Standardisation
from expand_and_cluster.students.training import TrainingData

HELD_OUT = 0.1
# Defaults of what a cluster must be (paper: gamma and beta), and the most ensembles.
MIN_CLUSTER_FRACTION = 0.5
MAX_CLUSTER_ANGLE = np.pi / 12
ROUNDS = 6


@dataclass(frozen=True)
class Prepared:
    """Pairs in standardised coordinates.

    Attributes:
        standard: The coordinates.
        training: Pairs to fit.
        held_out: Pairs to judge by.
        noise: Standard deviation of the answers' rounding, in standardised units.
        set_aside: Rows that tell nothing, or whose inputs leave a value that is held elsewhere.
    """

    standard: Standardisation
    training: TrainingData
    held_out: TrainingData
    noise: float
    set_aside: int


@dataclass(frozen=True)
class Job:
    """One recovery, once its questions are answered.

    Attributes:
        request: What was wanted.
        reader: How answers were read.
        answers: What is known of the teacher.
        prepared: The same as students see it.
        store: Keeps everything that is finished.
        began: `time.monotonic()` at the start.
        deadline: `time.monotonic()` after which the best network so far is returned.
        reached: Told of what grows, for whoever interrupts.
    """

    request: Request
    reader: Reader
    answers: Answers
    prepared: Prepared
    store: Checkpoint
    began: float
    deadline: float | None
    reached: dict[str, Any]

    def describe(self) -> dict[str, Any]:
        """What was wanted and how questions were chosen, in plain JSON values."""
        request = self.request
        return {
            "activation": request.named.name,
            "hidden_layers": request.hidden_layers,
            "outputs": request.outputs,
            "noise_given": request.noise,
            "max_queries": request.max_queries,
            "time_budget": request.time_budget,
            "held_out_fraction": HELD_OUT,
            "rows_set_aside": self.prepared.set_aside,
            **self.answers.notes,
        }


def prepare(
    pairs: QueryPairs, seed: int, reader: Reader, least_spread: float = LEAST_SPREAD
) -> Prepared:
    """Split and standardise pairs.

    Args:
        pairs: Inputs, and what was read of the answers.
        seed: Decides the order and the split.
        reader: Knows which answers tell anything, and how finely they are written.
        least_spread: See `Standardisation.fit`.

    Raises:
        InvalidInputError: The answers that tell anything are constant, or none.
    """
    training, held_out, set_aside = split(pairs, seed, reader)
    standard = Standardisation.fit(training.inputs, training.outputs, least_spread)
    rounding = reader.errors(training.outputs) / standard.output_scale
    return Prepared(
        standard,
        TrainingData(standard.inputs(training.inputs), standard.targets(training.outputs)),
        TrainingData(standard.inputs(held_out.inputs), standard.targets(held_out.outputs)),
        float(np.sqrt(np.mean(rounding**2))),
        set_aside,
    )


def split(pairs: QueryPairs, seed: int, reader: Reader) -> tuple[QueryPairs, QueryPairs, int]:
    """Training and held-out pairs in random order, and how many rows were set aside."""
    usable = reader.keep_usable(pairs)
    if len(usable) < len(pairs):
        check_informative(usable, name="the answers that are not saturated")
    shuffled = usable.take(np.random.default_rng((seed, 1)).permutation(len(usable)))
    holding = find_holding(shuffled.inputs)
    kept = shuffled.take(np.flatnonzero(holding.covers(shuffled.inputs)))
    training, held_out = kept.split(HELD_OUT, seed)
    return training, held_out, len(pairs) - len(kept)
