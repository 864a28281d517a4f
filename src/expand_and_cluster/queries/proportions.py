"""A layer read from single kinks, where neurons of the one below it can be told apart.

The gradient's jump at a kink is a combination of the gradients of the neurons below that are on
there. As long as these are independent, which they are where layers become no wider, the
combination can be solved for: every kink shows the weights of its neuron from all neurons below
that are on, up to a common factor, and its bias. Kinks of one neuron agree on what they both show.
Kinks of layers above show weights as well, but of no neuron: along other lines their pre-activation
changes its sign where nothing bends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.queries.bend_equations import Bend
from expand_and_cluster.queries.bend_lines import Crossings
from expand_and_cluster.queries.bend_neurons import Found, solved
from expand_and_cluster.queries.pieces import Pieces

# Condition of the gradients below up to which they can be told apart.
TOLD_APART = 1e6
# What a jump may have beside the gradients below, relative to it: kinks with more are not used.
BESIDE = 1e-5
# Sine of the angle up to which what two kinks show is the same, and weights that both must show,
# the bias among them.
SAME, COMMON = 1e-4, 3
# Share of what makes up a bias, relative to which it is compared at least: far out biases are
# nothing beside it.
RESOLVED, TINY = 1e-2, float(np.finfo(float).tiny)
# Kinks that have to agree where nothing bends above.
AGREED = 3


@dataclass(frozen=True)
class Shown:
    """What one kink shows of its neuron, up to a factor.

    Attributes:
        bend: The kink.
        vector: Weights from neurons below that are on, zero from the others; bias last.
        on: Which are on.
        size: Length of their activations.
    """

    bend: Bend
    vector: Float[np.ndarray, " below_and_one"]
    on: Bool[np.ndarray, " below"]
    size: float


def neurons_of_layer(
    crossings: Crossings, seen: Sequence[Shown | None], *, last: bool
) -> list[Found]:
    """Neurons of the next layer among those that make some kinks.

    Args:
        crossings: The layers below, their signs known, on lines where neurons have to show
            themselves.
        seen: What kinks show that no known neuron makes.
        last: Whether nothing bends above: then kinks that agree need no confirmation.
    """
    left = [one for one in seen if one is not None]
    found: list[Found] = []
    while left:
        group, left = _grouped(left)
        kinks = [one.bend for one in group]
        got = solved(crossings.pieces, kinks)
        if got is None:
            continue
        agreed = last and len(kinks) >= AGREED
        if agreed or crossings.confirm(got):
            found.append((got, kinks))
    return found


def shown(pieces: Pieces, bend: Bend) -> Shown | None:
    """What a kink shows; None where gradients below cannot be told apart, or do not make it."""
    place = pieces.at(bend.point)
    on = np.linalg.norm(place.tangents, axis=1) > 0.0
    if not on.any():
        return None
    some = place.tangents[on]
    if not tell_apart(some):
        return None
    weights = np.linalg.lstsq(some.T, bend.normal, rcond=None)[0]
    if np.linalg.norm(some.T @ weights - bend.normal) > BESIDE:
        return None
    vector = np.zeros(len(on) + 1)
    vector[:-1][on] = weights
    vector[-1] = -weights @ place.features[on]
    return Shown(bend, vector, on, float(np.linalg.norm(place.features[on])))


def _grouped(some: list[Shown]) -> tuple[list[Shown], list[Shown]]:
    """All that agree with the first, or with what those show together, and the rest."""
    vectors, on = np.array([one.vector for one in some]), np.array([one.on for one in some])
    sizes = np.array([one.size for one in some])
    rest = np.ones(len(some), dtype=bool)
    rest[0] = False
    vector, seen, grew = vectors[0].copy(), on[0].copy(), True
    while grew:
        grew = False
        left = np.flatnonzero(rest)
        agreeing = np.isfinite(_factors(vector, seen, vectors[left], on[left], sizes[left]))
        for row in left[agreeing]:
            one = slice(row, row + 1)
            factor = float(_factors(vector, seen, vectors[one], on[one], sizes[one])[0])
            # Others of this turn may have shown weights that it does not agree with.
            if np.isfinite(factor):
                new = on[row] & ~seen
                vector[:-1][new] = factor * vectors[row, :-1][new]
                seen, grew = seen | on[row], True
                rest[row] = False
    kept = [one for one, other in zip(some, rest, strict=True) if not other]
    return kept, [one for one, other in zip(some, rest, strict=True) if other]


def _factors(
    vector: Float[np.ndarray, " below_and_one"],
    seen: Bool[np.ndarray, " below"],
    others: Float[np.ndarray, "kinks below_and_one"],
    on: Bool[np.ndarray, "kinks below"],
    sizes: Float[np.ndarray, " kinks"],
) -> Float[np.ndarray, " kinks"]:
    """What the weights of kinks are to be multiplied by to agree; NaN for those that do not."""
    common = on & seen
    mine = np.where(common, vector[:-1], 0.0)
    theirs = np.where(common, others[:, :-1], 0.0)
    # Biases are pre-activations of other neurons: as large as weights times what they weigh, but no
    # smaller than rounding leaves of these.
    length = np.linalg.norm(mine, axis=1)
    least = RESOLVED * sizes * length
    unit = length / np.maximum(abs(vector[-1]), least + TINY)
    # A bias that is nothing beside what makes it up tells nothing.
    told = common.sum(axis=1) + (abs(vector[-1]) > least)
    enough = told >= min(COMMON, len(seen))
    mine = np.column_stack([mine, vector[-1] * unit])
    theirs = np.column_stack([theirs, others[:, -1] * unit])
    product, own = np.sum(mine * theirs, axis=1), np.sum(theirs**2, axis=1)
    lengths = np.sum(mine**2, axis=1) * own
    same = enough & (lengths > 0.0) & (lengths - product**2 <= SAME**2 * lengths)
    return np.where(same, product / np.where(own > 0.0, own, 1.0), np.nan)


def tell_apart(gradients: Float[np.ndarray, "neurons inputs"]) -> bool:
    """Whether neurons with these gradients, but for those that are off, are independent there."""
    some = gradients[np.linalg.norm(gradients, axis=1) > 0.0]
    if len(some) > some.shape[1]:
        return False
    values = np.linalg.svd(some, compute_uv=False)
    return bool(len(values) and values[-1] * TOLD_APART >= values[0])


def derivatives_at(
    slopes: Float[np.ndarray, "neurons inputs"],
    neuron: int,
    gradients: Float[np.ndarray, "sides inputs outputs"],
) -> Float[np.ndarray, " sides"]:
    """How much outputs depend on a pre-activation, on both sides of its kink.

    Args:
        slopes: Gradients of all pre-activations of the layer, just there; independent.
        neuron: Which one has its kink.
        gradients: Of the outputs, on either side.
    """
    own = np.linalg.pinv(slopes)[:, neuron]
    return np.linalg.norm(np.einsum("sio,i->so", gradients, own), axis=1)
