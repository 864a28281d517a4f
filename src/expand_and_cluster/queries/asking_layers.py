"""Which questions are asked of networks of several hidden layers.

As with one layer, the few directions that outputs depend on are looked for first. Within these,
what can be read off is: relu networks at their kinks, networks that are such far out there, and the
first layer of networks that saturate. The rest of the budget are pairs to polish or to train on,
and some over all inputs, for the weights that answers within the subspace leave open.
"""

from typing import Any

import numpy as np

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.progress import Reporter, silent
from expand_and_cluster.queries.answers import Answers
from expand_and_cluster.queries.gradients import examine_subspace
from expand_and_cluster.queries.hessians import is_bent
from expand_and_cluster.queries.layers_read import LayersRead, far_out, read_off, soft_kinks
from expand_and_cluster.queries.limit import Limit
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.pairs import QueryPairs, check_informative
from expand_and_cluster.queries.reading import Reader
from expand_and_cluster.queries.samplers import Gaussian, Sampler, described
from expand_and_cluster.queries.subspace import Subspace

# Share of the budget for reading layers off.
MOST_READ = 0.7
# Pairs that a network which was read off whole is polished and judged on, besides those around its
# bends: at least, and for every one that the counting bound (weights over outputs) asks for.
LEAST_PAIRS, PAIRS_PER_BOUND = 4096, 6.0
# Questions over all inputs, for every one that the counting bound asks for, and the most of what is
# left of the budget.
WHOLE_PER_BOUND, MOST_WHOLE = 4.0, 0.4


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
    soft = soft_kinks(budget, sampler, activation, rng, reader)
    if isinstance(sampler, Gaussian) and find_subspace:
        sharp = soft is not None or (activation is not None and not is_bent(activation))
        examined = examine_subspace(
            budget.ask if soft is None else far_out(budget.ask, sampler.center),
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
    read = read_off(
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


def _shares(
    left: int, read: LayersRead, subspace: Subspace | None, outputs: int
) -> tuple[int, int]:
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
