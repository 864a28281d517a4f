"""Which questions are asked, in what order, and what each share of the budget is for."""

from typing import Any

import numpy as np

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Reporter, silent
from expand_and_cluster.queries.answers import Answers
from expand_and_cluster.queries.asking_layers import ask_layers
from expand_and_cluster.queries.drafts import draft_network
from expand_and_cluster.queries.gradients import examine_subspace
from expand_and_cluster.queries.hessians import is_bent
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.pairs import QueryPairs, check_informative
from expand_and_cluster.queries.reading import Reader
from expand_and_cluster.queries.samplers import Gaussian, Sampler, described
from expand_and_cluster.queries.scale import find_scale
from expand_and_cluster.queries.subspace import Subspace

# Questions over all inputs, for every one that the counting bound (weights over outputs) asks for,
# where students are trained within a subspace: four make the last solve well-conditioned.
PER_BOUND = 4.0
# At most this share of what is left of the budget.
MOST_WHOLE = 0.4
# Root mean square error, relative to the answers' spread, up to which a draft is a student to
# polish: then questions within the subspace only have to hold its weights, not to train students.
IMITATES = 0.3
# Questions within the subspace that a draft is tried and polished on, where the budget has them.
LEAST_WITHIN = 512
# Questions that a draft must leave over: within the subspace, for every one that the counting bound
# of a network over its coordinates asks for, and over all inputs.
LEAST_PER_BOUND = 1.3
LEAST_WHOLE = 100


def ask_all(
    oracle: Oracle,
    sampler: Sampler,
    rng: np.random.Generator,
    *,
    max_queries: int,
    activation: Activation | None,
    reader: Reader | None = None,
    find_subspace: bool = True,
    hidden_layers: int = 1,
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
        activation: Activation of the hidden neurons, for the scale; None if it is not known.
        reader: How answers are read; None for logits.
        find_subspace: Whether to look for a subspace and to ask within it.
        hidden_layers: Layers of the teacher; several that are linear on either side of zero are
            read off the kinks of the answers.
        report: Receives progress.

    Raises:
        OracleError: The oracle failed.
        InvalidInputError: The answers are constant.
    """
    # Not `oracle.left`: a resumed run has its answers already and must draw the same questions.
    left = max_queries
    reader = reader or Reader("logits")
    ask = reader.asking(oracle.ask)
    given = not (isinstance(sampler, Gaussian) and sampler.scale is None)
    if isinstance(sampler, Gaussian) and sampler.scale is None:
        found = find_scale(
            ask,
            sampler,
            rng,
            activation=activation,
            max_queries=max_queries,
            report=report,
        )
        sampler, left = found.sampler, left - found.queries
    notes: dict[str, Any] = {"sampler": described(sampler)}
    if hidden_layers > 1:
        return ask_layers(
            oracle,
            reader,
            sampler,
            rng,
            left=left,
            activation=activation,
            hidden_layers=hidden_layers,
            scaled=given,
            find_subspace=find_subspace,
            notes=notes,
            report=report,
        )
    if isinstance(sampler, Gaussian) and find_subspace:
        examined = examine_subspace(
            ask,
            sampler,
            rng,
            max_queries=left,
            wider=not given,
            kinked=activation is None or not is_bent(activation),
            precision_of=reader.precision,
            usable=reader.usable,
            report=report,
        )
        left -= examined.queries
        if examined.subspace is not None:
            notes |= examined.subspace.describe()
            return _ask_within(
                oracle, reader, sampler, rng, examined.subspace, left, activation, notes, report
            )
        notes["subspace"] = examined.note
    drawn = sampler.draw(left, rng)
    # What was asked while the scale was looked for lies elsewhere; students see one distribution.
    pairs = QueryPairs.adopt(drawn, ask(drawn))
    check_informative(pairs, name="the oracle's answers")
    return Answers(pairs, queries=oracle.asked, notes=notes)


def _ask_within(
    oracle: Oracle,
    reader: Reader,
    sampler: Gaussian,
    rng: np.random.Generator,
    subspace: Subspace,
    left: int,
    activation: Activation | None,
    notes: dict[str, Any],
    report: Reporter,
) -> Answers:
    """Questions within the subspace, and over all inputs for what they leave open."""
    rank, outputs = subspace.rank, subspace.outputs

    over_all = reader.asking(oracle.ask)

    def ask(coordinates: np.ndarray) -> np.ndarray:
        return over_all(subspace.place(coordinates))

    within_bound = rank * (rank + 1 + outputs) / outputs
    least = int(LEAST_PER_BOUND * within_bound)
    draft = draft_network(
        ask,
        rank,
        outputs,
        activation,
        rng,
        max_queries=left,
        reserve=least + LEAST_WHOLE,
        precision=reader.precision(subspace.differences.outputs),
        report=report,
    )
    left -= draft.queries
    notes |= {"draft": draft.note, "draft_queries": draft.queries}
    count = int(min(PER_BOUND * rank * (sampler.size + 1 + outputs) / outputs, MOST_WHOLE * left))
    if draft.network is not None:
        count = min(count, left - least)
    most = left - count
    network = draft.network
    asked = most
    if network is not None:
        asked = min(most, max(LEAST_WITHIN, int(PER_BOUND * within_bound)))
    within = rng.standard_normal((asked, rank))
    answers = ask(within)
    if network is not None:
        notes["draft_error"] = error = _relative_error(network, within, answers)
        if not error <= IMITATES:
            network = None
            if most > asked:
                more = rng.standard_normal((most - asked, rank))
                within = np.concatenate([within, more])
                answers = np.concatenate([answers, ask(more)])
    pairs = QueryPairs.adopt(within, answers)
    check_informative(pairs, name="the oracle's answers")
    notes |= {"questions_within_the_subspace": len(within), "questions_over_all_inputs": count}
    over = sampler.draw(count, rng)
    whole = QueryPairs.adopt(over, over_all(over))
    return Answers(pairs, subspace, whole, network, oracle.asked, notes=notes)


def _relative_error(network: Network, inputs: np.ndarray, outputs: np.ndarray) -> float:
    missed = np.mean((network(inputs) - outputs) ** 2)
    return float(np.sqrt(missed / np.mean(np.var(outputs, axis=0))))
