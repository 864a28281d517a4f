"""Which activations give the same networks: one is the other, stretched, shifted and sheared."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.symmetry import PROBES
from expand_and_cluster.symmetries.terms import Sampled

# Largest difference, as a share of the activation's own size on the probe points, at which one
# activation is the other: a search by least squares stops a few digits above rounding.
TOLERANCE = 1e-9
# Stretches to start the search from. The positive ones first: relu is also leaky_relu turned round.
STRETCHES = (1.0, 0.4, 2.5, -1.0)
# A search that is on its way to an exact answer needs about ten steps.
STEPS = 15
_POINTS = np.concatenate([-PROBES[::-1], [0.0], PROBES])


@dataclass(frozen=True)
class Relation:
    """How one activation is made of another, for every z.

    `one(z) = amount * other(stretch * z + shift) + slope * z + constant`.
    """

    amount: float
    stretch: float
    shift: float
    slope: float
    constant: float

    def rewrite(self, network: Network, other: Activation) -> Network:
        """The same function with the other activation.

        Args:
            network: A single network of the one activation.
            other: The other.

        Returns:
            A network of the same widths, with a skip where the slope leaves an affine map.

        Raises:
            InvalidInputError: The slope is not zero and there are several hidden layers: an
                affine map between them has no place in an ordinary network.
        """
        if self.slope != 0.0 and len(network.layers) > 2:
            raise InvalidInputError(
                f"network has {len(network.layers) - 1} hidden layers; {network.activation.name} "
                f"is {other.name} with a linear part, which can be rewritten for one only."
            )
        layers = list(network.layers)
        skip = network.skip
        for place in range(len(layers) - 1):
            into, out = layers[place], layers[place + 1]
            if self.slope != 0.0:
                line = self.slope * np.asarray(out.weight)
                own = Layer(line @ into.weight, line @ into.bias)
                skip = (
                    own if skip is None else Layer(skip.weight + own.weight, skip.bias + own.bias)
                )
            layers[place] = Layer(self.stretch * into.weight, self.stretch * into.bias + self.shift)
            layers[place + 1] = Layer(
                self.amount * out.weight, out.bias + self.constant * out.weight.sum(axis=1)
            )
        return Network(tuple(layers), other, skip)


@lru_cache(maxsize=256)
def find_relation(one: Activation, other: Activation) -> Relation | None:
    """How one activation is made of the other, or None if it is not.

    Amount, slope and constant are solved for; stretch and shift are searched by least squares.

    Args:
        one: The activation to make.
        other: The one to make it of.
    """
    flips = one.symmetry.flip, other.symmetry.flip
    # Odd stays odd, and even stays even, up to an affine part.
    if flips[0] is not None and flips[1] is not None and flips[0].sign != flips[1].sign:
        return None
    wanted = _values(one, _POINTS)
    size = 1.0 + np.abs(wanted)

    def solved(moved: Float[np.ndarray, " two"]) -> tuple[np.ndarray, np.ndarray]:
        values = _values(other, moved[0] * _POINTS + moved[1])
        design = np.stack([values, _POINTS, np.ones_like(_POINTS)], axis=1) / size[:, None]
        solution = np.linalg.lstsq(design, wanted / size, rcond=1e-12)[0]
        return solution, design @ solution - wanted / size

    for stretch in STRETCHES:
        start = np.array([stretch, 0.0])
        # A start that is right already stays: where the activation hides its scale, any is.
        if np.max(np.abs(solved(start)[1])) > TOLERANCE:
            start = least_squares(lambda moved: solved(moved)[1], start, max_nfev=STEPS).x
        (amount, slope, constant), rest = solved(start)
        if np.max(np.abs(rest)) <= TOLERANCE:
            numbers = (amount, start[0], start[1], slope, constant)
            return Relation(*(_tidy(float(number)) for number in numbers))
    return None


def same_networks(one: Activation, other: Activation) -> bool:
    """Whether every network of the one is a network of the other with the same widths."""
    relation = find_relation(one, other)
    return relation is not None and relation.slope == 0.0


def equivalence_classes(activations: Iterable[Activation]) -> list[list[Activation]]:
    """Activations that give the same networks, together; classes in order of their first."""
    classes: list[list[Activation]] = []
    for activation in activations:
        for members in classes:
            if same_networks(members[0], activation):
                members.append(activation)
                break
        else:
            classes.append([activation])
    return classes


def _values(activation: Activation, points: Float[np.ndarray, " points"]) -> np.ndarray:
    return Sampled(activation, np.ones((1, 1))).values(points)


def _tidy(number: float) -> float:
    """The nearby number with few digits, where the search alone explains the difference."""
    short = round(number, 6)
    return short + 0.0 if abs(number - short) <= TOLERANCE else number
