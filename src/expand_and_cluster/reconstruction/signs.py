"""Find the signs that make the affine left-over vanish (paper, A.2 and Fig. A.6)."""

import numpy as np
from jaxtyping import Bool

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.symmetry import Flip
from expand_and_cluster.symmetries.sign_choice import choose_signs


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

    The skip is a sum of `a_k w_k` over the neurons whose sign is wrong: see `choose_signs`.

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
    # Each of the weights within the tolerance: their length within the root of their number.
    choice = choose_signs(columns, wanted, tolerance * np.sqrt(len(wanted)))
    flipped = flip_neurons(network, choice.chosen, rule)
    assert flipped.skip is not None
    return flipped, float(np.abs(flipped.skip.weight).max())
