"""The layers of a piecewise linear network that are known so far, and what the next one looks at.

A layer that was read off kinks is known up to the sign of every neuron: relu(-u) and relu(u) have
the same kink. As long as the signs are open, the next layer is affine in the layer's activations
*and* in what the layer itself looks at, for relu(-u) = relu(u) - u. Once they are known, the
activations alone are left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from expand_and_cluster.core.activation import Activation

# Largest distance of a kink to the bend of a neuron that makes it, relative to the size of inputs.
ON = 1e-7


class Bends(NamedTuple):
    """One layer's affine maps, in the layer below.

    Attributes:
        weight: (neurons, inputs of the layer).
        bias: (neurons,).
    """

    weight: Float[np.ndarray, "neurons below"]
    bias: Float[np.ndarray, " neurons"]


class Place(NamedTuple):
    """What is known at one input; affine around it as far as the next bend.

    Attributes:
        point: The input.
        features: What the next layer is affine in.
        tangents: Derivative of these by the input.
        pre: Pre-activations of all known neurons, layer after layer.
        slopes: Derivatives of these.
    """

    point: Float[np.ndarray, " inputs"]
    features: Float[np.ndarray, " features"]
    tangents: Float[np.ndarray, "features inputs"]
    pre: Float[np.ndarray, " neurons"]
    slopes: Float[np.ndarray, "neurons inputs"]

    def distances(self) -> Float[np.ndarray, " neurons"]:
        """How far every neuron's bend is from here, were it straight; infinite where it is off."""
        length = np.linalg.norm(self.slopes, axis=1)
        return np.where(
            length > 0.0, np.abs(self.pre) / np.where(length > 0.0, length, 1.0), np.inf
        )

    def crossings(
        self, way: Float[np.ndarray, " inputs"]
    ) -> tuple[Float[np.ndarray, " bends"], Int[np.ndarray, " bends"]]:
        """Steps along a way to the bends ahead, nearest first, and the neurons that bend there.

        Only the first is certain: behind it the others may lie elsewhere.
        """
        rate = self.slopes @ way
        step = -self.pre / np.where(rate == 0.0, np.inf, rate)
        ahead = np.flatnonzero(step > 0.0)
        order = ahead[np.argsort(step[ahead])]
        return step[order], order


@dataclass(frozen=True)
class Pieces:
    """Known layers.

    Attributes:
        inputs: Number of inputs.
        slopes: Slope of the activation below and above zero.
        layers: Layers whose signs are known.
        open: The layer above these, its signs unknown; None where there is none.
    """

    inputs: int
    slopes: tuple[float, float]
    layers: tuple[Bends, ...] = ()
    open: Bends | None = None

    @property
    def known(self) -> tuple[Bends, ...]:
        """All known layers."""
        return self.layers if self.open is None else (*self.layers, self.open)

    @property
    def top(self) -> int:
        """Neurons of the last known layer."""
        return len(self.known[-1].bias) if self.known else 0

    def unseen(self, places: Sequence[Place]) -> Bool[np.ndarray, " top"]:
        """Neurons of the last known layer that do not show a weight of theirs at any of these.

        Of an open layer those that are on at all places, or at none; else those that are not on,
        where off means zero.

        Args:
            places: Kinks of one neuron of the next layer.
        """
        on = np.array([place.pre[len(place.pre) - self.top :] > 0.0 for place in places])
        never = ~np.any(on, axis=0)
        if self.open is not None:
            return np.asarray(np.all(on, axis=0) | never)
        return np.asarray(never & (self.slopes[0] == 0.0))

    def signed(self, flipped: np.ndarray) -> "Pieces":
        """The same with the open layer's signs known.

        Args:
            flipped: Neurons whose sign is the opposite.
        """
        assert self.open is not None
        sign = np.where(flipped, -1.0, 1.0)
        layer = Bends(sign[:, None] * self.open.weight, sign * self.open.bias)
        return replace(self, layers=(*self.layers, layer), open=None)

    def at(self, point: Float[np.ndarray, " inputs"]) -> Place:
        """What is known at an input."""
        values, tangents = point, np.eye(len(point))
        pre, slopes = [np.zeros(0)], [np.zeros((0, len(point)))]
        for layer in self.known:
            below, below_tangents = values, tangents
            own = layer.weight @ values + layer.bias
            way = layer.weight @ tangents
            steep = np.where(own > 0.0, self.slopes[1], self.slopes[0])
            pre.append(own)
            slopes.append(way)
            values, tangents = steep * own, steep[:, None] * way
            if layer is self.open:
                values = np.concatenate([values, below])
                tangents = np.concatenate([tangents, below_tangents])
        return Place(point, values, tangents, np.concatenate(pre), np.concatenate(slopes))

    def features(self, points: Float[np.ndarray, "rows inputs"]) -> Float[np.ndarray, "rows _"]:
        """What the next layer is affine in, for many inputs."""
        values = points
        for layer in self.known:
            below, own = values, values @ layer.weight.T + layer.bias
            values = np.where(own > 0.0, self.slopes[1], self.slopes[0]) * own
            if layer is self.open:
                values = np.concatenate([values, below], axis=1)
        return values

    def pre(self, points: Float[np.ndarray, "rows inputs"]) -> Float[np.ndarray, "rows neurons"]:
        """Pre-activations of all known neurons, layer after layer, for many inputs."""
        values, found = points, [np.zeros((len(points), 0))]
        for layer in self.known:
            found.append(values @ layer.weight.T + layer.bias)
            values = np.where(found[-1] > 0.0, self.slopes[1], self.slopes[0]) * found[-1]
        return np.concatenate(found, axis=1)


def has_kink(activation: Activation) -> bool:
    """Whether an activation is linear on either side of zero, with a kink there."""
    symmetry = activation.symmetry
    return symmetry.homogeneity == 1.0 and symmetry.center == 0.0 and symmetry.flip is not None


def slopes_of(activation: Activation) -> tuple[float, float]:
    """Slopes below and above zero of an activation that is linear on either side."""
    down, up = activation.values(np.array([-1.0, 1.0]))
    return -float(down), float(up)


def on_bend(
    place: Place, vectors: Sequence[Float[np.ndarray, " features_and_one"]], size: float
) -> bool:
    """Whether one of several neurons of the next layer bends at a place.

    Args:
        place: A kink.
        vectors: For each neuron its weights over the features, bias last.
        size: Of the inputs.
    """
    return any(
        abs(float(vector[:-1] @ place.features + vector[-1]))
        < ON * size * float(np.linalg.norm(vector[:-1] @ place.tangents))
        for vector in vectors
    )
