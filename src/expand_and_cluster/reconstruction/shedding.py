"""Polish a large candidate and drop on the way what the others turn out to do without."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.fitting.gauss_newton import GaussNewtonSettings
from expand_and_cluster.reconstruction.candidate import Candidate, improved
from expand_and_cluster.reconstruction.fusing import FREE, fuse
from expand_and_cluster.reconstruction.joining import join
from expand_and_cluster.reconstruction.ordinary import ordinary_error, whole_error
from expand_and_cluster.reconstruction.prune import TRIES, Removal, prune, without
from expand_and_cluster.reconstruction.renewal import Renew, winnow_with_new
from expand_and_cluster.reconstruction.winnowing import winnow
from expand_and_cluster.reconstruction.workbench import AT_FLOOR, Workbench

# Iterations of conjugate gradients in the first step after a loss; more once a step was cut short.
SETTINGS = GaussNewtonSettings(iterations=150, own=True)
# First damping of a descent, in units of its error relative to the outputs' variance: what a step
# may do grows as its model holds over longer steps.
DAMPING = 4.0
# Steps that decide whether the others make up for what was joined and removed on trial, or for a
# neuron that was removed where nothing else helps.
FEW, ENOUGH = 3, 12
# Rises of the mean squared error that removals on trial may cause together: neurons to spare fit
# what is left of the error, and so are missed at first.
RISES = (100.0, 10.0)
# Share of the mean squared error that a step of a trial leaves where it comes to nothing.
VAIN = 0.5
# Mean squared error, relative to the outputs' variance, above which it hides what small neurons do;
# one that a descent which still falls fast comes to first; and steps that it has for that.
CLEAR, DEEP, PATIENCE = 1e-6, 1e-8, 8
# Fall of the error after which a trial is made again that failed.
LATER = 0.01
# Share of its mean squared error that a step leaves where a descent is slow. Then shares of the
# samples that count as ordinary, a step with each of them: what is fitted without samples that are
# far off gets exact long before directions that only they show begin to move. Then steps with all
# alike at most, and iterations of the first.
SLOW = 0.5
ORDINARY, ROUNDS, LONG = (0.9, 0.99, 0.999), 8, 300


def shed(
    bench: Workbench, candidate: Candidate, renew: Renew | None = None
) -> tuple[Candidate, tuple[Removal, ...]]:
    """Descend by Gauss-Newton, and lose after every step what turns out to be to spare.

    Most are lost while the error is large (see `winnow`; beside a skip, where neurons that others
    make up for were never found, see `winnow_with_new`). Once it no longer falls fast, or is so
    small that it hides nothing, those whose removal costs less than a tenth of it are seen to be
    free. On trial, pairs that have come to act as one are joined and other cheap neurons removed:
    they stay so if a few steps bring the error back; where it hides nothing to begin with, that
    comes first. A descent that has become slow goes on with samples that are far off counting less.
    Where it stalls above rounding, single neurons are tried for longer.

    Args:
        bench: Where candidates are solved and polished.
        candidate: Neurons among which the teacher's are, and others.
        renew: Trains new neurons beside those that are left, where some are missing; None where
            there is no way to.
    """
    if renew is not None and bench.skip:
        candidate, removals = winnow_with_new(bench, candidate, renew)
    else:
        candidate, removals = winnow(bench, candidate)
    candidate, lost = finish_shedding(bench, candidate)
    return candidate, removals + lost


def finish_shedding(
    bench: Workbench, candidate: Candidate
) -> tuple[Candidate, tuple[Removal, ...]]:
    """The second half of `shed`: most neurons are in their places, and few are to spare.

    Args:
        bench: Where candidates are solved and polished.
        candidate: With the mean squared error of all samples alike.
    """
    removals: tuple[Removal, ...] = ()
    if is_over(bench.deadline):
        return candidate, removals
    below = patient = np.inf
    if candidate.loss <= CLEAR:
        # Neurons to spare fit what is left of the error, and hold up every step.
        candidate, removals = _lightened(bench, candidate)
        below = np.inf if removals else LATER * candidate.loss
    candidate, _ = _reweighted(bench, candidate.tightened())
    while True:
        descent = bench.descent(candidate, _settings(candidate.loss))
        dropped: tuple[Removal, ...] = ()
        again = False
        for _ in descent.run():
            bench.tell(descent)
            before = candidate.loss
            candidate = improved(candidate, descent.network(), descent.loss)
            steep = candidate.loss <= SLOW * before
            if candidate.loss > DEEP and steep and descent.step < PATIENCE:
                continue
            candidate, dropped = _pruned(bench, candidate)
            if candidate.loss <= below:
                candidate, more = _lightened(bench, candidate)
                below = np.inf if more else LATER * candidate.loss
                dropped += more
            if not dropped and not steep and candidate.loss <= min(CLEAR, patient):
                candidate, again = _reweighted(bench, candidate)
                patient = np.inf if again else LATER * candidate.loss
            if dropped or again:
                break
        if not dropped and not again:
            if bench.at_floor(candidate):
                # It may have come here exact, without a step after which to ask.
                candidate, dropped = _pruned(bench, candidate)
                return candidate, removals + dropped
            candidate, dropped = _without_one(bench, candidate)
            if not dropped:
                return candidate, removals
        removals += dropped
        candidate = candidate.tightened()


def _pruned(bench: Workbench, candidate: Candidate) -> tuple[Candidate, tuple[Removal, ...]]:
    """The candidate without what is free, as long as all of it together costs little."""
    ceiling = FREE * max(candidate.loss, AT_FLOOR * bench.floor(candidate))
    return prune(bench, candidate, sure=True, ceiling=ceiling)


def _reweighted(bench: Workbench, candidate: Candidate) -> tuple[Candidate, bool]:
    """The candidate after a descent in which samples far off count less, and whether it helped.

    What is left of the error is then mostly that of a few samples, which nothing else in the data
    is like and which hold up all others. Once these are fitted, the few are a matter of few
    weights, and are let in again little by little.
    """
    settings = _settings(ordinary_error(bench, candidate), ROUNDS)
    settings = replace(settings, iterations=LONG)
    left = candidate
    for ordinary in (*ORDINARY, None):
        descent = bench.descent(left, replace(settings, robust=ordinary))
        before = np.inf
        for _ in descent.run():
            bench.tell(descent)
            if ordinary is not None or descent.loss > SLOW * before:
                break
            before = descent.loss
        settings = replace(settings, damping=descent.damping)
        left = bench.solve_outputs(descent.network(), candidate.present)
    return (left, True) if left.loss <= SLOW * candidate.loss else (candidate, False)


def _settings(loss: float, steps: int = SETTINGS.steps) -> GaussNewtonSettings:
    return replace(SETTINGS, damping=min(DAMPING * loss, SETTINGS.damping), steps=steps)


def _lightened(bench: Workbench, candidate: Candidate) -> tuple[Candidate, tuple[Removal, ...]]:
    """The first of several lighter candidates of which steps bring the error back."""
    for left, removals in _trials(bench, candidate):
        regained = _regained(bench, left.tightened(), candidate.loss, FEW, VAIN)
        if regained is not None:
            return regained, removals
    return candidate, ()


def _trials(
    bench: Workbench, candidate: Candidate
) -> Iterator[tuple[Candidate, tuple[Removal, ...]]]:
    """The candidate with pieces of one neuron made one, then with pairs joined and others removed.

    Of either many are tried first, then fewer: one neuron of the teacher among them is too many.
    """
    for lighter in (_fused, _lighter):
        tried = candidate.width
        for rise in RISES:
            left, removals = lighter(bench, candidate, rise)
            if not removals:
                break
            if left.width != tried:
                tried = left.width
                yield left, removals


def _fused(
    bench: Workbench, candidate: Candidate, rise: float
) -> tuple[Candidate, tuple[Removal, ...]]:
    """The candidate with one neuron for all that are read alike, where its error rises no more."""
    ordinary = replace(candidate, loss=ordinary_error(bench, candidate))
    left, removals = fuse(bench, ordinary, rise)
    return replace(left, loss=whole_error(bench, left)), removals


def _lighter(
    bench: Workbench, candidate: Candidate, rise: float
) -> tuple[Candidate, tuple[Removal, ...]]:
    """The candidate with as many neurons less as its error may rise for."""
    left, removals = join(bench, candidate, rise)
    while left.width > 1 and candidate.loss <= CLEAR and not bench.at_floor(left):
        cheapest = int(np.argmin(bench.removal_costs(left)))
        fewer = without(bench, left, cheapest)
        if not fewer.loss <= rise * candidate.loss:
            break
        reason = "the others make up for it within a few steps"
        left, removals = fewer, (*removals, Removal(fewer.width, reason, fewer.loss))
    return left, removals


def _without_one(bench: Workbench, candidate: Candidate) -> tuple[Candidate, tuple[Removal, ...]]:
    """The candidate without a neuron, if some steps bring the error back."""
    if is_over(bench.deadline):
        return candidate, ()
    costs = bench.removal_costs(candidate)
    for neuron in np.argsort(costs)[: min(TRIES, candidate.width - 1)]:
        left = without(bench, candidate, int(neuron))
        left = _regained(bench, left, candidate.loss, ENOUGH)
        if left is not None:
            reason = "the others make up for it once polished"
            return left, (Removal(left.width, reason, left.loss),)
    return candidate, ()


def _regained(
    bench: Workbench, left: Candidate, loss: float, steps: int, vain: float = np.inf
) -> Candidate | None:
    """The candidate once its error is no more than this; None if it does not come to that.

    Args:
        bench: Where it is polished.
        left: What was left of a candidate.
        loss: Mean squared error that it has to come to.
        steps: Steps it has.
        vain: Share of the error that a step may leave for another one to be taken.
    """
    if left.loss <= loss:
        return left
    descent = bench.descent(left, _settings(left.loss, steps))
    before = left.loss
    for _ in descent.run():
        bench.tell(descent)
        if descent.loss <= loss:
            return improved(left, descent.network(), descent.loss)
        if descent.loss > vain * before:
            return None
        before = descent.loss
    return None
