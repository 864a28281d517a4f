"""The few directions of the inputs that a network looks along.

The gradient of every output is a combination of the first layer's weight vectors. Gradients at a
few points span all of them, so that a network of 64 neurons over 784 inputs turns out to be a
function of 64 coordinates, and these are known before any student is trained. This is the
active-subspace idea (Constantine, Dow & Wang 2014) in the exact case; Fornasier, Klock &
Rauchensteiner (2022) use it for the same purpose.

Gradients are differences of answers: a base point, then one small step along every input. Points
are added until their gradients have a rank, seen as a gap in the singular values that leaves
several of them at the level of rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.queries.samplers import Gaussian
from expand_and_cluster.queries.subspace import Subspace

Values = Float[np.ndarray, "rows outputs"]
Ask = Callable[[Float[np.ndarray, "rows inputs"]], Values]

# Step of a difference, in units of the typical distance of a question from the center, for answers
# in float64 and in float32. It grows with the root of the number of inputs, for among more inputs
# each moves a neuron by less. The bend of the function blurs the edge of the rank in proportion to
# the step, and a kink must not lie within it.
STEP = {np.dtype(np.float64): 1e-5 / 28.0, np.dtype(np.float32): 2e-2 / 28.0}
KINKED_STEP = {np.dtype(np.float64): 1e-6 / 28.0, np.dtype(np.float32): 2e-2 / 28.0}
# Ratio of neighbouring singular values that counts as the edge of the rank.
GAP = {np.dtype(np.float64): 30.0, np.dtype(np.float32): 10.0}
# Gradients beyond the rank before it is believed: the smallest singular values of as many random
# vectors as there are dimensions can be very small by chance.
SURPLUS = 4
# Singular values below this share of the largest are rounding of the differences.
ROUNDING = 1e-9
# How much longer the step is where the budget is so small that weights will rest on differences:
# the rounding of the answers divided by the step is then their error.
TIGHT = 50.0
# Share of all queries that may be spent.
SHARE_OF_BUDGET = 0.65
# Fewer inputs than this are not worth the queries.
LEAST_INPUTS = 16
# A subspace of more than this share of the inputs saves nothing.
WORTHWHILE = 0.75
# Points that are asked besides those that the rank needs, and at least, where the budget allows:
# neurons that are flat at some points (with relu, at half of them) are seen at others.
MORE_POINTS = 1.5
LEAST_POINTS = 12
# Pairs of inputs, in a domain wider by this, between which outputs must not change beside the
# subspace; change, relative to the outputs' spread, that counts; places of change that are looked
# at, each found by halving.
CHECKS, WIDE, BLIND, SPOTS, HALVINGS = 256, 3.0, 2e-5, 4, 10
LOOKED = 2 * CHECKS + SPOTS * HALVINGS
# How much wider questions spread within the subspace than the Gaussian does, where its scale was
# found and not given: with nothing else in the question, neurons may bend well within reach.
# Measured for eight activations on 784-64-10: each student holds 62 to 64 of the 64 neurons; with
# softplus only 45 at two thirds of it.
WIDER = 2.5


@dataclass(frozen=True)
class Examined:
    """What was learnt about the subspace.

    Attributes:
        subspace: The subspace, or None where no rank shows, or where it saves nothing.
        queries: Rows asked.
        note: Why there is none, in words.
    """

    subspace: Subspace | None
    queries: int
    note: str = ""


def examine_subspace(
    ask: Ask,
    sampler: Gaussian,
    rng: np.random.Generator,
    *,
    max_queries: int,
    wider: bool = True,
    kinked: bool = False,
    hidden_layers: int = 1,
    precision_of: Callable[[Values], np.dtype[Any] | None] | None = None,
    usable: Callable[[Values], Bool[np.ndarray, " rows"]] | None = None,
    report: Reporter = silent,
) -> Examined:
    """Look for the subspace that the outputs depend on.

    Args:
        ask: Answers (rows, inputs) with (rows, outputs), for example `Oracle.ask`.
        sampler: Gaussian with its scale; points are drawn from it.
        rng: Source of randomness.
        max_queries: Budget of the whole recovery; two thirds of it at most are spent here.
        wider: Whether questions within the subspace may spread wider than the Gaussian.
        kinked: Whether the neurons bend only in kinks, as those of relu.
        hidden_layers: How many there are: of several, neurons may hide those below them.
        precision_of: Precision of answers, None if they are too coarse to take differences of;
            left out, they are looked at.
        usable: Which answers tell anything; a point with others is left out. Left out, all do.
        report: Told after every point.
    """
    size = sampler.size
    most = int(SHARE_OF_BUDGET * max_queries) // (size + 1)
    if size < LEAST_INPUTS or most < 2:
        return Examined(None, 0, "too few inputs or queries to look for a subspace")
    assert sampler.scale is not None
    gradients = np.zeros((0, size))
    questions: list[np.ndarray] = []
    answers: list[np.ndarray] = []
    step, spent, enough = 0.0, 0, most
    found: tuple[np.ndarray, np.ndarray, float] | None = None
    spots: list[np.ndarray] = []
    for point in range(1, most + 1):
        center = spots.pop()[None] if spots else sampler.draw(1, rng)
        base = ask(center)
        precision = (precision_of or _look)(base)
        if precision is None:
            return Examined(None, spent + 1, "answers are too coarse to take differences of")
        unit = KINKED_STEP[precision] if kinked else STEP[precision]
        if most < LEAST_POINTS and precision == np.float64 and not kinked:
            unit *= TIGHT
        step = float(unit * sampler.scale * np.sqrt(size))
        moved = center + step * np.eye(size)
        reached = ask(moved)
        spent += size + 1
        if usable is not None and not usable(np.concatenate([base, reached])).all():
            continue
        questions += [center, moved]
        answers += [base, reached]
        gradients = np.concatenate([gradients, (reached - base).T / step])
        found = _span(gradients, precision)
        rank = "" if found is None else f", rank {found[0].shape[1]}"
        report(Progress("find the subspace", point, enough, note=f"{spent} queries{rank}"))
        if found is not None:
            wanted = int(np.ceil(MORE_POINTS * found[0].shape[1] / base.shape[1]))
            enough = min(most, max(LEAST_POINTS, wanted))
        if found is not None and point >= enough and not spots:
            if kinked and hidden_layers > 1 and spent + LOOKED <= SHARE_OF_BUDGET * max_queries:
                spots, asked = _blind_spots(ask, sampler, found[0], rng)
                spent += asked
            if not spots:
                break
            found = None
        if found is None and len(gradients) >= size + SURPLUS:
            break
    if found is None and len(gradients) < size + SURPLUS:
        return Examined(None, spent, f"no rank shows in {len(gradients)} gradients of the outputs")
    if found is None:
        return Examined(None, spent, "the gradients of the outputs have no smaller rank")
    basis, gains, beyond = found
    if basis.shape[1] > WORTHWHILE * size:
        return Examined(None, spent, "the outputs depend on nearly all directions of the inputs")
    subspace = Subspace(
        center=sampler.center,
        root=basis * _lengths(sampler, gains, wider=wider),
        gains=gains,
        beyond=beyond,
        differences=QueryPairs.adopt(np.concatenate(questions), np.concatenate(answers)),
        step=step,
    )
    return Examined(subspace, spent)


def _blind_spots(
    ask: Ask, sampler: Gaussian, basis: Float[np.ndarray, "inputs rank"], rng: np.random.Generator
) -> tuple[list[Float[np.ndarray, " inputs"]], int]:
    """Points at which outputs change along other directions, and the rows that were asked.

    Where neurons bend in kinks, and others above them are off, gradients at a few points may show
    no trace of a neuron. Two questions tell whether outputs change between two inputs.
    """
    starts, moves = (WIDE * (sampler.draw(CHECKS, rng) - sampler.center) for _ in range(2))
    moves -= (moves @ basis) @ basis.T
    starts += sampler.center
    first, last = ask(starts), ask(starts + moves)
    changes = np.abs(last - first).max(axis=1) > BLIND * float(np.abs(first - first.mean(0)).max())
    found, asked = [], 2 * CHECKS
    for row in np.flatnonzero(changes)[:SPOTS]:
        ends, values = [starts[row], starts[row] + moves[row]], [first[row], last[row]]
        for _ in range(HALVINGS):
            middle = 0.5 * (ends[0] + ends[1])
            value = ask(middle[None])[0]
            asked += 1
            near = int(np.abs(value - values[0]).max() > np.abs(values[1] - value).max())
            ends[near], values[near] = middle, value
        found.append(0.5 * (ends[0] + ends[1]))
    return found, asked


def _look(answers: Values) -> np.dtype[Any]:
    single = np.array_equal(answers, answers.astype(np.float32))
    return np.dtype(np.float32 if single else np.float64)


def _span(
    gradients: Float[np.ndarray, "gradients inputs"], precision: np.dtype[Any]
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Basis, gains and what is left beyond them, if the gradients have a rank."""
    _, values, right = np.linalg.svd(gradients, full_matrices=False)
    if not values[0] > 0:
        return None
    values = np.maximum(values, np.finfo(np.float64).eps ** 2 * values[0])
    ratios = values[:-1] / values[1:]
    # What lies at rounding itself has gaps too, which mean nothing.
    edges = np.where(values[: len(ratios)] > ROUNDING * values[0], ratios, 0.0)
    if not len(edges) or edges.max() < GAP[precision]:
        return None
    rank = int(np.argmax(edges)) + 1
    # Beyond the edge several values must be left, all of them small. A lesser gap before an edge
    # that is still in doubt is one between directions that matter.
    if len(values) - rank < SURPLUS:
        return None
    return right[:rank].T, values[:rank] / np.sqrt(len(gradients)), 1.0 / float(edges.max())


def _lengths(sampler: Gaussian, gains: np.ndarray, *, wider: bool) -> np.ndarray:
    """How far questions spread along each direction."""
    assert sampler.scale is not None
    # Between the two extremes for the weight vectors: as flat over the directions as they can be,
    # or as uneven as the gradients.
    flat, uneven = len(gains) / np.sum(1.0 / gains), np.sum(gains**2) / np.sum(gains)
    lengths = sampler.scale * np.sqrt(np.sqrt(flat * uneven) / gains)
    if wider:
        return WIDER * lengths
    # Not longer than the questions that were asked for.
    own = sampler.scale * np.sqrt(sampler.size)
    return lengths * min(1.0, own / float(np.linalg.norm(lengths)))
