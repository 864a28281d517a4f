"""Remove neurons that the others can do without, until none is left over."""

from dataclasses import dataclass

import numpy as np

from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.workbench import Workbench

# How many neurons are tried, cheapest first, before pruning ends.
TRIES = 3
# Steps of the polish that decides whether the others make up for a neuron.
STEPS = 50


@dataclass(frozen=True)
class Removal:
    """One neuron that was removed.

    Attributes:
        width: Neurons left.
        reason: Why the network does not need it.
        loss: Mean squared error without it.
    """

    width: int
    reason: str
    loss: float


def prune(
    bench: Workbench, candidate: Candidate, *, sure: bool = False, ceiling: float = np.inf
) -> tuple[Candidate, tuple[Removal, ...]]:
    """Remove neurons one at a time for as long as the loss comes back.

    A neuron whose removal costs nothing (a duplicate, a zero type, a constant type: paper, Fig. 2)
    goes at once. Others are tried cheapest first: removed, output weights solved, all weights
    polished; the removal stands if the loss is again what it was. Large networks, where a polish
    takes long, are only pruned of what is free, unless one is known to be to spare.

    Args:
        bench: Where candidates are solved and polished.
        candidate: What to prune.
        sure: Stop when nothing is free any more and the loss is at rounding: a network whose
            weights are all pinned down by the data has no neuron to spare.
        ceiling: Mean squared error beyond which nothing counts as free any more: many removals that
            cost little each may cost much together.
    """
    removals: list[Removal] = []
    while candidate.width > 1:
        free = _remove_free(bench, candidate, ceiling)
        if free is not None:
            candidate, removal = free
        elif sure and (bench.at_floor(candidate) or not bench.cheap(candidate)):
            break
        else:
            tried = _remove_costly(bench, candidate)
            if tried is None:
                break
            candidate, removal = tried
        removals.append(removal)
        candidate = candidate.halved()
    return candidate, tuple(removals)


def _remove_free(
    bench: Workbench, candidate: Candidate, ceiling: float
) -> tuple[Candidate, Removal] | None:
    costs = bench.removal_costs(candidate)
    cheapest = int(np.argmin(costs))
    allowed = max(0.1 * candidate.loss, 10.0 * bench.floor(candidate))
    if costs[cheapest] > allowed:
        return None
    left = without(bench, candidate, cheapest)
    if left.loss > min(candidate.loss + 10.0 * allowed, ceiling):
        return None
    return left, Removal(left.width, "the others give the same outputs without it", left.loss)


def _remove_costly(bench: Workbench, candidate: Candidate) -> tuple[Candidate, Removal] | None:
    costs = bench.removal_costs(candidate)
    for neuron in np.argsort(costs)[: min(TRIES, candidate.width)]:
        left = bench.polish(
            without(bench, candidate, int(neuron)), steps=STEPS, damping=1e-3, patience=20
        )
        if bench.at_floor(left) or left.loss <= 1.5 * candidate.loss:
            reason = "the others make up for it once polished"
            return left, Removal(left.width, reason, left.loss)
    return None


def without(bench: Workbench, candidate: Candidate, neuron: int) -> Candidate:
    """The candidate with one neuron absent and the output weights solved again."""
    present = candidate.present.copy()
    present[neuron] = False
    return bench.solve_outputs(candidate.network, present)
