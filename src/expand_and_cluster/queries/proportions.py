"""A layer read from single kinks, where neurons of the one below it can be told apart.

The gradient's jump at a kink is a combination of the gradients of the neurons below that are on
there. As long as these are independent, which they are where layers become no wider, the
combination can be solved for: every kink shows the weights of its neuron from all neurons below
that are on, up to a common factor, and its bias. Kinks of one neuron agree on what they both show.
Kinks of layers above show weights as well, but of no neuron: along other lines their pre-activation
changes its sign where nothing bends.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.queries.bend_equations import Bend, Neuron
from expand_and_cluster.queries.bend_neurons import Found, solved
from expand_and_cluster.queries.pieces import ON, Pieces

# Condition of the gradients below up to which they can be told apart.
TOLD_APART = 1e6
# What a jump may have beside the gradients below, relative to it: kinks with more are not used.
BESIDE = 1e-5
# Sine of the angle up to which what two kinks show is the same, and weights that both must show.
SAME, COMMON = 1e-4, 2
# Kinks that have to agree where nothing bends above.
AGREED = 3
# Changes of a pre-activation's sign along lines that decide, and the share that must be kinks: less
# where a weight was not seen, for then some lie elsewhere.
DECIDE, CONFIRMED, CONFIRMED_IN_PART = 5, 0.75, 0.5


@dataclass(frozen=True)
class Line:
    """A line with all kinks that were found on it.

    Attributes:
        start: Where it begins.
        way: From there to its end.
        places: Kinks, 0 at the start and 1 at the end, in order.
        flat: Whether outputs are constant along each straight stretch, so that nothing that bends
            there would be seen.
    """

    start: Float[np.ndarray, " inputs"]
    way: Float[np.ndarray, " inputs"]
    places: Float[np.ndarray, " kinks"]
    flat: Bool[np.ndarray, " stretches"]

    def between(self) -> Float[np.ndarray, "stretches inputs"]:
        """A point within every straight stretch."""
        ends = np.concatenate([[0.0], self.places, [1.0]])
        return self.start + 0.5 * (ends[1:] + ends[:-1])[:, None] * self.way

    def kinks(self) -> Float[np.ndarray, "kinks inputs"]:
        """The kinks."""
        return self.start + self.places[:, None] * self.way


@dataclass(frozen=True)
class Shown:
    """What one kink shows of its neuron, up to a factor.

    Attributes:
        bend: The kink.
        vector: Weights from neurons below that are on, zero from the others; bias last.
        on: Which are on.
    """

    bend: Bend
    vector: Float[np.ndarray, " below_and_one"]
    on: Bool[np.ndarray, " below"]


def neurons_of_layer(
    pieces: Pieces, bends: list[Bend], lines: list[Line], size: float, *, last: bool
) -> list[Found]:
    """Neurons of the next layer among those that make these kinks.

    Args:
        pieces: The layers below, their signs known.
        bends: Kinks that no known neuron makes.
        lines: Where neurons have to show themselves.
        size: Of the inputs.
        last: Whether nothing bends above: then kinks that agree need no confirmation.
    """
    left = [one for one in (shown(pieces, bend) for bend in bends) if one is not None]
    found: list[Found] = []
    while left:
        group, left = _grouped(left)
        kinks = [one.bend for one in group]
        got = solved(pieces, kinks)
        if got is None:
            continue
        agreed = last and len(kinks) >= AGREED
        if agreed or is_confirmed(pieces, got, lines, size):
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
    return Shown(bend, vector, on)


def _grouped(some: list[Shown]) -> tuple[list[Shown], list[Shown]]:
    """All that agree with the first, or with what those show together, and the rest."""
    group, rest = [some[0]], some[1:]
    vector, on = some[0].vector, some[0].on
    grew = True
    while grew:
        grew, left = False, []
        for one in rest:
            factor = _factor(vector, on, one)
            if factor is None:
                left.append(one)
                continue
            group.append(one)
            new = one.on & ~on
            vector = vector.copy()
            vector[:-1][new] = factor * one.vector[:-1][new]
            on, grew = on | one.on, True
        rest = left
    return group, rest


def _factor(vector: np.ndarray, on: np.ndarray, one: Shown) -> float | None:
    """What a kink's weights are to be multiplied by to agree; None if they do not."""
    common = np.append(on & one.on, True)
    if common.sum() - 1 < min(COMMON, len(on)):
        return None
    # Biases are pre-activations of other neurons: as large as weights times what they weigh.
    mine, theirs = vector[common], one.vector[common]
    unit = np.ones(len(mine))
    unit[-1] = np.linalg.norm(mine[:-1]) / max(abs(mine[-1]), np.finfo(float).tiny)
    mine, theirs = mine * unit, theirs * unit
    length = np.linalg.norm(mine) * np.linalg.norm(theirs)
    if length == 0.0:
        return None
    cosine = float(mine @ theirs / length)
    if 1.0 - cosine**2 > SAME**2:
        return None
    return float(mine @ theirs / (theirs @ theirs))


def is_confirmed(pieces: Pieces, neuron: Neuron, lines: list[Line], size: float) -> bool:
    """Whether lines have a kink where this neuron's pre-activation changes its sign."""
    vector = neuron.vector
    changes, right = 0, 0
    for line in lines:
        middle = pieces.features(line.between()) @ vector[:-1] + vector[-1]
        hidden = line.flat[1:] | line.flat[:-1]
        kinks = line.kinks()
        for turned in np.flatnonzero(middle[1:] * middle[:-1] < 0.0):
            place = pieces.at(kinks[turned])
            steep = float(np.linalg.norm(vector[:-1] @ place.tangents))
            pre = abs(float(vector[:-1] @ place.features + vector[-1]))
            there = pre < ON * size * steep
            right += there
            # Within a stretch on which outputs are constant it might bend unseen.
            changes += there or not hidden[turned]
    least = CONFIRMED_IN_PART if neuron.unseen.any() else CONFIRMED
    return changes >= DECIDE and right >= least * changes


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
