"""Coordinates within the few directions of the inputs that a network looks along."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.queries.pairs import QueryPairs


@dataclass(frozen=True, eq=False)
class Subspace:
    """Directions of the inputs that matter, and how to ask within them.

    Attributes:
        center: Point that questions are drawn around.
        root: Maps coordinates z to inputs, `center + root @ z`: orthogonal columns, each as long
            as questions are to spread along it. Directions along which the outputs change
            much are asked over a smaller range than others, by the square root of their gain,
            which makes the neurons' input vectors closer to orthogonal.
        gains: Root mean square change of the gradients along each direction.
        beyond: Next singular value of the gradients, relative to the last one within.
        differences: What was asked for the gradients, point after point: the point, then one step
            along every input.
        step: Length of these steps.
    """

    center: Float[np.ndarray, " inputs"]
    root: Float[np.ndarray, "inputs rank"]
    gains: Float[np.ndarray, " rank"]
    beyond: float
    differences: QueryPairs
    step: float

    @property
    def outputs(self) -> int:
        """Outputs of the network."""
        return self.differences.outputs.shape[1]

    @property
    def queries(self) -> int:
        """Rows asked for the gradients."""
        return len(self.differences)

    @property
    def points(self) -> int:
        """Points at which gradients were asked."""
        return self.queries // (len(self.center) + 1)

    @property
    def rank(self) -> int:
        """Number of directions."""
        return self.root.shape[1]

    def place(self, coordinates: Float[np.ndarray, "rows rank"]) -> np.ndarray:
        """Inputs at these coordinates."""
        return self.center + coordinates @ self.root.T

    def beside(self, inputs: Float[np.ndarray, "rows inputs"]) -> np.ndarray:
        """What of inputs, less the center, the coordinates do not show."""
        unit = self.root / np.linalg.norm(self.root, axis=0)
        off = inputs - self.center
        return off - (off @ unit) @ unit.T

    def lift(self, network: Network) -> Network:
        """The network over all inputs that sees only these coordinates of them."""
        # z = project @ (x - center)
        project = self.root.T / np.sum(self.root**2, axis=0)[:, None]
        first = network.layers[0]
        weight = first.weight @ project
        layers = (Layer(weight, first.bias - weight @ self.center), *network.layers[1:])
        skip = network.skip
        if skip is not None:
            affine = skip.weight @ project
            skip = Layer(affine, skip.bias - affine @ self.center)
        return network.replace(layers=layers, skip=skip)

    def describe(self) -> dict[str, Any]:
        """What was found, in plain JSON values."""
        return {
            "subspace_rank": self.rank,
            "subspace_points": self.points,
            "subspace_queries": self.queries,
            "subspace_beyond": self.beyond,
        }
