"""Errors of ordinary samples: all but the few that are off by most.

Nothing else in the data is like those few, which are wrong by far more and would decide alike
which steps and which removals are good.
"""

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.workbench import Workbench

# Share of the samples whose errors are ordinary.
ORDINARY = 0.9
# Error, in units of the most that one of them has, of a sample that counts half.
FAR = 2.0
# Share of their squared error that output weights leave where these are settled.
SETTLED = 0.9


def ordinary_error(bench: Workbench, candidate: Candidate) -> float:
    """Mean squared error of ordinary samples."""
    return error_of(_residual(bench, candidate))


def whole_error(bench: Workbench, candidate: Candidate) -> float:
    """Mean squared error of all samples."""
    return float(np.mean(_residual(bench, candidate) ** 2))


def without_far(bench: Workbench, candidate: Candidate) -> Candidate:
    """The candidate with output weights in which samples that are far off count less.

    By Cauchy's weights, chosen anew as long as ordinary samples gain by that (iteratively
    reweighted least squares; Holland & Welsch 1977). A sample that alone tells a weight still does.
    """
    residual = _residual(bench, candidate)
    error = error_of(residual)
    while error > 0.0:
        squares = np.sum(residual**2, axis=1)
        weights = 1.0 / (1.0 + squares / (FAR**2 * np.quantile(squares, ORDINARY)))
        left = bench.solve_outputs(candidate.network, candidate.present, weights)
        residual = _residual(bench, left)
        before, error = error, error_of(residual)
        if not error < before:
            break
        candidate = left
        if error > SETTLED * before:
            break
    return candidate


def _residual(bench: Workbench, candidate: Candidate) -> Float[np.ndarray, "samples outputs"]:
    return candidate.network(bench.training.inputs) - bench.training.targets


def error_of(residual: Float[np.ndarray, "samples outputs"]) -> float:
    """Mean square of ordinary samples."""
    return float(np.mean(residual[ordinary(residual)] ** 2))


def ordinary(residual: Float[np.ndarray, "samples outputs"]) -> Bool[np.ndarray, " samples"]:
    """Which samples are ordinary, by what is left of them."""
    squares = np.sum(residual**2, axis=1)
    count = max(1, round(ORDINARY * len(squares)))
    return squares <= np.partition(squares, count - 1)[count - 1]
