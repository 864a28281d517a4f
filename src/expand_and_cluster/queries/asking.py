"""Which questions are asked, in what order, and what each share of the budget is for."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Reporter, silent
from expand_and_cluster.queries.bend_domain import Domain
from expand_and_cluster.queries.bend_layers import BendDraft, read_layers
from expand_and_cluster.queries.drafts import draft_network
from expand_and_cluster.queries.hessians import is_bent
from expand_and_cluster.queries.kinks import Ask, find_kinks
from expand_and_cluster.queries.limit import Limit, SpentError
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.pairs import QueryPairs, check_informative
from expand_and_cluster.queries.pieces import has_kink
from expand_and_cluster.queries.reading import Reader
from expand_and_cluster.queries.samplers import Gaussian, Sampler
from expand_and_cluster.queries.saturation import FirstLayer, saturates
from expand_and_cluster.queries.scale import find_scale
from expand_and_cluster.queries.subspace import Subspace, examine_subspace

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
# Share of the budget for reading layers off kinks, and questions that show how precise answers are.
MOST_KINKS, FEW = 0.7, 64
# Lines on which kinks are counted, factor from one scale to the next, their number, and the share
# of the most kinks that the chosen scale shows.
KINK_LINES, WIDENED, WIDENINGS, MOST_SEEN = 4, 2.0, 8, 0.9
# Pairs that a network which was read off whole is polished and judged on, besides those around its
# bends.
LEAST_PAIRS = 4096


@dataclass(frozen=True)
class Answers:
    """What is known of the teacher when training begins.

    Attributes:
        pairs: What students are trained on: over the inputs, or over coordinates of the subspace.
        subspace: The subspace, if there is one.
        whole: Pairs over all inputs, where students see coordinates.
        draft: A first student: over the coordinates, read off second derivatives; or of several
            layers, read off kinks.
        queries: Rows asked, or given.
        first_layer: Input vectors of the first of several hidden layers, biases last and rough.
        notes: How questions were chosen, in plain JSON values.
    """

    pairs: QueryPairs
    subspace: Subspace | None = None
    whole: QueryPairs | None = None
    draft: Network | None = None
    queries: int = 0
    first_layer: Float[np.ndarray, "neurons inputs_and_bias"] | None = None
    notes: dict[str, Any] = field(default_factory=dict)


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
    notes: dict[str, Any] = {"sampler": _described(sampler)}
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
    draft, around = None, np.zeros((0, oracle.input_size))
    if hidden_layers > 1 and activation is not None and has_kink(activation):
        read, sampler = _read_off(
            ask, sampler, activation, hidden_layers, rng, left, reader, report, scaled=given
        )
        notes["sampler"] = _described(sampler)
        draft, left = read.network, left - read.queries
        notes |= {"draft": read.note, "draft_queries": read.queries}
        if draft is not None and read.places is not None:
            around = read.places[: left // 2]
            left -= len(around)
        if read.complete:
            left = min(left, LEAST_PAIRS)
    first_layer = None
    if hidden_layers > 1 and activation is not None and saturates(activation):
        first_layer, spent, note = _read_far_out(
            ask, sampler, activation, rng, left, reader, report
        )
        left -= spent
        notes |= {"draft": note, "draft_queries": spent}
    drawn = np.concatenate([sampler.draw(left, rng), around])
    # What was asked while the scale was looked for lies elsewhere; students see one distribution.
    pairs = QueryPairs.adopt(drawn, ask(drawn))
    check_informative(pairs, name="the oracle's answers")
    return Answers(pairs, draft=draft, queries=oracle.asked, first_layer=first_layer, notes=notes)


def _described(sampler: Sampler) -> Any:
    """A sampler in plain JSON values."""
    describe = getattr(sampler, "describe", None)
    return describe() if describe else repr(sampler)


def _read_off(
    ask: Ask,
    sampler: Sampler,
    activation: Activation,
    hidden_layers: int,
    rng: np.random.Generator,
    left: int,
    reader: Reader,
    report: Reporter,
    *,
    scaled: bool,
) -> tuple[BendDraft, Sampler]:
    """All layers read off kinks, where answers are precise enough, and where questions come from.

    A Gaussian whose scale was not given has it widened first.
    """
    limit = Limit(ask, int(MOST_KINKS * left))
    try:
        precision = reader.precision(limit.ask(sampler.draw(FEW, rng)))
        if precision == np.float64 and isinstance(sampler, Gaussian) and not scaled:
            sampler = _widened(limit, sampler, rng)
    except SpentError:
        return BendDraft(None, limit.asked, "too few questions to read kinks off"), sampler
    if precision != np.float64:
        return BendDraft(None, limit.asked, "answers are too coarse to read kinks off"), sampler
    read = read_layers(
        limit.ask,
        lambda count: sampler.draw(count, rng),
        activation,
        hidden_layers,
        rng,
        max_queries=limit.left,
        report=report,
    )
    return replace(read, queries=limit.asked), sampler


def _read_far_out(
    ask: Ask,
    sampler: Sampler,
    activation: Activation,
    rng: np.random.Generator,
    left: int,
    reader: Reader,
    report: Reporter,
) -> tuple[Float[np.ndarray, "neurons inputs_and_bias"] | None, int, str]:
    """The first layer, rows asked, and what happened; None where it is not read.

    Only where questions may lie anywhere, as those of a Gaussian may.
    """
    limit = Limit(ask, int(MOST_KINKS * left))
    if not isinstance(sampler, Gaussian):
        return None, 0, "questions may not lie far out, where neurons step one by one"
    try:
        if reader.precision(limit.ask(sampler.draw(FEW, rng))) != np.float64:
            return None, limit.asked, "answers are too coarse to read steps off"
        domain = Domain.of(lambda count: sampler.draw(count, rng), rng)
        vectors = FirstLayer(limit.ask, domain, activation, report).read()
    except SpentError:
        return None, limit.asked, "too few questions to read the first layer off steps"
    if not len(vectors):
        return None, limit.asked, "no neuron of the first layer steps far out"
    return vectors, limit.asked, f"{len(vectors)} neurons of the first layer were read off steps"


def _widened(limit: Limit, sampler: Gaussian, rng: np.random.Generator) -> Gaussian:
    """A scale at which lines between questions come upon most kinks.

    Piecewise linear outputs look alike at every scale but for their kinks: far out lines cross them
    all, near the center hardly any.

    Raises:
        SpentError: The questions do not suffice.
    """
    unit, center = sampler.with_scale(1.0), np.asarray(sampler.center)
    starts, ends = (unit.draw(KINK_LINES, rng) - center for _ in range(2))
    assert sampler.scale is not None
    scales = sampler.scale * WIDENED ** np.arange(WIDENINGS)
    kinks = [
        len(find_kinks(limit.ask, center + scale * starts, center + scale * ends).line)
        for scale in scales
    ]
    enough = np.flatnonzero(np.array(kinks) >= MOST_SEEN * max(kinks))
    return sampler.with_scale(float(scales[enough[0]]))


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
            more = rng.standard_normal((most - asked, rank))
            within, answers = np.concatenate([within, more]), np.concatenate([answers, ask(more)])
            network = None
    pairs = QueryPairs.adopt(within, answers)
    check_informative(pairs, name="the oracle's answers")
    notes |= {"questions_within_the_subspace": len(within), "questions_over_all_inputs": count}
    over = sampler.draw(count, rng)
    whole = QueryPairs.adopt(over, over_all(over))
    return Answers(pairs, subspace, whole, network, oracle.asked, notes=notes)


def _relative_error(network: Network, inputs: np.ndarray, outputs: np.ndarray) -> float:
    missed = np.mean((network(inputs) - outputs) ** 2)
    return float(np.sqrt(missed / np.mean(np.var(outputs, axis=0))))
