"""Which questions are asked, in what order, and what each share of the budget is for."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.progress import Reporter, silent
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.pairs import QueryPairs, check_informative
from expand_and_cluster.queries.samplers import Gaussian, Sampler
from expand_and_cluster.queries.scale import find_scale
from expand_and_cluster.queries.subspace import Subspace, examine_subspace

# Questions over all inputs, for every one that the counting bound (weights over outputs) asks for,
# where students are trained within a subspace: four make the last solve well-conditioned.
PER_BOUND = 4.0
# At most this share of what is left of the budget.
MOST_WHOLE = 0.4


@dataclass(frozen=True)
class Answers:
    """What is known of the teacher when training begins.

    Attributes:
        pairs: What students are trained on: over the inputs, or over coordinates of the subspace.
        subspace: The subspace, if there is one.
        whole: Pairs over all inputs, where students see coordinates.
        queries: Rows asked, or given.
        notes: How questions were chosen, in plain JSON values.
    """

    pairs: QueryPairs
    subspace: Subspace | None = None
    whole: QueryPairs | None = None
    queries: int = 0
    notes: dict[str, Any] = field(default_factory=dict)


def ask_all(
    oracle: Oracle,
    sampler: Sampler,
    rng: np.random.Generator,
    *,
    max_queries: int,
    activation: Activation,
    find_subspace: bool = True,
    report: Reporter = silent,
) -> Answers:
    """Spend the budget.

    A Gaussian without a scale first has it found. For a Gaussian over many inputs the subspace of
    the outputs is looked for; if there is one, most questions lie within it, and the rest over all
    inputs pins what is left. Otherwise all questions are drawn alike.

    Args:
        oracle: Whom to ask.
        sampler: Where questions come from.
        rng: Source of randomness.
        max_queries: Rows that may be asked in all.
        activation: Activation of the hidden neurons, for the scale.
        find_subspace: Whether to look for a subspace and to ask within it.
        report: Receives progress.

    Raises:
        OracleError: The oracle failed.
        InvalidInputError: The answers are constant.
    """
    # Not `oracle.left`: a resumed run has its answers already and must draw the same questions.
    left = max_queries
    given = not (isinstance(sampler, Gaussian) and sampler.scale is None)
    if isinstance(sampler, Gaussian) and sampler.scale is None:
        found = find_scale(
            oracle.ask,
            sampler,
            rng,
            activation=activation,
            max_queries=max_queries,
            report=report,
        )
        sampler, left = found.sampler, left - found.queries
    describe = getattr(sampler, "describe", None)
    notes: dict[str, Any] = {"sampler": describe() if describe else repr(sampler)}
    if isinstance(sampler, Gaussian) and find_subspace:
        examined = examine_subspace(
            oracle.ask, sampler, rng, max_queries=left, wider=not given, report=report
        )
        left -= examined.queries
        if examined.subspace is not None:
            subspace = examined.subspace
            notes |= subspace.describe()
            bound = subspace.rank * (sampler.size + 1 + subspace.outputs) / subspace.outputs
            count = int(min(PER_BOUND * bound, MOST_WHOLE * left))
            within = rng.standard_normal((left - count, subspace.rank))
            pairs = QueryPairs.adopt(within, oracle.ask(subspace.place(within)))
            check_informative(pairs, name="the oracle's answers")
            over = sampler.draw(count, rng)
            whole = QueryPairs.adopt(over, oracle.ask(over))
            return Answers(pairs, subspace, whole, oracle.asked, notes)
        notes["subspace"] = examined.note
    drawn = sampler.draw(left, rng)
    # What was asked while the scale was looked for lies elsewhere; students see one distribution.
    pairs = QueryPairs.adopt(drawn, oracle.ask(drawn))
    check_informative(pairs, name="the oracle's answers")
    return Answers(pairs, queries=oracle.asked, notes=notes)
