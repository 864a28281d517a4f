"""Which change of a network's outputs counts as none: found from the network's own error."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.symmetries.terms import Sampled, Terms, rms, rms_along

# A change of the outputs counts as none up to this multiple of the network's own error: weights
# that are off by random amounts make single differences of two to four times their root mean
# square, and several of them add up.
MARGIN = 10.0
# The margin ends at this share of the outputs' spread: more would change the function visibly.
LARGEST_CHANGE = 0.01
# Differences between neurons of this share of their size, or less, may be errors of copies.
LARGEST = 1e-4
# Errors of copies are told from real differences by a gap of this ratio between the two.
GAP = 100.0
# They are believed if, on all weights, they would change the outputs by this share at most.
BELIEVED = 1e-3
# A neuron whose hyperplane lies outside the data may bend by this share of the outputs' spread.
LARGEST_BEND = 1e-6
ROUNDING = 4.0 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Tolerance:
    """What counts as no change.

    Attributes:
        change: Largest root mean squared change of the outputs that counts as none, in their
            units.
        error: The network's own error that it follows from, in the same units.
        source: Where the error comes from: "given", "copies" (how far the network's own copies
            are apart), "bend" (of neurons beyond the data), or "rounding".
        rounding: Error that rounding alone makes.
    """

    change: float
    error: float
    source: str
    rounding: float


def find_tolerance(
    terms: Terms,
    sampled: Sampled,
    pre: Float[np.ndarray, "samples neurons"],
    scale: float,
    error: float | None,
) -> Tolerance:
    """The tolerance that follows from a network's own error.

    Where the error is not known, it is read off the network: an imprecise network holds copies
    that are slightly apart, and nearly vanishing weights. If the smallest of these differences
    stand out, a gap below all others, they are taken as the error of the weights; otherwise
    only rounding is allowed for.

    Args:
        terms: The network.
        sampled: Activation and inputs.
        pre: Pre-activations of its neurons on the inputs.
        scale: Spread of the outputs.
        error: Root mean squared error of the outputs, in their units, if it is known.
    """
    amounts = rms_along(terms.outputs, axis=1)
    values = np.abs(sampled.values(pre))
    reach = both_sides(sampled, pre)
    size = np.abs(sampled.inputs) @ np.abs(terms.vectors.T)
    parts = (values + sampled.steepest * size) @ np.abs(terms.outputs)
    fixed = np.abs(sampled.inputs) @ np.abs(terms.affine.T)
    rounding = ROUNDING * rms(parts + fixed)
    if error is not None:
        level, source = error, "given"
    else:
        copies = _error_of_copies(terms, sampled, pre, amounts, reach, scale)
        bend = _bend(terms, sampled, pre, scale)
        level, source = max((copies, "copies"), (bend, "bend"))
    if level <= rounding:
        level, source = rounding, source if error is not None else "rounding"
    change = min(MARGIN * level, max(level, LARGEST_CHANGE * scale))
    return Tolerance(change, level, source, rounding)


def both_sides(
    sampled: Sampled, pre: Float[np.ndarray, "samples neurons"]
) -> Float[np.ndarray, " neurons"]:
    """Root mean square activation of each neuron or of its opposite, whichever is larger."""
    return np.maximum(
        rms_along(sampled.values(pre), axis=0), rms_along(sampled.values(-pre), axis=0)
    )


def _error_of_copies(
    terms: Terms,
    sampled: Sampled,
    pre: Float[np.ndarray, "samples neurons"],
    amounts: Float[np.ndarray, " neurons"],
    reach: Float[np.ndarray, " neurons"],
    scale: float,
) -> float:
    """Error of the outputs if all weights are off by as much as the nearest copies show."""
    typical = float(np.sqrt(np.sum(np.mean(sampled.inputs**2, axis=0))))
    steep = sampled.steepest * typical * amounts
    response = float(np.sqrt(np.sum(steep**2) + np.sum(reach**2)))
    lengths = np.linalg.norm(sampled.measured(terms.vectors), axis=1)
    usual = float(np.median(lengths))
    weight_errors = (
        _outstanding(nearest_distances(terms.vectors, sampled), LARGEST * usual) / typical,
        _outstanding(pre.std(axis=0), LARGEST * usual) / typical,
        _outstanding(amounts, LARGEST * scale / float(reach.max())) if reach.any() else 0.0,
    )
    # Two neurons with huge opposite output weights may be close without being copies.
    believed = [response * each for each in weight_errors if response * each <= BELIEVED * scale]
    return max(believed, default=0.0)


def nearest_distances(
    vectors: Float[np.ndarray, "neurons inputs_and_bias"], sampled: Sampled
) -> Float[np.ndarray, " neurons"]:
    """Root mean squared difference of each neuron's pre-activation to the nearest other one's.

    Signs and scales that the activation hides are undone. A neuron that has no other to compare
    with is its own length away.
    """
    measured = sampled.measured(vectors)
    lengths = np.linalg.norm(measured, axis=1)
    symmetry = sampled.activation.symmetry
    points = measured
    if symmetry.scale_free:
        points = measured / np.where(lengths > 0.0, lengths, 1.0)[:, None]
    nearest = lengths.copy()
    for i in range(len(points) if len(points) > 1 else 0):
        gaps = np.linalg.norm(points - points[i], axis=1)
        if symmetry.flip is not None:
            gaps = np.minimum(gaps, np.linalg.norm(points + points[i], axis=1))
        gaps[i] = np.inf
        nearest[i] = gaps.min() * (lengths[i] if symmetry.scale_free else 1.0)
    return nearest


def _outstanding(differences: np.ndarray, largest: float) -> float:
    """The largest of the smallest differences that a gap sets apart from all others, else zero."""
    rising = np.sort(differences)
    gaps = np.flatnonzero(rising[1:] > GAP * np.maximum(rising[:-1], ROUNDING * largest))
    top = float(rising[gaps[0]]) if len(gaps) else float(rising[-1]) if len(rising) else 0.0
    return top if top <= largest else 0.0


def _bend(terms: Terms, sampled: Sampled, pre: np.ndarray, scale: float) -> float:
    """What neurons whose hyperplane lies outside the data add beyond an affine map."""
    beyond = (pre.min(axis=0) > 0.0) | (pre.max(axis=0) < 0.0)
    if not beyond.any():
        return 0.0
    bends = affine_part(pre[:, beyond], sampled.values(pre[:, beyond]))[2]
    return _outstanding(bends * rms_along(terms.outputs[beyond], axis=1), LARGEST_BEND * scale)


def affine_part(
    pre: Float[np.ndarray, "samples neurons"], values: Float[np.ndarray, "samples neurons"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope and intercept of activations against pre-activations, and what they leave.

    Returns:
        Slopes, intercepts and root mean squared remainders, one of each for each neuron.
    """
    center, middle = pre.mean(axis=0), values.mean(axis=0)
    moved = pre - center
    power = np.sum(moved**2, axis=0)
    slope = np.sum(moved * (values - middle), axis=0) / np.where(power > 0.0, power, 1.0)
    rest = values - middle - slope * moved
    return slope, middle - slope * center, np.sqrt(np.mean(rest**2, axis=0))
