"""A first draft of the network within the subspace, read off second derivatives without training.

Hessians give the directions of all neurons; along the dual direction of each, a line of questions
moves this neuron alone and gives its slope, its offset and its output weights. What comes out is
good to some percent: a student to polish, not a result.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.queries.diagonalise import diagonalise
from expand_and_cluster.queries.hessians import DOUBLE, Ask, ask_hessians, is_bent, queries_for
from expand_and_cluster.queries.profiles import PLACES, fit_profiles

# How far from the center the points lie, in units of the questions' spread: near it hardly any
# neuron is saturated, further away others bend than those that bend at the center.
RADII = (0.25, 0.5, 0.35, 0.7)
# A neuron whose diagonal entries are smaller than this share of the median is hardly seen.
VISIBLE = 0.02
# Off-diagonal entries, relative to the diagonal, above which there is no common basis: more neurons
# than directions, or a deeper network.
COMMON = 0.05
# Matrices from which one basis can be told.
LEAST_MATRICES = 2
# Share of what is left of the budget that may be spent on points after the first.
SHARE_OF_BUDGET = 0.5


@dataclass(frozen=True)
class Draft:
    """What was read off.

    Attributes:
        network: The draft in coordinates of the subspace, or None.
        queries: Rows asked.
        note: What happened, in words.
    """

    network: Network | None
    queries: int
    note: str


def draft_network(
    ask: Ask,
    rank: int,
    outputs: int,
    activation: Activation | None,
    rng: np.random.Generator,
    *,
    max_queries: int,
    reserve: int,
    precision: np.dtype[Any] | None = DOUBLE,
    report: Reporter = silent,
) -> Draft:
    """Read a network of `rank` neurons off the outputs' second derivatives.

    Args:
        ask: Answers coordinates, of questions that spread by about 1 along each, with outputs.
        rank: Number of coordinates.
        outputs: Number of outputs.
        activation: Activation of the hidden neurons; one that is not known, or without a
            bend, gives no draft.
        rng: Source of randomness.
        max_queries: Rows left.
        reserve: Rows of these that must be left over.
        precision: That of the answers; None if they are too coarse to take differences of.
        report: Told after every point.
    """
    if activation is None or not is_bent(activation):
        return Draft(None, 0, "no activation that is known to bend")
    if precision is None:
        return Draft(None, 0, "answers are too coarse to take differences of")
    available = max_queries - reserve - rank * len(PLACES)
    most = max(1, int(SHARE_OF_BUDGET * available) // queries_for(rank))
    most = min(len(RADII), most, available // queries_for(rank))
    if most * outputs < LEAST_MATRICES:
        return Draft(None, 0, "too few queries for the outputs' second derivatives")
    matrices = np.zeros((0, rank, rank))
    points: list[np.ndarray] = []
    base, basis, spent = np.zeros(outputs), np.eye(rank), 0
    for radius in RADII[:most]:
        points.append(radius * rng.standard_normal(rank))
        hessians, base = ask_hessians(ask, points[-1], precision)
        spent += queries_for(rank)
        size = np.linalg.norm(hessians, axis=(1, 2), keepdims=True)
        hessians = hessians / np.where(size > 0, size, 1.0)
        matrices = np.concatenate([matrices, hessians])
        report(Progress("read off second derivatives", len(points), most, note=f"{spent} queries"))
        if len(matrices) < LEAST_MATRICES:
            continue
        basis, off = diagonalise(matrices, rng)
        if off > COMMON:
            return Draft(None, spent, "the outputs' second derivatives have no common basis")
        if _least_visible(matrices, basis) > VISIBLE:
            break
    middle = points[-1]
    lines = middle + PLACES[:, None, None] * basis.T
    answers = ask(lines.reshape(-1, rank)).reshape(len(PLACES), rank, -1)
    spent += rank * len(PLACES)
    slopes, offsets, weights = fit_profiles(answers.transpose(1, 0, 2) - base, activation)
    # Rows of the inverse basis: along column k, only the k-th pre-activation moves, by its slope.
    vectors = slopes[:, None] * np.linalg.inv(basis)
    here = activation.values(offsets)
    network = Network(
        (Layer(vectors, offsets - vectors @ middle), Layer(weights.T, base - here @ weights)),
        activation,
    )
    places = "one point" if len(points) == 1 else f"{len(points)} points"
    note = f"{rank} neurons read off the second derivatives at {places}"
    return Draft(network, spent, note)


def _least_visible(
    matrices: Float[np.ndarray, "matrices rank rank"], basis: Float[np.ndarray, "rank rank"]
) -> float:
    """How strongly the matrices show the neuron that they show least, relative to the median."""
    directions = np.linalg.inv(basis)
    unit = basis * np.linalg.norm(directions, axis=1)
    diagonals = np.einsum("mik,ik->mk", matrices @ unit, unit)
    shown = np.linalg.norm(diagonals, axis=0)
    return float(shown.min() / np.median(shown))
