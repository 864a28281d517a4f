"""Find the signs that make the affine left-over vanish (paper, A.2 and Fig. A.6)."""

import numpy as np
from jaxtyping import Bool

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.symmetries.sign_choice import choose_signs


def flip_neurons(network: Network, chosen: Bool[np.ndarray, " neurons"]) -> Network:
    """The same function with some neurons' input vectors negated.

    With z' = -z, `s(z) = s(-z') = sign s(z') + linear z' + constant`: the constant goes into the
    output bias and the linear part, for even + linear activations, into the skip.

    Args:
        network: One hidden layer.
        chosen: Neurons to flip, each with a sign symmetry.
    """
    first, last = network.layers
    rules = network.activation.flips(len(chosen))
    sign = np.where(chosen, -1.0, 1.0)
    moved = last.weight[:, chosen]
    bent = -rules.linear[chosen] * moved
    slope = bent @ first.weight[chosen]
    shift = bent @ first.bias[chosen] + moved @ rules.constant[chosen]
    layers = (
        Layer(sign[:, None] * first.weight, sign * first.bias),
        Layer(np.where(chosen, rules.sign, 1) * last.weight, last.bias + shift),
    )
    if not network.activation.leaves_line:
        return network.replace(layers=layers)
    old = network.skip
    skip = (
        Layer(slope, np.zeros(len(shift))) if old is None else Layer(old.weight + slope, old.bias)
    )
    return network.replace(layers=layers, skip=skip)


def resolve_signs(network: Network, *, tolerance: float) -> tuple[Network, float]:
    """Flip neurons so that the skip vanishes; what it takes to drop it is measured.

    The skip is a sum of `a_k w_k` over the neurons whose sign is wrong: see `choose_signs`.

    Args:
        network: One hidden layer with a skip.
        tolerance: Largest absolute weight of a skip that counts as zero.

    Returns:
        The network with the best signs (its skip kept), and its skip's largest weight. Above the
        tolerance no combination was found and the skip has to stay.
    """
    if network.skip is None:
        return network, 0.0
    flipped = flip_neurons(network, wrong_signs(network, tolerance))
    assert flipped.skip is not None
    return flipped, float(np.abs(flipped.skip.weight).max())


def wrong_signs(network: Network, tolerance: float) -> Bool[np.ndarray, " neurons"]:
    """The neurons to flip of a network with a skip, so that as little as can be is left of it."""
    assert network.skip is not None
    first, last = network.layers
    width = first.weight.shape[0]
    rules = network.activation.flips(width)
    able = np.flatnonzero(rules.linear)
    chosen = np.zeros(width, dtype=bool)
    # A column for each neuron whose flip leaves a linear map: what it adds to the skip.
    columns = [
        (-rules.linear[k] * np.outer(last.weight[:, k], first.weight[k])).ravel() for k in able
    ]
    wanted = -np.asarray(network.skip.weight).ravel()
    # Each of the weights within the tolerance: their length within the root of their number.
    if len(able):
        within = tolerance * np.sqrt(len(wanted))
        chosen[able] = choose_signs(np.stack(columns, axis=1), wanted, within).chosen
    return chosen


def folded(network: Network) -> Network:
    """The network without its skip, whose bias becomes the output's; its weights have vanished."""
    if network.skip is None:
        return network
    first, last = network.layers
    return network.replace(
        layers=(first, Layer(last.weight, last.bias + network.skip.bias)), skip=None
    )
