"""Recover convolutional layers by asking: kinks are read, nothing is trained."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from expand_and_cluster.convolutions_verdict import judge_channels, judge_the_rest
from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.arguments import whole_number
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.conv_geometry import Convolutional
from expand_and_cluster.core.conv_layer import ConvLayer
from expand_and_cluster.core.errors import InvalidInputError, QueryBudgetError
from expand_and_cluster.core.files import values_of_own
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.pieces import has_kink
from expand_and_cluster.queries.resolution import Resolution
from expand_and_cluster.queries.samplers import Gaussian, Sampler, as_sampler, fingerprint
from expand_and_cluster.reconstruction.below import Below
from expand_and_cluster.reconstruction.channels import ChannelSearch, FoundLayer
from expand_and_cluster.recovery import Verdict

# Standard deviation of the questions where the sampler leaves it open.
SCALE = 1.0
# Questions whose answers show in what precision they are.
FEW = 8


@dataclass(frozen=True, eq=False)
class AskedConvolutions:
    """What was found by asking.

    Attributes:
        layers: From the image on; kernels of length 1.
        verdict: Whether these are all channels of all layers, how surely, and why.
        votes: For each layer and channel, kinks that it explains.
        queries: Rows asked.
        settings: What was chosen, as plain values.
    """

    layers: tuple[ConvLayer, ...]
    verdict: Verdict
    votes: tuple[tuple[int, ...], ...]
    queries: int
    settings: dict[str, Any]


def recover_asked(
    source: Callable[[np.ndarray], Any],
    architecture: Convolutional,
    activation: Activation,
    *,
    inputs: Any,
    max_queries: Any,
    seed: int,
    report: Reporter,
    folder: Path | None,
    reached: dict[str, Any],
) -> AskedConvolutions:
    """Read one layer after the other, and judge.

    Args:
        source: Who is asked.
        architecture: Image and geometry.
        activation: Of all hidden layers.
        inputs: Where questions come from.
        max_queries: Most rows that may be asked.
        seed: Decides everything random.
        report: Receives progress.
        folder: Keeps all answers; None for none.
        reached: Receives the layers that were found, one after the other.

    Raises:
        InvalidInputError: An argument is refused before any work, or answers are too coarse.
        QueryBudgetError: `max_queries` does not suffice; `partial` holds the layers so far.
    """
    sampler, budget = _check(source, architecture, inputs, activation, max_queries)
    Checkpoint(folder).claim(
        {
            "architecture": repr(architecture),
            "activation": activation.name,
            "activation_values": values_of_own(activation),
            "seed": seed,
            "questions": fingerprint(sampler),
        }
    )
    ledger = None if folder is None else folder / "queries"
    oracle = Oracle(source, architecture.input_size, budget, ledger, report=report)
    _check_precision(oracle.ask(sampler.draw(FEW, np.random.default_rng((seed, 1)))))
    rng = np.random.default_rng((seed, 0))
    found: list[FoundLayer] = reached.setdefault("layers", [])
    for _ in architecture.layers:
        below = Below(architecture, [one.layer for one in found], activation)
        search = ChannelSearch(
            below, oracle.ask, lambda count: sampler.draw(count, rng), rng, report
        )
        try:
            found.append(search.run())
        except QueryBudgetError as error:
            raise _spent(budget, architecture, found, search) from error
        if not len(found[-1].votes):
            break
    below = Below(architecture, [one.layer for one in found], activation)
    verdict = judge_channels(below, found)
    if verdict.identified:
        verdict = judge_the_rest(verdict, below, found, oracle, rng)
    return AskedConvolutions(
        layers=tuple(one.layer for one in found),
        verdict=verdict,
        votes=tuple(one.votes for one in found),
        queries=oracle.asked,
        settings={
            "max_queries": budget,
            "questions": repr(sampler),
            "rounds": [one.rounds for one in found],
        },
    )


def _spent(
    budget: int, architecture: Convolutional, found: list[FoundLayer], search: ChannelSearch
) -> QueryBudgetError:
    """The budget's end, with all channels that were found by then."""
    count = len(search.vectors)
    layers = [one.layer for one in found] + ([search.layer()] if count else [])
    return QueryBudgetError(
        f"max_queries={budget} was spent on layer {len(found) + 1} of "
        f"{len(architecture.layers)}, of which {count} channels were found.",
        partial=tuple(layers),
    )


def _check_precision(answers: np.ndarray) -> None:
    """Kinks are told from rounding in double precision only.

    Raises:
        InvalidInputError: The answers vary, and all are written more coarsely.
    """
    resolution = Resolution.of(answers)
    if np.ptp(answers) > 0.0 and (resolution.single or resolution.decimals is not None):
        raise InvalidInputError(
            f"the first {len(answers)} answers are {resolution.name}, but places of kinks take "
            "answers in double precision: let the model compute in float64, or give answered "
            "pairs as eac.QueryPairs(inputs, outputs)."
        )


def _check(
    source: Any, architecture: Convolutional, inputs: Any, activation: Activation, max_queries: Any
) -> tuple[Sampler, int]:
    if isinstance(source, type) or not callable(source):
        raise InvalidInputError(
            "source must be an eac.QueryPairs, or a callable from (rows, inputs) to "
            f"(rows, outputs) arrays, got {type(source).__name__}."
        )
    if not has_kink(activation):
        raise InvalidInputError(
            f"activation {activation.name!r} has no kink to read channels off; convolutions need "
            '"relu" or "leaky_relu" in this version.'
        )
    for number, layer in enumerate(architecture.layers, start=1):
        if layer.pool != "max" or layer.pool_size < 2:
            raise InvalidInputError(
                f"layer {number} has pool={layer.pool!r} with pool_size={layer.pool_size}, but "
                "only max-pooling of at least 2 x 2 shows the signs of kernels in this version."
            )
    if inputs is None or max_queries is None:
        raise InvalidInputError(
            "a callable needs inputs=, where questions come from, and max_queries=."
        )
    budget = whole_number("max_queries", max_queries, 1)
    sampler = as_sampler(inputs)
    if isinstance(sampler, Gaussian) and sampler.scale is None:
        sampler = sampler.with_scale(SCALE)
    if sampler.size != architecture.input_size:
        raise InvalidInputError(
            f"inputs gives questions of {sampler.size} numbers, but the architecture takes "
            f"{architecture.input_size}."
        )
    return sampler, budget
