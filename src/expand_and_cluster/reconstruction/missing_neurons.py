"""The neuron that what a network leaves of the targets tells of.

A network that lacks a neuron, and is polished, leaves what none of its weights can make up for. The
share of it that a new neuron explains is a function of its input vector alone (`missing_evidence`),
cheap to evaluate and to differentiate: many random vectors are looked at, the best are followed
uphill.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import placed
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.fitting.deep_pairs import DeepPairs
from expand_and_cluster.reconstruction.missing_evidence import (
    Evidence,
    explained,
    followed,
    gather_evidence,
    screened,
)
from expand_and_cluster.reconstruction.one_neuron import (
    MissingNeuron,
    with_neuron,
    without_neuron,
)
from expand_and_cluster.symmetries.terms import rms_along

# Random input vectors of a layer, and how many of the best are followed.
CANDIDATES, FOLLOWED = 300, 3
# Most iterations of following one.
ITERATIONS = 150
# Where a neuron is saturated, or in an exponential tail, another bias or length with other weights
# above gives nearly the same: what is followed crawls along such a valley, and is moved by so much.
# It has to explain so much more there.
SHIFTS, LENGTHS = np.linspace(-8.0, 8.0, 65), (0.7, 0.9, 1.0, 1.1, 1.4)
MORE = 1e-3
# Share of the squared error from which no other neuron is looked for.
SURE = 0.6


def find_missing(
    network: Network, pairs: DeepPairs, rng: np.random.Generator, report: Reporter = silent
) -> MissingNeuron | None:
    """The neuron, of any hidden layer, that explains most of what a polished network leaves.

    The last hidden layer is looked at first; those below only where nothing explains most of it.

    Args:
        network: The network.
        pairs: All pairs; as many of the first as are needed are looked at.
        rng: Draws input vectors to begin with.
        report: Receives progress.

    Returns:
        None where so many weights move along that their Gram matrix would be too large.
    """
    everything = gather_evidence(network, pairs)
    if everything is None:
        return None
    best: MissingNeuron | None = None
    hidden = len(network.hidden_widths)
    for done, layer in enumerate(range(hidden - 1, -1, -1)):
        report(Progress("look for a missing neuron", done, hidden, note=f"layer {layer + 1}"))
        found = _best(network, everything[layer], layer, rng)
        if best is None or found.share > best.share:
            best = found
        if best.share >= SURE:
            break
    return best


def find_again(network: Network, pairs: DeepPairs, layer: int, neuron: int) -> Network | None:
    """The network with one of its neurons moved along a valley, to where it explains most.

    Once all others are in their places, what is left of such a neuron tells which of those that
    give nearly the same it is.

    Args:
        network: The network.
        pairs: All pairs; as many of the first as are needed are looked at.
        layer: Hidden layer of the neuron.
        neuron: Its place there.

    Returns:
        The neuron last in its layer, all others as they were; None where it is in its place, or the
        network has too many weights.
    """
    own = network.layers[layer]
    lacking = without_neuron(network, layer, neuron)
    everything = gather_evidence(lacking, pairs)
    if everything is None:
        return None
    evidence = everything[layer]
    vector = np.append(own.weight[neuron], own.bias[neuron])
    moved = _along_valley(vector, evidence, network.activation)
    if moved is None:
        return None
    found = _uphill(moved, evidence, network.activation)
    return with_neuron(lacking, _neuron(found, layer, evidence, network.activation))


def _best(
    network: Network, evidence: Evidence, layer: int, rng: np.random.Generator
) -> MissingNeuron:
    own = network.layers[layer]
    # About zero: a layer of one neuron has no spread about its mean.
    spread = rms_along(np.column_stack([own.weight, own.bias]), axis=0)
    candidates = rng.normal(size=(CANDIDATES, len(spread))) * spread
    shares = screened(candidates, evidence, network.activation)
    best = -np.inf, candidates[0]
    for index in np.argsort(-shares)[:FOLLOWED]:
        found = _uphill(candidates[index], evidence, network.activation)
        moved = _along_valley(found[1], evidence, network.activation)
        if moved is not None:
            found = max(found, _uphill(moved, evidence, network.activation), key=lambda one: one[0])
        best = max(best, found, key=lambda one: one[0])
        if best[0] >= SURE:
            break
    return _neuron(best, layer, evidence, network.activation)


def _neuron(
    found: tuple[float, Float[np.ndarray, " inputs_and_one"]],
    layer: int,
    evidence: Evidence,
    activation: Activation,
) -> MissingNeuron:
    """The neuron of a share and a vector, read as the evidence wants it."""
    share, vector = found
    above = explained(placed(vector, jnp.float32), evidence, activation)[1]
    return MissingNeuron(layer, vector, np.asarray(above, np.float64), share)


def _uphill(
    start: Float[np.ndarray, " inputs_and_one"], evidence: Evidence, activation: Activation
) -> tuple[float, Float[np.ndarray, " inputs_and_one"]]:
    """Where a vector comes to that explains more and more, and what it explains there."""

    def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = followed(placed(vector, jnp.float32), evidence, activation)
        return float(value), np.asarray(slope, np.float64)

    end = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS})
    return float(-end.fun), end.x


def _along_valley(
    vector: Float[np.ndarray, " inputs_and_one"], evidence: Evidence, activation: Activation
) -> Float[np.ndarray, " inputs_and_one"] | None:
    """The same vector with the bias and length that explain most; None where it has them."""
    moved = np.repeat(np.outer(LENGTHS, vector), len(SHIFTS), axis=0)
    moved[:, -1] += np.tile(SHIFTS, len(LENGTHS))
    moved = np.concatenate([vector[None], moved])
    shares = screened(moved, evidence, activation)
    best = int(np.argmax(shares))
    return moved[best] if shares[best] > shares[0] + MORE else None
