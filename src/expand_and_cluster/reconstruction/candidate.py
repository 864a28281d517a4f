"""A network under reconstruction: fixed shapes, some neurons absent."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from expand_and_cluster.core.network import Layer, Network

# Widths of large candidates are multiples of this: few programs, little padding.
PADDING = 8


@dataclass(frozen=True)
class Candidate:
    """Neurons that may make up the teacher, with their share of the output solved for.

    Widths are padded, so that removing neurons compiles nothing.

    Attributes:
        network: Padded network in standardised coordinates.
        present: Which of its neurons take part.
        loss: Mean squared error over samples and outputs.
    """

    network: Network
    present: Bool[np.ndarray, " neurons"]
    loss: float

    @property
    def width(self) -> int:
        """Number of neurons that take part."""
        return int(self.present.sum())

    def halved(self) -> "Candidate":
        """The same candidate in half the padded width, once it fits: steps cost a quarter."""
        half = len(self.present) // 2
        present, absent = np.flatnonzero(self.present), np.flatnonzero(~self.present)
        activation = self.network.activation
        places = activation.places([activation.of(k) for k in present])
        if half % 4 or np.any(places >= half):
            return self
        order = np.empty(half, dtype=int)
        order[places] = present
        order[np.setdiff1d(np.arange(half), places)] = absent[: half - len(present)]
        return self._arranged(order)

    def tightened(self) -> "Candidate":
        """The same candidate without padding beyond a multiple of `PADDING`; mixtures stay."""
        count = padded(self.width)
        if self.network.activation.kinds or count >= len(self.present):
            return self
        order = np.concatenate([np.flatnonzero(self.present), np.flatnonzero(~self.present)])
        return self._arranged(order[:count])

    def with_vectors(
        self,
        places: Int[np.ndarray, " some"],
        vectors: Float[np.ndarray, "some inputs_and_bias"],
    ) -> Network:
        """The padded network with other input vectors in these places."""
        first, last = self.network.layers
        weight, bias = first.weight.copy(), first.bias.copy()
        weight[places], bias[places] = vectors[:, :-1], vectors[:, -1]
        return self.network.replace(layers=(Layer(weight, bias), last))

    def _arranged(self, order: Int[np.ndarray, " places"]) -> "Candidate":
        """The neurons of these places, in this order."""
        first, last = self.network.layers
        layers = (
            Layer(first.weight[order], first.bias[order]),
            Layer(last.weight[:, order], last.bias),
        )
        return Candidate(self.network.replace(layers=layers), self.present[order], self.loss)

    def compact(self) -> Network:
        """The network of the present neurons alone."""
        first, last = self.network.layers
        kept = self.present
        return self.network.replace(
            layers=(
                Layer(first.weight[kept], first.bias[kept]),
                Layer(last.weight[:, kept], last.bias),
            ),
            activation=self.network.activation.only(np.flatnonzero(kept)),
        )


def padded(neurons: int) -> int:
    """Width of a large candidate of so many neurons."""
    return -(-neurons // PADDING) * PADDING


def improved(candidate: Candidate, network: Network, loss: float) -> Candidate:
    """The candidate after a descent; itself where that came to nothing."""
    if not np.isfinite(loss) or loss >= candidate.loss:
        return candidate
    return Candidate(network, candidate.present, loss)
