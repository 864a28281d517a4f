"""Inputs on both sides of every neuron's bends: answers there hold its weights."""

import numpy as np
from jaxtyping import Float

from expand_and_cluster.queries.bend_domain import Domain
from expand_and_cluster.queries.pieces import Pieces

# Bends of every neuron that answers are wanted around, and how far from them, in units of the size
# of inputs.
AROUND, OFF = 24, (0.02, 0.3)
# Inputs among which those are looked for at which a neuron is on, and at which it is off.
AMONG = 8192
# Halvings of a line between two such inputs.
HALVINGS = 60


def places_around(pieces: Pieces, domain: Domain) -> Float[np.ndarray, "rows inputs"]:
    """Inputs on both sides of some bends of every neuron, seldom active ones included.

    Args:
        pieces: All hidden layers, their signs known.
        domain: Where inputs come from.
    """
    points = domain.wide(AMONG)
    rows = [np.zeros((0, domain.inputs))]
    for index, pre in enumerate(pieces.pre(points).T):
        on, off = np.flatnonzero(pre > 0.0), np.flatnonzero(pre <= 0.0)
        if not len(on) or not len(off):
            continue
        starts, ends = (
            points[some[domain.rng.integers(len(some), size=AROUND)]] for some in (on, off)
        )
        for bend in bends_between(pieces, index, starts, ends):
            slope = pieces.at(bend).slopes[index]
            normal = slope / max(float(np.linalg.norm(slope)), np.finfo(float).tiny)
            aside = domain.size * domain.rng.uniform(*OFF, size=(2, 1)) * normal
            rows.append(np.array([bend + aside[0], bend - aside[1]]))
    return np.concatenate(rows)


def bends_between(
    pieces: Pieces,
    index: int,
    starts: Float[np.ndarray, "lines inputs"],
    ends: Float[np.ndarray, "lines inputs"],
) -> Float[np.ndarray, "lines inputs"]:
    """A place on each line where a neuron's pre-activation changes its sign.

    Args:
        pieces: Known layers.
        index: The neuron, counted through all layers.
        starts: Inputs on one side.
        ends: Inputs on the other.
    """
    for _ in range(HALVINGS):
        middle = 0.5 * (starts + ends)
        same = pieces.pre(starts)[:, index] * pieces.pre(middle)[:, index] > 0.0
        starts, ends = np.where(same[:, None], [middle, ends], [starts, middle])
    return starts
