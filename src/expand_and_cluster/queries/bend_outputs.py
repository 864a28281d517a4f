"""Output weights above layers that were read off, and the neurons that answers still miss."""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.queries.bend_equations import solve_signs
from expand_and_cluster.queries.bend_neurons import (
    EXPLAINED,
    LEAST_RIGHT,
    Found,
    distinct,
    hidden_below,
    regressed,
    with_open,
)
from expand_and_cluster.queries.bend_survey import Survey
from expand_and_cluster.queries.bend_walk import BendWalker
from expand_and_cluster.queries.pieces import Bends, Pieces

# The answers that output weights are solved for lie in a domain wider than that of the questions by
# this.
WIDER_OUTPUTS = 1.5
# Rows on which output weights are solved for: for every feature, and at least.
ROWS_PER_FEATURE, LEAST_ROWS = 8, 16_384
# Lines between inputs that are explained and others, and how often what is missing is looked for.
REPAIR_LINES, REPAIRS = 8, 20
# Share of the answers that may be lost to signs, or to neurons that seem not needed, and signs
# that are turned to win them back: single ones, and two at once where there are few pairs of them.
LOST, MOST_PAIRS = 1e-3, 150


@dataclass(frozen=True)
class Outputs:
    """The last layers.

    Attributes:
        pieces: All hidden layers, their signs known; None where these stay open, or where too few
            answers are explained.
        last: Output weights and biases.
        right: Share of the answers that they explain.
    """

    pieces: Pieces | None
    last: Bends | None
    right: float


def read_outputs(survey: Survey, below: Pieces, found: list[Found]) -> Outputs:
    """Output weights; what they leave shows where neurons of the last hidden layer are missing.

    Args:
        survey: Asks.
        below: The layers below the last hidden one.
        found: Its neurons, their signs open.
    """
    domain = survey.domain
    features = below.features(domain.center[None]).shape[1]
    count = ROWS_PER_FEATURE * (len(found) + features + 1)
    points = domain.wide(max(count, LEAST_ROWS), WIDER_OUTPUTS)
    answers = survey.ask(points)
    found, above, right = _fitted(below, found, points, answers)
    for _ in range(REPAIRS):
        if right.all() or right.sum() < LEAST_RIGHT * len(right):
            break
        more = _repaired(survey, below, found, points, right)
        repaired = _fitted(below, more, points, answers)
        # What was found besides may spoil the fit; other lines then show other kinks.
        if repaired[2].sum() >= right.sum():
            found, above, right = repaired
    pieces = with_open(below, found)
    explained = float(np.mean(right))
    none = np.zeros((len(above), len(found)), dtype=bool)
    hidden = hidden_below(found, below)
    flipped = solve_signs(pieces, above[:, :-1], none, hidden)
    if flipped is None:
        return Outputs(None, None, explained)
    beside = below.features(points)[:, hidden]
    last, right = _signed(pieces, flipped, points, answers, beside, explained)
    signed = pieces.signed(flipped)
    if hidden.any():
        signed = with_unseen_weights(signed, found, hidden, last)
        last, right = regressed(signed, points, answers)
    share = float(np.mean(right))
    bends = Bends(last[:, :-1], last[:, -1])
    return Outputs(None if share < LEAST_RIGHT else signed, bends, share)


def with_unseen_weights(
    signed: Pieces,
    found: list[Found],
    hidden: Bool[np.ndarray, " below"],
    last: Float[np.ndarray, "outputs features_and_one"],
) -> Pieces:
    """The layers with the weights that no kink of the last hidden one's neurons showed.

    A neuron that is on wherever a neuron below it is shows no kink there. What outputs then take of
    the one below besides is what the weight that was not seen is wrong by.
    """
    top = signed.layers[-1]
    weight, size = top.weight.copy(), len(top.bias)
    for column, feature in enumerate(np.flatnonzero(hidden), start=size):
        open_here = np.array([neuron.unseen[feature] for neuron, _ in found])
        missed = np.linalg.lstsq(last[:, :size][:, open_here], last[:, column], rcond=1e-9)[0]
        weight[open_here, feature] += missed
    return replace(signed, layers=(*signed.layers[:-1], Bends(weight, top.bias)))


def _fitted(
    below: Pieces, found: list[Found], points: Float[np.ndarray, "rows inputs"], answers: np.ndarray
) -> tuple[list[Found], Float[np.ndarray, "outputs features"], Bool[np.ndarray, " rows"]]:
    """Output weights above these neurons, or above those of them that are needed."""
    above, right = regressed(with_open(below, found), points, answers)
    if right.sum() < LEAST_RIGHT * len(right):
        return found, above, right
    needed = _thinned(below, found, points[right], answers[right])
    if len(needed) < len(found):
        fewer = regressed(with_open(below, needed), points, answers)
        if np.mean(fewer[1]) >= np.mean(right) - LOST:
            return needed, *fewer
    return found, above, right


def _signed(
    pieces: Pieces,
    flipped: Bool[np.ndarray, " open"],
    points: Float[np.ndarray, "rows inputs"],
    answers: Float[np.ndarray, "rows outputs"],
    beside: Float[np.ndarray, "rows hidden"],
    explained: float,
) -> tuple[Float[np.ndarray, "outputs features_and_one"], Bool[np.ndarray, " rows"]]:
    """Output weights with these signs; one or two are turned, in place, where it explains more.

    Args:
        pieces: All hidden layers, the last of them open.
        flipped: Neurons whose sign is the opposite.
        points: Inputs.
        answers: Outputs there.
        beside: Features of the layer below of which some neuron did not show its weight.
        explained: Share of these that is explained while signs are open.
    """
    last, right = regressed(pieces.signed(flipped), points, answers, beside)
    neurons = range(len(flipped))
    pairs = list(combinations(neurons, 2))
    for some in [(one,) for one in neurons] + (pairs if len(pairs) <= MOST_PAIRS else []):
        if np.mean(right) >= explained - LOST:
            break
        turned = flipped.copy()
        turned[list(some)] ^= True
        tried, better = regressed(pieces.signed(turned), points, answers, beside)
        if better.sum() > right.sum():
            flipped[:], last, right = turned, tried, better
    return last, right


def _thinned(
    below: Pieces, found: list[Found], points: Float[np.ndarray, "rows inputs"], answers: np.ndarray
) -> list[Found]:
    """The neurons without which these answers are explained less well.

    One with a few wrong weights, from kinks of two, stands beside the right ones.
    """
    pieces = with_open(below, found)
    features = np.column_stack([pieces.features(points), np.ones(len(points))])
    size = EXPLAINED * float(np.std(answers))
    needed = np.ones(pieces.top, dtype=bool)
    for index in range(pieces.top):
        needed[index] = False
        some = features[:, np.append(needed, np.ones(features.shape[1] - pieces.top, dtype=bool))]
        weights = np.linalg.lstsq(some, answers, rcond=1e-12)[0]
        needed[index] = bool(np.abs(some @ weights - answers).max() > size)
    return [one for one, kept in zip(found, needed, strict=True) if kept]


def _repaired(
    survey: Survey,
    below: Pieces,
    found: list[Found],
    points: Float[np.ndarray, "rows inputs"],
    right: Bool[np.ndarray, " rows"],
) -> list[Found]:
    """With what bends between inputs that are and are not explained."""
    domain, known, wrong = survey.domain, points[right], points[~right]
    walker = BendWalker(survey.ask, below, domain.size, domain.rng)
    starts = wrong[domain.rng.integers(len(wrong), size=REPAIR_LINES)]
    ends = known[domain.rng.integers(len(known), size=REPAIR_LINES)]
    survey.look(starts, ends, below, found)
    found = survey.found(below, found, last=True)
    left, survey.pool = survey.pool, []
    for bend in left:
        if not survey.explained(below, found, bend.point):
            got = walker.neuron(bend)
            found += [] if got is None else [got]
            survey.pool += [bend] if got is None else []
    return distinct(below, [bends for _, bends in found])
