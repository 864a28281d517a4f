"""Samples that a candidate is far off on: what is left of them tells of single neurons."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.ordinary import ORDINARY, without_far
from expand_and_cluster.reconstruction.workbench import AT_FLOOR, Workbench

# Error, in units of the most that an ordinary sample has, from which on a sample is far off.
FAR = 5.0


@dataclass(frozen=True)
class FarSamples:
    """A network, and the samples that it is far off on.

    Attributes:
        network: Its output weights are those of ordinary samples.
        left: Targets less what it gives.
        far: Samples that are far off.
        scale: Length of what is left from which on one is.
    """

    network: Network
    left: Float[np.ndarray, "samples outputs"]
    far: Int[np.ndarray, " far"]
    scale: float


def far_samples(bench: Workbench, candidate: Candidate) -> FarSamples:
    """Solve for output weights without samples that are far off, and say which these are.

    None is whose error rounding explains.
    """
    candidate = without_far(bench, candidate)
    network = candidate.compact()
    left = bench.training.targets - network(bench.training.inputs)
    length = np.linalg.norm(left, axis=1)
    rounding = np.sqrt(AT_FLOOR * bench.floor(candidate) * left.shape[1])
    scale = max(FAR * float(np.quantile(length, ORDINARY)), float(rounding))
    return FarSamples(network, left, np.flatnonzero(length > scale), scale)


def robust_cost(left: Float[np.ndarray, "samples outputs"], scale: float) -> float:
    """Cauchy's cost of what is left: it grows with how many samples are off more than how far.

    Args:
        left: Targets less what a network gives.
        scale: Length beyond which it grows with the logarithm alone.
    """
    return float(np.mean(np.log1p(np.sum(left**2, axis=1) / scale**2)))
