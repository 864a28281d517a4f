"""Lose the neurons that the others make up for, one after the other, without a step between.

The others make up for each by what they give (least squares); weights into neurons stay as they
are.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.core.network import Layer
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.ordinary import error_of
from expand_and_cluster.reconstruction.prune import Removal
from expand_and_cluster.reconstruction.workbench import MOST_ROWS, Workbench

# Added to the features' Gram matrix, each of mean square one: neurons that coincide are free.
RIDGE = 1e-10


def thin(
    bench: Workbench, candidate: Candidate, ceiling: float
) -> tuple[Candidate, tuple[Removal, ...]]:
    """The candidate without the neurons that cost least, one after the other.

    The others make up for each by what they give; weights into neurons stay as they are.

    Args:
        bench: Where costs are measured.
        candidate: What to thin out; its output weights are taken as they are.
        ceiling: Mean squared error of ordinary samples up to which neurons are lost; that of all
            may rise as much, or neurons would go that few samples show.
    """
    remains = _Remains.of(bench, candidate)
    most = ceiling * remains.whole / remains.error if remains.error > 0.0 else np.inf
    removals: list[Removal] = []
    while remains.count > 1:
        fewer = remains.without_cheapest()
        if not (fewer.error <= ceiling and fewer.whole <= most):
            break
        remains = fewer
        reason = "the others made up for it within a few steps"
        removals.append(Removal(remains.count, reason, remains.error))
    return (remains.candidate(candidate) if removals else candidate), tuple(removals)


@dataclass(frozen=True)
class _Remains:
    """What the neurons that are left give, and how it is read.

    Attributes:
        features: What they give, and what is fixed, on all samples, each of mean square one.
        inverse: Inverse of the features' Gram matrix, on some samples.
        weights: By which features are read; zero for neurons that were lost.
        scale: What the features were divided by.
        residual: What is left of the targets, with a minus.
        here: Which features are neurons that are left.
    """

    features: Float[np.ndarray, "samples features"]
    inverse: Float[np.ndarray, "features features"]
    weights: Float[np.ndarray, "features outputs"]
    scale: Float[np.ndarray, " features"]
    residual: Float[np.ndarray, "samples outputs"]
    here: Bool[np.ndarray, " features"]

    @classmethod
    def of(cls, bench: Workbench, candidate: Candidate) -> "_Remains":
        """Everything of a candidate."""
        network, present = candidate.network, candidate.present
        features, scale = bench.design(network, present)
        last = network.layers[1]
        skip = np.zeros((len(last.bias), 0)) if network.skip is None else network.skip.weight
        bias = last.bias if network.skip is None else last.bias + network.skip.bias
        weights = np.column_stack([last.weight[:, present], skip, bias]).T * scale[:, None]
        few = features[: max(MOST_ROWS, 8 * features.shape[1])]
        gram = few.T @ few / len(few)
        inverse = np.linalg.inv(gram + RIDGE * np.eye(len(gram)))
        here = np.arange(len(scale)) < present.sum()
        residual = features @ weights - bench.training.targets
        return cls(features, inverse, weights, scale, residual, here)

    @property
    def count(self) -> int:
        """Neurons that are left."""
        return int(self.here.sum())

    @property
    def error(self) -> float:
        """Mean squared error of ordinary samples."""
        return error_of(self.residual)

    @property
    def whole(self) -> float:
        """Mean squared error of all samples."""
        return float(np.mean(self.residual**2))

    def without_cheapest(self) -> "_Remains":
        """The same without the neuron whose loss moves the outputs least."""
        own = np.where(self.here, np.diagonal(self.inverse), 1.0)
        costs = np.where(self.here, np.sum(self.weights**2, axis=1) / own, np.inf)
        neuron = int(np.argmin(costs))
        column = self.inverse[:, neuron] / own[neuron]
        moved = np.outer(column, self.weights[neuron])
        here = self.here.copy()
        here[neuron] = False
        return replace(
            self,
            inverse=self.inverse - np.outer(column, self.inverse[neuron]),
            weights=self.weights - moved,
            residual=self.residual - self.features @ moved,
            here=here,
        )

    def candidate(self, like: Candidate) -> Candidate:
        """These neurons in their places of the candidate that they are of."""
        network, present = like.network, like.present.copy()
        places, count = np.flatnonzero(present), int(present.sum())
        present[places] = self.here[:count]
        weights = (self.weights / self.scale[:, None]).T
        last = np.zeros_like(network.layers[1].weight)
        last[:, places] = weights[:, :count]
        skip = network.skip
        if skip is not None:
            skip = Layer(weights[:, count:-1], np.zeros_like(skip.bias))
        layers = (network.layers[0], Layer(last, weights[:, -1]))
        return Candidate(network.replace(layers=layers, skip=skip), present, self.error)
