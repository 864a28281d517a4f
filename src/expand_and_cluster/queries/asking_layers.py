"""Which questions are asked of networks of several hidden layers.

As with one layer, the few directions that outputs depend on are looked for first. Within these,
what can be read off is: relu networks at their kinks, networks that are such far out there, and the
first layer of networks that saturate. The rest of the budget are pairs to polish or to train on,
and some over all inputs, for the weights that answers within the subspace leave open.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.errors import OracleError
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.progress import Reporter, silent
from expand_and_cluster.queries.answers import Answers
from expand_and_cluster.queries.asymptotes import Asymptotes, asymptotes_of
from expand_and_cluster.queries.bend_domain import Domain
from expand_and_cluster.queries.bend_layers import read_layers
from expand_and_cluster.queries.bend_lengths import with_lengths
from expand_and_cluster.queries.hessians import is_bent
from expand_and_cluster.queries.kinks import Ask, find_kinks
from expand_and_cluster.queries.limit import Limit, SpentError
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.pairs import QueryPairs, check_informative
from expand_and_cluster.queries.pieces import has_kink
from expand_and_cluster.queries.reading import Reader
from expand_and_cluster.queries.samplers import Gaussian, Sampler, described
from expand_and_cluster.queries.saturation import FirstLayer, saturates
from expand_and_cluster.queries.subspace import Subspace, examine_subspace

# Share of the budget for reading layers off, and questions that show how precise answers are.
MOST_READ, FEW = 0.7, 64
# How many times further out than questions soft kinks are read: what is soft about them is lost in
# rounding there.
FAR = 1e11
# Lines on which kinks are counted, factor from one scale to the next, their number, and the share
# of the most kinks that the chosen scale shows.
KINK_LINES, WIDENED, WIDENINGS, MOST_SEEN = 4, 2.0, 8, 0.9
# Pairs that a network which was read off whole is polished and judged on, besides those around its
# bends: at least, and for every one that the counting bound (weights over outputs) asks for.
LEAST_PAIRS, PAIRS_PER_BOUND = 4096, 6.0
# Questions over all inputs, for every one that the counting bound asks for, and the most of what is
# left of the budget.
WHOLE_PER_BOUND, MOST_WHOLE = 4.0, 0.4


@dataclass(frozen=True)
class _Read:
    """What was read off.

    Attributes:
        note: What happened, in words.
        sampler: Where other questions come from.
        network: The whole network.
        first_layer: Or its first layer, biases last.
        places: Inputs at which its neurons bend.
        complete: Whether the network explains nearly all answers.
    """

    note: str
    sampler: Sampler
    network: Network | None = None
    first_layer: Float[np.ndarray, "neurons inputs_and_bias"] | None = None
    places: Float[np.ndarray, "rows inputs"] | None = None
    complete: bool = False


def ask_layers(
    oracle: Oracle,
    reader: Reader,
    sampler: Sampler,
    rng: np.random.Generator,
    *,
    left: int,
    activation: Activation | None,
    hidden_layers: int,
    scaled: bool,
    find_subspace: bool,
    notes: dict[str, Any],
    report: Reporter = silent,
) -> Answers:
    """Spend what is left of the budget.

    Args:
        oracle: Whom to ask.
        reader: How answers are read.
        sampler: Where questions come from.
        rng: Source of randomness.
        left: Rows that may be asked.
        activation: Activation of the hidden neurons; None if it is not known.
        hidden_layers: Layers of the teacher.
        scaled: Whether the user gave the scale of questions.
        find_subspace: Whether to look for a subspace and to ask within it.
        notes: How questions were chosen so far.
        report: Receives progress.

    Raises:
        OracleError: The oracle failed.
        InvalidInputError: The answers are constant.
    """
    ask, inner, subspace = reader.asking(oracle.ask), sampler, None
    budget = Limit(ask, left)
    soft = _soft(budget, sampler, activation, rng, reader)
    if isinstance(sampler, Gaussian) and find_subspace:
        sharp = soft is not None or (activation is not None and not is_bent(activation))
        examined = examine_subspace(
            budget.ask if soft is None else _far_out(budget.ask, sampler.center),
            sampler,
            rng,
            max_queries=budget.left,
            wider=not scaled,
            kinked=activation is None or sharp,
            hidden_layers=hidden_layers,
            precision_of=reader.precision,
            usable=reader.usable,
            report=report,
        )
        subspace = examined.subspace
        notes |= {"subspace": examined.note} if subspace is None else subspace.describe()
    if subspace is not None:
        inner = Gaussian(subspace.rank, 1.0)
    place = (lambda rows: rows) if subspace is None else subspace.place
    before = budget.left
    read = _read(
        Limit(lambda rows: budget.ask(place(rows)), int(MOST_READ * budget.left)),
        inner,
        activation,
        soft,
        hidden_layers,
        rng,
        reader,
        report,
        scaled=scaled,
        # Outputs depend on no more directions than the first layer has neurons.
        least=0 if subspace is None else subspace.rank,
    )
    if read.note:
        notes |= {"draft": read.note, "draft_queries": before - budget.left}
    if subspace is None:
        notes["sampler"] = described(read.sampler)
    count, over = _shares(budget.left, read, subspace, oracle.output_size or 1)
    around = np.zeros((0, inner.size)) if read.places is None else read.places[: count // 2]
    drawn = np.concatenate([read.sampler.draw(count - len(around), rng), around])
    pairs = QueryPairs.adopt(drawn, ask(place(drawn)))
    check_informative(pairs, name="the oracle's answers")
    whole = None
    if subspace is not None:
        rows = place(drawn[rng.integers(len(drawn), size=over)])
        rows = rows + subspace.beside(sampler.draw(over, rng))
        whole = QueryPairs.adopt(rows, ask(rows))
        assert isinstance(read.sampler, Gaussian)
        notes |= {
            "questions_within_the_subspace": count,
            "questions_over_all_inputs": over,
            "widened_within_the_subspace": read.sampler.scale,
        }
    return Answers(
        pairs,
        subspace,
        whole,
        read.network,
        oracle.asked,
        first_layer=read.first_layer,
        notes=notes,
    )


def _shares(left: int, read: _Read, subspace: Subspace | None, outputs: int) -> tuple[int, int]:
    """Pairs to polish or train on, and questions over all inputs."""
    over = 0
    if subspace is not None:
        unknown = subspace.rank * (len(subspace.center) - subspace.rank)
        over = int(min(WHOLE_PER_BOUND * unknown / outputs, MOST_WHOLE * left))
    left -= over
    if read.complete and read.network is not None:
        around = 0 if read.places is None else len(read.places)
        enough = PAIRS_PER_BOUND * read.network.parameter_count / outputs
        left = min(left, max(LEAST_PAIRS, int(enough)) + around)
    return left, over


def _far_out(ask: Ask, center: Float[np.ndarray, " inputs"]) -> Ask:
    """The same outputs seen from far away, where activations are straight lines but for kinks."""
    return lambda rows: ask(center + FAR * (rows - center)) / FAR


def _soft(
    budget: Limit,
    sampler: Sampler,
    activation: Activation | None,
    rng: np.random.Generator,
    reader: Reader,
) -> Asymptotes | None:
    """What the activation is far from zero, where far out can be asked in double precision."""
    found = None if activation is None else asymptotes_of(activation)
    if found is None or not isinstance(sampler, Gaussian) or budget.left < FEW:
        return None
    try:
        values = _far_out(budget.ask, sampler.center)(sampler.draw(FEW, rng))
    except OracleError:
        # It overflows, or does not take such questions.
        return None
    return found if reader.precision(values) == np.float64 else None


def _read(
    limit: Limit,
    sampler: Sampler,
    activation: Activation | None,
    soft: Asymptotes | None,
    hidden_layers: int,
    rng: np.random.Generator,
    reader: Reader,
    report: Reporter,
    *,
    scaled: bool,
    least: int,
) -> _Read:
    """Read off what can be."""
    kinked = activation is not None and has_kink(activation)
    bounded = activation is not None and saturates(activation)
    if activation is None or not (kinked or bounded or soft is not None):
        return _Read("", sampler)
    if bounded and not isinstance(sampler, Gaussian):
        return _Read("questions may not lie far out, where neurons step one by one", sampler)
    try:
        if reader.precision(limit.ask(sampler.draw(FEW, rng))) != np.float64:
            return _Read("answers are too coarse to read layers off", sampler)
        if soft is not None:
            return _read_softly(limit, sampler, soft, hidden_layers, rng, report, least=least)
        if bounded:
            return _read_first(limit, sampler, activation, rng, report)
        if isinstance(sampler, Gaussian) and not scaled:
            sampler = _widened(limit, sampler, rng)
    except SpentError:
        return _Read("too few questions to read layers off", sampler)
    read = read_layers(
        limit.ask,
        lambda count: sampler.draw(count, rng),
        activation,
        hidden_layers,
        rng,
        max_queries=limit.left,
        least=least,
        report=report,
    )
    return _Read(read.note, sampler, read.network, places=read.places, complete=read.complete)


def _read_softly(
    limit: Limit,
    sampler: Sampler,
    soft: Asymptotes,
    hidden_layers: int,
    rng: np.random.Generator,
    report: Reporter,
    *,
    least: int,
) -> _Read:
    """All layers of a network whose kinks are soft, far out first, then in their lengths.

    Raises:
        SpentError: The questions do not suffice.
    """
    center = np.asarray(getattr(sampler, "center", np.zeros(sampler.size)))

    def ask(rows: np.ndarray) -> np.ndarray:
        return limit.ask(center + rows)

    def draw(count: int) -> np.ndarray:
        return sampler.draw(count, rng) - center

    read = read_layers(
        _far_out(ask, np.zeros(sampler.size)),
        draw,
        soft.hard(),
        hidden_layers,
        rng,
        max_queries=limit.left,
        least=least,
        report=report,
    )
    if read.network is None:
        return _Read(f"far out, {read.note}", sampler)
    domain = Domain.of(draw, rng)
    network, note = with_lengths(ask, read.network, soft, domain)
    if network is None:
        return _Read(f"far out, {read.note}; {note}", sampler)
    first, *others = network.layers
    moved = Layer(first.weight, first.bias - first.weight @ center)
    network = network.replace(layers=(moved, *others))
    # Where questions come from neurons of upper layers may be as good as linear.
    places = center + domain.wide(LEAST_PAIRS // 2)
    return _Read(f"far out, {read.note}", sampler, network, places=places, complete=read.complete)


def _read_first(
    limit: Limit,
    sampler: Sampler,
    activation: Activation,
    rng: np.random.Generator,
    report: Reporter,
) -> _Read:
    """The first layer of a network that saturates, where questions may lie anywhere.

    Raises:
        SpentError: The questions do not suffice.
    """
    domain = Domain.of(lambda count: sampler.draw(count, rng), rng)
    try:
        vectors = FirstLayer(limit.ask, domain, activation, report).read()
    except OracleError:
        # One that is broken for good fails again at the next question.
        return _Read("the oracle does not answer far out, where neurons step one by one", sampler)
    if not len(vectors):
        return _Read("no neuron of the first layer steps far out", sampler)
    note = f"{len(vectors)} neurons of the first layer were read off steps"
    return _Read(note, sampler, first_layer=vectors)


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
