"""Remove what a network of several hidden layers can do without, layer after layer."""

from dataclasses import dataclass

import numpy as np

from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.reconstruction.deep_bench import DeepBench, Scored

# Neurons of a layer that are tried, cheapest first, where none is free.
TRIES = 3
STEPS = 60


@dataclass(frozen=True)
class DeepRemoval:
    """One neuron that was removed.

    Attributes:
        layer: Hidden layer, 0 for the first.
        width: Neurons left in it.
        reason: Why the network does not need it.
    """

    layer: int
    width: int
    reason: str


def prune_layers(
    bench: DeepBench, start: Scored, *, thorough: bool
) -> tuple[Scored, tuple[DeepRemoval, ...]]:
    """Remove neurons for as long as the error comes back to where it was.

    The last hidden layer goes first: what its spare neurons read from the layers below is then no
    longer needed. Passes are repeated until one removes nothing.

    Args:
        bench: Where networks are scored and polished.
        start: What to prune.
        thorough: Whether neurons that cost something at first are tried too.
    """
    removals: list[DeepRemoval] = []
    now, before = start, -1
    while len(removals) > before:
        before = len(removals)
        for layer in range(len(now.network.layers) - 2, -1, -1):
            while True:
                left = _remove_one(bench, now, layer, thorough=thorough)
                if left is None:
                    break
                now, reason = left
                removals.append(DeepRemoval(layer, now.network.hidden_widths[layer], reason))
    return now, tuple(removals)


def _remove_one(
    bench: DeepBench, now: Scored, layer: int, *, thorough: bool
) -> tuple[Scored, str] | None:
    if now.network.hidden_widths[layer] < 2 or is_over(bench.deadline):
        return None
    costs = bench.removal_costs(now.network, layer)
    order = np.argsort(costs)
    floor = bench.floor(now.network)
    allowed = max(now.loss, floor)
    if costs[order[0]] <= 1e4 * allowed:
        left = bench.score(bench.without(now.network, layer, int(order[0])))
        if left.loss <= 10.0 * allowed:
            return left, "the others of its layer give the same without it"
        polished = bench.polish(left, steps=20, damping=1e-6, patience=10)
        if _as_good(bench, polished, now):
            return polished, "the others of its layer make up for it once polished"
    if not thorough:
        return None
    for neuron in order[: min(TRIES, len(order))]:
        left = bench.score(bench.without(now.network, layer, int(neuron)))
        polished = bench.polish(left, steps=STEPS, damping=1e-3, patience=15)
        if _as_good(bench, polished, now):
            return polished, "the network makes up for it once polished"
    return None


def _as_good(bench: DeepBench, new: Scored, old: Scored) -> bool:
    return bench.at_floor(new) or new.loss <= 1.5 * old.loss
