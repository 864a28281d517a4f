"""Find the signs that make the affine left-over vanish (paper, A.2 and Fig. A.6)."""

import itertools

import numpy as np
from jaxtyping import Bool

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.symmetry import Flip

# Enumerated outright where the regression leaves at most this many signs open.
MOST_OPEN = 16


def flip_neurons(network: Network, chosen: Bool[np.ndarray, " neurons"], rule: Flip) -> Network:
    """The same function with some neurons' input vectors negated.

    With z' = -z, `s(z) = s(-z') = sign s(z') + linear z' + constant`: the constant goes into the
    output bias and the linear part, for even + linear activations, into the skip.

    Args:
        network: One hidden layer.
        chosen: Neurons to flip.
        rule: The activation's flip.
    """
    first, last = network.layers
    sign = np.where(chosen, -1.0, 1.0)
    moved = last.weight[:, chosen]
    slope = -rule.linear * moved @ first.weight[chosen]
    shift = -rule.linear * moved @ first.bias[chosen] + rule.constant * moved.sum(axis=1)
    layers = (
        Layer(sign[:, None] * first.weight, sign * first.bias),
        Layer(np.where(chosen, rule.sign, 1) * last.weight, last.bias + shift),
    )
    if rule.linear == 0.0:
        return network.replace(layers=layers)
    old = network.skip
    skip = (
        Layer(slope, np.zeros(len(shift))) if old is None else Layer(old.weight + slope, old.bias)
    )
    return network.replace(layers=layers, skip=skip)


def resolve_signs(network: Network, rule: Flip, *, tolerance: float) -> tuple[Network, float]:
    """Flip neurons so that the skip vanishes; what it takes to drop it is measured.

    The skip is a sum of `a_k w_k` over the neurons whose sign is wrong. Least squares for the
    share of each neuron gives 0 or 1 where the equations determine it; shares that they leave
    open are tried in all combinations.

    Args:
        network: One hidden layer with a skip.
        rule: The activation's flip, with a linear left-over.
        tolerance: Largest absolute weight of a skip that counts as zero.

    Returns:
        The network with the best signs (its skip kept), and its skip's largest weight. Above the
        tolerance no combination was found and the skip has to stay.
    """
    if network.skip is None:
        return network, 0.0
    first, last = network.layers
    width = first.weight.shape[0]
    # Column k: what flipping neuron k adds to the skip.
    columns = np.stack(
        [
            (-rule.linear * np.outer(last.weight[:, k], first.weight[k])).ravel()
            for k in range(width)
        ],
        axis=1,
    )
    wanted = -np.asarray(network.skip.weight).ravel()
    size = np.linalg.norm(columns, axis=0).max()
    share = np.linalg.lstsq(columns / size, wanted / size, rcond=1e-8)[0]
    _, values, right = np.linalg.svd(columns / size, full_matrices=True)
    rank = int(np.sum(values > 1e-8 * values[0]))
    open_share = np.linalg.norm(right[rank:], axis=0) > 1e-6
    best = np.round(np.clip(share, 0, 1)).astype(bool)
    if open_share.any():
        best = _enumerate(columns, wanted, best, open_share, tolerance)
    flipped = flip_neurons(network, best, rule)
    assert flipped.skip is not None
    return flipped, float(np.abs(flipped.skip.weight).max())


def _enumerate(
    columns: np.ndarray,
    wanted: np.ndarray,
    start: np.ndarray,
    open_share: np.ndarray,
    tolerance: float,
) -> np.ndarray:
    places = np.flatnonzero(open_share)
    if len(places) > MOST_OPEN:
        return start
    best, least = start, np.inf
    for choice in itertools.product((False, True), repeat=len(places)):
        signs = start.copy()
        signs[places] = choice
        error = float(np.abs(columns @ signs - wanted).max())
        if error < least:
            best, least = signs, error
        if least <= 1e-3 * tolerance:
            break
    return best
