"""Output weights above layers that were read off, and the neurons that answers still miss."""

from dataclasses import dataclass

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
# Share of the answers that may be lost to signs, and signs that are turned to win them back.
UNSIGNED, MOST_TURNED = 1e-3, 4


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
    above, right = regressed(with_open(below, found), points, answers)
    for _ in range(REPAIRS):
        if right.all() or right.sum() < LEAST_RIGHT * len(right):
            break
        found = _repaired(survey, below, found, points, right)
        above, right = regressed(with_open(below, found), points, answers)
        needed = _thinned(below, found, points[right], answers[right])
        if len(needed) < len(found):
            found = needed
            above, right = regressed(with_open(below, found), points, answers)
    if right.sum() >= LEAST_RIGHT * len(right):
        needed = _thinned(below, found, points[right], answers[right])
        if len(needed) < len(found):
            found = needed
            above, right = regressed(with_open(below, found), points, answers)
    pieces = with_open(below, found)
    explained = float(np.mean(right))
    none = np.zeros((len(above), len(found)), dtype=bool)
    flipped = solve_signs(pieces, above[:, :-1], none, hidden_below(found, below))
    if flipped is None:
        return Outputs(None, None, explained)
    last, right = _signed(pieces, flipped, points, answers, explained)
    share = float(np.mean(right))
    bends = Bends(last[:, :-1], last[:, -1])
    return Outputs(None if share < LEAST_RIGHT else pieces.signed(flipped), bends, share)


def _signed(
    pieces: Pieces,
    flipped: Bool[np.ndarray, " open"],
    points: Float[np.ndarray, "rows inputs"],
    answers: Float[np.ndarray, "rows outputs"],
    explained: float,
) -> tuple[Float[np.ndarray, "outputs features_and_one"], Bool[np.ndarray, " rows"]]:
    """Output weights with these signs; single ones are turned, in place, while it explains more.

    Args:
        pieces: All hidden layers, the last of them open.
        flipped: Neurons whose sign is the opposite.
        points: Inputs.
        answers: Outputs there.
        explained: Share of these that is explained while signs are open.
    """
    last, right = regressed(pieces.signed(flipped), points, answers)
    for _ in range(MOST_TURNED):
        if np.mean(right) >= explained - UNSIGNED:
            break
        tried = []
        for index in range(len(flipped)):
            turned = flipped.copy()
            turned[index] = not turned[index]
            tried.append(regressed(pieces.signed(turned), points, answers))
        best = int(np.argmax([each.sum() for _, each in tried]))
        if tried[best][1].sum() <= right.sum():
            break
        flipped[best] = not flipped[best]
        last, right = tried[best]
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
