"""Pairs that show only inputs that many others show too: most weights are learned from these.

A pair shows an input where this is not at its usual value, the median. A pair that shows an input
which few others show is explained by the neurons' weights for it, whatever else is still wrong on
it: these run away, and what is wrong stays. Without such pairs, and without such inputs, there are
fewer weights, each told by many pairs, every step costs a fraction, and the problem is far better
conditioned. Weights of the other inputs are told afterwards (see `reconstruction.extension`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from expand_and_cluster.core.held import hold
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.queries.pairs import QueryPairs

# Share of the pairs that are common at least: half of the images of MNIST do without 302 of the 717
# pixels that vary.
COMMON = 0.5
# Share of the varying inputs above which there is too little to gain: of the images of
# Fashion-MNIST half show nine in ten.
MOST_INPUTS = 0.75


@dataclass(frozen=True)
class CommonPairs:
    """Pairs that show no input which few show, as questions about the inputs that they show.

    Attributes:
        inputs: Which inputs they show.
        among: Which of all pairs they are.
        usual: Value of every input where it is not shown.
        least: Pairs of all that show each of the inputs at least.
    """

    inputs: Bool[np.ndarray, " inputs"]
    among: Bool[np.ndarray, " pairs"]
    usual: Float[np.ndarray, " inputs"]
    least: int

    def of(self, pairs: QueryPairs) -> QueryPairs:
        """These of the pairs, without the other inputs."""
        return QueryPairs.adopt(self.rows(pairs.inputs), pairs.outputs[self.among])

    def rows(self, inputs: Float[np.ndarray, "pairs inputs"]) -> np.ndarray:
        """These of the pairs' inputs."""
        return inputs[np.ix_(self.among, self.inputs)]

    def restrict(self, network: Network) -> Network:
        """The network on pairs that show no other inputs."""
        held = hold(network, ~self.inputs, self.usual)
        return _with_input_weights(held, lambda weight: weight[:, self.inputs])

    def lift(self, network: Network) -> Network:
        """The network over all inputs that has no weights for the others."""

        def spread(weight: np.ndarray) -> np.ndarray:
            whole = np.zeros((len(weight), len(self.inputs)))
            whole[:, self.inputs] = weight
            return whole

        return _with_input_weights(network, spread)

    def describe(self) -> dict[str, Any]:
        """What was found, in plain JSON values."""
        return {"common_pairs": int(self.among.sum()), "common_inputs": int(self.inputs.sum())}


@dataclass(frozen=True)
class Shown:
    """How often inputs are shown.

    Attributes:
        inputs: All pairs' inputs.
    """

    inputs: Float[np.ndarray, "pairs inputs"]

    @cached_property
    def usual(self) -> Float[np.ndarray, " inputs"]:
        """Value of every input where it is not shown: the median."""
        # Along rows that lie in one piece: several times faster on images.
        return np.median(np.ascontiguousarray(self.inputs.T), axis=1)

    @cached_property
    def times(self) -> Int[np.ndarray, " inputs"]:
        """How many pairs show each input."""
        return np.count_nonzero(self.inputs != self.usual, axis=0)

    @cached_property
    def rarest(self) -> Int[np.ndarray, " pairs"]:
        """How many pairs show the input that a pair shows and fewest others do.

        All, for a pair that shows nothing: it is common.
        """
        times = np.broadcast_to(self.times, self.inputs.shape)
        everywhere = len(self.inputs)
        return np.min(times, axis=1, initial=everywhere, where=self.inputs != self.usual)

    def showing(self, inputs: Bool[np.ndarray, " inputs"]) -> Bool[np.ndarray, " pairs"]:
        """Which pairs show any of these inputs."""
        return np.any(self.inputs[:, inputs] != self.usual[inputs], axis=1)

    def by(self, least: int) -> CommonPairs:
        """Pairs that show only inputs that so many pairs show."""
        shown = (self.times >= least) & (self.times > 0)
        return CommonPairs(shown, self.rarest >= least, self.usual, least)

    def common(self, share: float = COMMON) -> CommonPairs | None:
        """As many inputs are left out, those that are shown least, as leave this share of pairs.

        None where these pairs show nearly all inputs.
        """
        least = int(np.quantile(self.rarest, 1.0 - share, method="lower"))
        found = self.by(least)
        few = found.inputs.sum() <= MOST_INPUTS * np.sum(self.times > 0)
        return found if few else None


def _with_input_weights(network: Network, change: Callable[[np.ndarray], np.ndarray]) -> Network:
    """The network with other weights of its inputs, in neurons and skip alike."""

    def changed(layer: Layer) -> Layer:
        return Layer(change(np.asarray(layer.weight)), layer.bias)

    skip = None if network.skip is None else changed(network.skip)
    return network.replace(layers=(changed(network.layers[0]), *network.layers[1:]), skip=skip)
