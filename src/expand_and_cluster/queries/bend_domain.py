"""Where lines lie on which kinks are looked for."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.queries.pieces import Bends

Draw = Callable[[int], Float[np.ndarray, "rows inputs"]]

# Lines lie in a domain wider by this than that of the questions: neurons bend there that seldom do
# so within it.
WIDER = 3.0
# Inputs from which a domain's center and size are told.
SOME = 256
# Least singular value of a layer's weights, relative to the largest, with which inputs can be found
# for any of its pre-activations.
INDEPENDENT = 1e-3


@dataclass(frozen=True)
class Domain:
    """Inputs as they are drawn, and further out.

    Attributes:
        draw: Draws inputs.
        center: Their mean.
        size: Root mean square of their lengths.
        spread: Root mean square of their distances from the center.
        rng: Source of randomness.
    """

    draw: Draw
    center: Float[np.ndarray, " inputs"]
    size: float
    spread: float
    rng: np.random.Generator

    @staticmethod
    def of(draw: Draw, rng: np.random.Generator) -> "Domain":
        """The domain that inputs are drawn from."""
        some = draw(SOME)
        size = float(np.sqrt(np.mean(np.sum(some**2, axis=1))))
        return Domain(draw, some.mean(axis=0), size, float(np.linalg.norm(some.std(axis=0))), rng)

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return len(self.center)

    def wide(self, count: int, by: float = WIDER) -> Float[np.ndarray, "rows inputs"]:
        """Inputs from a domain that is wider by a factor."""
        return self.center + by * (self.draw(count) - self.center)

    def within(self, layer: Bends) -> Draw | None:
        """Draws inputs at which every neuron of a first layer is on; None where there are none.

        Between two of these no neuron of the layer bends, and nothing of what it feeds is hidden.
        """
        values = np.linalg.svd(layer.weight, compute_uv=False)
        if len(layer.weight) > self.inputs or values[-1] < INDEPENDENT * values[0]:
            return None
        back = np.linalg.pinv(layer.weight)
        spread = (self.wide(SOME) @ layer.weight.T).std(axis=0)

        def draw(count: int) -> Float[np.ndarray, "rows inputs"]:
            pre = np.abs(self.rng.standard_normal((count, len(spread)))) * spread
            return (pre - layer.bias) @ back.T

        return draw
