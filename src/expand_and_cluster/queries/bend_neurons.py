"""Neurons of one layer as they are read off kinks: joined, told apart, regressed on."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.queries.bend_equations import (
    Bend,
    Inconsistent,
    Neuron,
    as_layer,
    solve_neuron,
    solve_signs,
)
from expand_and_cluster.queries.pieces import Pieces

# A neuron with the kinks that it was solved from.
Found = tuple[Neuron, list[Bend]]

# Weights that a single kink may show of a neuron that is known besides.
MOST_NEW = 3
# Error of an answer that is explained, relative to the answers' spread; share of them that has to
# be; fits, each with the rows that the last one explained worst counting less.
EXPLAINED, LEAST_RIGHT, FITS = 1e-6, 0.6, 20


def signs_told(
    pieces: Pieces, found: list[Found], hidden: np.ndarray, *, search: bool
) -> Bool[np.ndarray, " open"] | None:
    """Signs of the open layer, as the neurons above it have them."""
    above = np.array([neuron.vector[:-1] for neuron, _ in found])
    unseen = np.array([neuron.unseen for neuron, _ in found])
    return solve_signs(pieces, above, unseen, hidden, search=search)


def with_open(below: Pieces, found: list[Found]) -> Pieces:
    """One layer more, its signs open."""
    return replace(below, open=as_layer(np.array([neuron.vector for neuron, _ in found])))


def extended(pieces: Pieces, found: list[Found], bend: Bend) -> bool:
    """Whether a kink is of a neuron that is known but for weights that this kink shows."""
    for place, (neuron, bends) in enumerate(found):
        if not neuron.unseen.any():
            continue
        more = solved(pieces, [*bends, bend])
        # Where several of its weights are new, a kink of any neuron would do.
        if more is not None and 0 < neuron.unseen.sum() - more.unseen.sum() <= MOST_NEW:
            found[place] = more, [*bends, bend]
            return True
    return False


def hidden_below(found: list[Found], below: Pieces) -> Bool[np.ndarray, " below"]:
    """Neurons of the last known layer of which some neuron above does not know its weight."""
    if not below.top:
        return np.zeros(below.inputs, dtype=bool)
    return np.any([neuron.unseen for neuron, _ in found], axis=0)


def distinct(pieces: Pieces, kinks: list[list[Bend]]) -> list[Found]:
    """Neurons solved for once more, now that signs are known, each once.

    One that did not show some of its weights may have been found again by kinks that do.
    """
    found: list[Found] = []
    for bends in kinks:
        alone = solved(pieces, bends)
        if alone is None:
            continue
        joined = None
        for place, (_, theirs) in enumerate(found):
            joined = solved(pieces, theirs + bends)
            if joined is not None:
                found[place] = joined, theirs + bends
                break
        if joined is None:
            found.append((alone, bends))
    return found


def solved(pieces: Pieces, bends: list[Bend]) -> Neuron | None:
    """The only neuron that bends at all of these kinks; None if there is none, or several."""
    try:
        return solve_neuron(pieces, bends)
    except Inconsistent:
        return None


def regressed(
    pieces: Pieces,
    points: np.ndarray,
    answers: np.ndarray,
    beside: Float[np.ndarray, "rows more"] | None = None,
) -> tuple[Float[np.ndarray, "outputs features_and_one"], Bool[np.ndarray, " rows"]]:
    """Output weights over the features and what stands beside them, bias last; rows they explain.

    Rows that cannot be explained, where a neuron is missing, are told by least absolute deviations
    (iteratively reweighted least squares), which few of them do not sway, however seldom a neuron
    is on; the weights are then solved for on the others.
    """
    more = np.zeros((len(points), 0)) if beside is None else beside
    features = np.column_stack([pieces.features(points), more, np.ones(len(points))])
    scale = np.linalg.norm(features, axis=0)
    scale[scale == 0.0] = 1.0
    unit = features / scale
    size = float(np.std(answers)) + np.finfo(float).tiny
    rows = np.ones(len(points))
    explained = np.zeros(len(points), dtype=bool)
    weights = np.zeros((features.shape[1], answers.shape[1]))
    for _ in range(FITS):
        weights = np.linalg.lstsq(rows[:, None] * unit, rows[:, None] * answers, rcond=1e-12)[0]
        left = np.abs(unit @ weights - answers).max(axis=1)
        before, explained = explained.sum(), left <= EXPLAINED * size
        if explained.all() or (explained.sum() == before > LEAST_RIGHT * len(rows)):
            break
        rows = 1.0 / np.sqrt(np.maximum(left, EXPLAINED * size))
    if LEAST_RIGHT * len(rows) < explained.sum() < len(rows):
        weights = np.linalg.lstsq(unit[explained], answers[explained], rcond=1e-12)[0]
        explained = np.abs(unit @ weights - answers).max(axis=1) <= EXPLAINED * size
    return (weights / scale[:, None]).T, explained
