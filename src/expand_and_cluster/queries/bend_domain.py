"""Where lines lie on which kinks are looked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

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
# Standard deviation of the logarithm of pre-activations that are to differ much.
UNEVEN = 1.5
TINY = float(np.finfo(float).tiny)


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
        if not self._is_free(layer):
            return None
        back, spread = np.linalg.pinv(layer.weight), self._spread_of(layer)

        def draw(count: int) -> Float[np.ndarray, "rows inputs"]:
            pre = np.abs(self._uneven(count, len(spread))) * spread
            return (pre - layer.bias) @ back.T

        return draw

    def spreading(self, layers: Sequence[Bends]) -> Draw | None:
        """Draws inputs that turn neurons of the last of these layers on and off in many ways.

        Usually what a layer looks at averages over many neurons, and of the layer above some are
        hardly ever on. Here single neurons lead. None where inputs cannot be found for it.

        Args:
            layers: The first layers, their signs known.
        """
        if not self._is_free(layers[0]):
            return None
        back, spread = np.linalg.pinv(layers[0].weight), self._spread_of(layers[0])

        def draw(count: int) -> Float[np.ndarray, "rows inputs"]:
            rows = []
            for target in self._uneven(count, len(layers[-1].bias)):
                for layer in layers[:0:-1]:
                    target, wanted = self._uneven(1, layer.weight.shape[1])[0], target
                    below = nnls(layer.weight, wanted)[0]
                    # What is not on is off, as far as others are on.
                    off = -np.abs(target) * below.mean()
                    target = np.where(below > 0.0, below, off)
                length = np.linalg.norm(target / spread) / np.sqrt(len(spread))
                rows.append(back @ (target / max(length, TINY) - layers[0].bias))
            return np.array(rows).reshape(count, self.inputs)

        return draw

    def _is_free(self, layer: Bends) -> bool:
        """Whether there are inputs for all pre-activations of a first layer."""
        values = np.linalg.svd(layer.weight, compute_uv=False)
        independent = values[-1] >= INDEPENDENT * values[0]
        return bool(len(layer.weight) <= self.inputs and independent)

    def _spread_of(self, layer: Bends) -> Float[np.ndarray, " neurons"]:
        return np.asarray((self.wide(SOME) @ layer.weight.T).std(axis=0))

    def _uneven(self, rows: int, size: int) -> Float[np.ndarray, "rows size"]:
        """Random numbers of which few are much larger than the others."""
        return self.rng.standard_normal((rows, size)) * np.exp(
            UNEVEN * self.rng.standard_normal((rows, size))
        )
