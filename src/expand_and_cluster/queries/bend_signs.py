"""Signs of a layer's neurons, from what the outputs make of them on both sides of their kinks."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.queries.bend_domain import Draw
from expand_and_cluster.queries.bend_equations import Bend
from expand_and_cluster.queries.bend_neurons import Found
from expand_and_cluster.queries.bend_places import bends_between
from expand_and_cluster.queries.bend_survey import SOME, Survey, apart
from expand_and_cluster.queries.pieces import Pieces
from expand_and_cluster.queries.proportions import derivatives_at, shown, tell_apart

# Kinks at which a neuron's sign is asked for, how far from them outputs' gradients are taken, in
# units of the size of inputs, and over which share of that.
SIDES, OFF, STEP = 3, 1e-4, 0.05
# How many times larger the outputs' derivative has to be on one side, where the other is flat.
CLEAR = 1e3
# Most neurons whose signs are tried, and how many kinks more the right ones have to make sense of.
MOST_UNTOLD, LEAST_MORE = 6, 3


def flips_told(
    survey: Survey, pieces: Pieces, found: Sequence[Found], draw: Draw
) -> Bool[np.ndarray, " open"] | None:
    """Which neurons of the open layer have the opposite sign; None where that stays open.

    On the side on which a neuron is on, outputs depend more on its pre-activation than on the
    other. Where this cannot be seen, the right sign is the one with which most kinks of the layers
    above are combinations of the gradients of neurons that are on.

    Args:
        survey: Asks, and has kinks of the layers above.
        pieces: Known layers, the last of them open.
        found: The open layer's neurons, with their kinks.
        draw: Draws inputs between which neurons that show no sign are made to bend.
    """
    votes = [_votes(survey, pieces, index, bends) for index, (_, bends) in enumerate(found)]
    for index, each in enumerate(votes):
        if not each:
            each += _votes(survey, pieces, index, _kinks_between(pieces, index, draw(SOME)))
    # They contradict each other where a neuron of the layer is missing.
    if any(min(each) != max(each) for each in votes if each):
        return None
    flipped = np.array([bool(each) and not each[0] for each in votes])
    untold = np.flatnonzero([not each for each in votes])
    if not len(untold):
        return flipped
    if len(untold) > MOST_UNTOLD:
        return None
    tried = np.tile(flipped, (1 << len(untold), 1))
    tried[:, untold] = np.array(list(product((False, True), repeat=len(untold))))
    sensible = np.array([_sensible(survey, pieces.signed(signs)) for signs in tried])
    best, second = np.argsort(-sensible, kind="stable")[:2]
    return tried[best] if sensible[best] >= sensible[second] + LEAST_MORE else None


def _votes(survey: Survey, pieces: Pieces, index: int, bends: Sequence[Bend]) -> list[bool]:
    """Whether some kinks of a neuron of the open layer say that its sign is right."""
    flat, steep = np.abs(pieces.slopes)
    clear = min(CLEAR, 0.5 * steep / max(flat, np.finfo(float).tiny))
    votes: list[bool] = []
    for bend in bends:
        slopes = pieces.at(bend.point).slopes[-pieces.top :]
        if not tell_apart(slopes):
            continue
        before, after = derivatives_at(slopes, index, _gradients(survey, bend))
        if max(before, after) > clear * min(before, after):
            votes.append(bool((after > before) == (bend.normal @ slopes[index] > 0.0)))
        if len(votes) == SIDES:
            break
    return votes


def _gradients(survey: Survey, bend: Bend) -> Float[np.ndarray, "sides inputs outputs"]:
    """Gradients of the outputs on both sides of a kink."""
    inputs, off = survey.domain.inputs, OFF * survey.domain.size
    moves = np.vstack([np.zeros(inputs), STEP * off * np.eye(inputs)])
    sides = [bend.point + side * off * bend.normal for side in (-1.0, 1.0)]
    answers = survey.ask(np.concatenate([side + moves for side in sides]))
    both = answers.reshape(2, len(moves), -1)
    return (both[:, 1:] - both[:, :1]) / (STEP * off)


def _kinks_between(pieces: Pieces, index: int, points: np.ndarray) -> list[Bend]:
    """Kinks of a neuron of the open layer between some of these inputs."""
    pre = pieces.pre(points)
    place = pre.shape[1] - pieces.top + index
    found = []
    for point in bends_between(pieces, place, *apart(points, pre[:, place])):
        slope = pieces.at(point).slopes[place]
        length = float(np.linalg.norm(slope))
        found += [Bend(point, slope / length)] if length > 0.0 else []
    return found


def _sensible(survey: Survey, pieces: Pieces) -> int:
    """How many kinks of the layers above are combinations of gradients below."""
    return sum(shown(pieces, bend) is not None for bend in survey.pool)
