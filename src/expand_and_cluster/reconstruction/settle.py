"""Where answers are noisy: the least-squares network, with as many neurons as noise justifies."""

import numpy as np

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.prune import Removal
from expand_and_cluster.reconstruction.signs import resolve_signs
from expand_and_cluster.reconstruction.workbench import Workbench

# Neurons tried for removal, cheapest first.
TRIES = 3
# Steps of one polish; at a minimum it ends by itself.
STEPS = 300


def plain(network: Network) -> Network:
    """The network without its skip, signs chosen so that little of it is lost."""
    if network.skip is None:
        return network
    largest = max(1.0, float(np.abs(network.layers[1].weight).max()))
    network, _ = resolve_signs(network, tolerance=1e-6 * largest)
    skip = network.skip
    assert skip is not None
    last = network.layers[1]
    layers = (network.layers[0], Layer(last.weight, last.bias + skip.bias))
    return network.replace(layers=layers, skip=None)


def settle(bench: Workbench, network: Network) -> tuple[Candidate, tuple[Removal, ...]]:
    """Descend to the least-squares solution and remove the neurons that noise alone would keep.

    A neuron stays if, once the others are polished without it, the squared error rises by more
    than Schwarz's criterion asks for its weights: their number times the logarithm of the number
    of equations, in units of the noise.

    Args:
        bench: Pairs, without rounding: descents end at minima, not at a floor.
        network: Where to start.
    """
    everyone = np.ones(network.hidden_widths[0], bool)
    candidate = bench.polish(bench.solve_outputs(network, everyone), steps=STEPS)
    removals: list[Removal] = []
    while candidate.width > 1:
        found = _remove(bench, candidate)
        if found is None:
            break
        candidate = found
        reason = "the others fit as well without it, but for noise"
        removals.append(Removal(candidate.width, reason, candidate.loss))
    return candidate, tuple(removals)


def _remove(bench: Workbench, candidate: Candidate) -> Candidate | None:
    inputs, outputs = candidate.network.input_size, candidate.network.output_size
    weights = inputs + 1 + outputs
    equations = bench.training.targets.size
    unknowns = candidate.width * weights + outputs
    allowed = weights * np.log(equations) * candidate.loss / max(equations - unknowns, 1)
    costs = bench.removal_costs(candidate)
    for neuron in np.argsort(costs)[: min(TRIES, candidate.width)]:
        # Polishing wins back a part of the cost; of a hundredfold one not enough.
        if costs[neuron] > max(1e3 * allowed, candidate.loss):
            break
        present = candidate.present.copy()
        present[neuron] = False
        left = bench.polish(bench.solve_outputs(candidate.network, present), steps=STEPS)
        if left.loss <= candidate.loss + allowed:
            return left
    return None
