"""Polish a large candidate and drop on the way what the others turn out to do without."""

from dataclasses import replace

import numpy as np

from expand_and_cluster.fitting.gauss_newton import GaussNewtonSettings
from expand_and_cluster.reconstruction.candidate import Candidate, Workbench, improved
from expand_and_cluster.reconstruction.joining import join
from expand_and_cluster.reconstruction.prune import TRIES, Removal, prune, without

# Iterations of conjugate gradients in a step: given inputs are as badly conditioned as they are,
# and a step that is solved to the end is worth several that are cut short.
SETTINGS = GaussNewtonSettings(iterations=400)
# Steps that decide whether the others make up for a neuron whose removal is not free.
ENOUGH = 12


def shed(bench: Workbench, candidate: Candidate) -> tuple[Candidate, tuple[Removal, ...]]:
    """Descend by Gauss-Newton, and prune after every step.

    A neuron to spare makes the problem singular, and steps short. After each one the error is
    smaller, neurons that have come to act as one are joined, and those whose removal costs less
    than a tenth of it are seen to be free; nothing is removed before the first step, when the error
    still hides what small neurons do. Where the
    descent stalls above rounding, the cheapest neurons are removed on trial.

    Args:
        bench: Where candidates are solved and polished.
        candidate: Neurons among which the teacher's are, and others.
    """
    removals: tuple[Removal, ...] = ()
    settings = SETTINGS
    while True:
        descent = bench.descent(candidate, settings)
        dropped: tuple[Removal, ...] = ()
        for _ in descent.run():
            bench.tell(descent)
            reached = improved(candidate, descent.network(), descent.loss)
            candidate, twice = join(bench, reached)
            candidate, free = prune(bench, candidate, sure=True)
            dropped = twice + free
            if dropped:
                break
        settings = replace(settings, damping=descent.damping)
        if not dropped:
            if bench.at_floor(candidate):
                return candidate, removals
            tried = _without_one(bench, candidate)
            if tried is None:
                return candidate, removals
            candidate, removal = tried
            dropped = (removal,)
            settings = replace(settings, damping=SETTINGS.damping)
        removals += dropped
        candidate = candidate.tightened()


def _without_one(bench: Workbench, candidate: Candidate) -> tuple[Candidate, Removal] | None:
    """The candidate without a neuron, if a few steps bring the error back."""
    costs = bench.removal_costs(candidate)
    for neuron in np.argsort(costs)[: min(TRIES, candidate.width - 1)]:
        left = without(bench, candidate, int(neuron))
        descent = bench.descent(left, replace(SETTINGS, steps=ENOUGH))
        for _ in descent.run():
            bench.tell(descent)
            if descent.loss <= candidate.loss:
                left = improved(left, descent.network(), descent.loss)
                reason = "the others make up for it once polished"
                return left, Removal(left.width, reason, left.loss)
    return None
