"""Descend with neurons that have a kink, and find those that bend on few samples on the way.

As long as one of these is missing, linear neurons do its work on all other samples, and they do
more: any sum of terms in all directions of the outputs makes up for what other neurons do on the
side of their kinks that tells least, so that these stay wrong there, on samples that few are like.
So neurons are read (see `rare_kinks`), as many linear ones less and half of the rest are there
afterwards, and steps have to bring the error back. Then others are moved for samples that they
have on the wrong side of their kinks (see `crossing`), and what is left of samples tells of more.
Where nothing more is told, weights that have run away are taken back (see `outlying_weights`).

All this begins with pairs that show nothing unusual (see `queries.common_pairs`): what is wrong on
others then is a matter of few weights. Once these are told, samples far off count as all others do:
what is left there is evidence of what is missing.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.fitting.gauss_newton import GaussNewtonSettings
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.crossing import cross_kinks
from expand_and_cluster.reconstruction.far_samples import FarSamples, far_samples, robust_cost
from expand_and_cluster.reconstruction.fusing import fuse
from expand_and_cluster.reconstruction.ordinary import ORDINARY, ordinary_error, whole_error
from expand_and_cluster.reconstruction.outlying_weights import without_outlying
from expand_and_cluster.reconstruction.prune import Removal
from expand_and_cluster.reconstruction.rare_kinks import read_kinks
from expand_and_cluster.reconstruction.taking_over import taken_over
from expand_and_cluster.reconstruction.thinning import thin
from expand_and_cluster.reconstruction.workbench import Workbench

# Steps of a turn: the damping of the first in units of the error, and the share of the error that
# the last one leaves.
SETTINGS = GaussNewtonSettings(steps=4, iterations=300, own=True)
DAMPING, SLOW = 4.0, 0.5
# Share of all samples whose errors are ordinary when the first of them come that are not common,
# and steps until their weights are told.
KNOWN, FIRST = 0.8, 3
# Iterations of a turn after which neurons are read again before the next step: those that are
# missing, or far off on some samples, are what makes steps long.
ENOUGH = 700
# How often neurons are read and moved at most; the share of what samples far off cost that a turn
# has to gain; and the rise of the ordinary error that it may take: fewer linear neurons hold others
# to more, and what all are off by takes longer to fall.
TURNS, GAIN, RISE = 12, 0.05, 16.0
# Share of the pairs that are common at least, and how often on these: neurons are told by the few
# pairs that are beyond their kinks, and what is left of common ones then takes longer than all.
COMMON, BEGINNING = 0.84, 2
# Rise of the mean squared error of ordinary samples that neurons to spare may cause together.
CAREFUL = 2.25


def descend_with_kinks(
    bench: Workbench, candidate: Candidate
) -> tuple[Candidate, tuple[Removal, ...]]:
    """Take steps, and lose, move and read neurons between them, as long as that gains.

    Args:
        bench: Where candidates are polished, without a skip.
        candidate: Neurons with a kink, most of which are in their places, and linear ones.

    Returns:
        What is left, with the mean squared error of all samples alike, and what was lost, but for
        the linear neurons that others were read in place of.
    """
    common = bench.training.shown.common(COMMON)
    robust = replace(SETTINGS, robust=ORDINARY)
    if common is None:
        return _taking_turns(bench, candidate, robust)
    part = bench.of_common(common)
    solved = part.solve_outputs(common.restrict(candidate.network), candidate.present)
    found, removals = _taking_turns(part, solved, robust, BEGINNING)
    lifted = bench.solve_outputs(common.lift(found.network), found.present)
    if is_over(bench.deadline):
        # Nothing tells the other inputs' weights any more: those that were there may do better.
        errors = [whole_error(bench, one) for one in (candidate, lifted)]
        if errors[0] < errors[1]:
            return replace(candidate, loss=errors[0]), ()
    first = replace(SETTINGS, steps=FIRST, robust=KNOWN)
    candidate, lost = _taking_turns(bench, _descended(bench, lifted, first), SETTINGS)
    return candidate, removals + lost


def _taking_turns(
    bench: Workbench, candidate: Candidate, settings: GaussNewtonSettings, most: int = TURNS
) -> tuple[Candidate, tuple[Removal, ...]]:
    """Lose, move and read neurons, then take steps, as long as that gains.

    Args:
        bench: Where candidates are polished.
        candidate: Neurons with a kink.
        settings: Of the steps of a turn.
        most: Turns.
    """
    removals: tuple[Removal, ...] = ()
    candidate = replace(candidate, loss=ordinary_error(bench, candidate))
    for _ in range(most):
        if is_over(bench.deadline):
            break
        lighter, spare = _lightened(bench, candidate)
        found = _turned(bench, lighter, bool(spare), settings)
        if found is None:
            break
        candidate, lost = found
        removals += spare + lost
    if is_over(bench.deadline):
        # What the last steps left to spare would have gone before the next ones.
        candidate, spare = _lightened(bench, candidate)
        removals += spare
    return replace(candidate, loss=whole_error(bench, candidate)), removals


def _lightened(bench: Workbench, candidate: Candidate) -> tuple[Candidate, tuple[Removal, ...]]:
    """The candidate without what is to spare among neurons that are in their places."""
    fewer, fused = fuse(bench, candidate)
    fewer, lost = thin(bench, fewer, CAREFUL * candidate.loss)
    return replace(fewer, loss=ordinary_error(bench, fewer)), fused + lost


def _turned(
    bench: Workbench, candidate: Candidate, lighter: bool, settings: GaussNewtonSettings
) -> tuple[Candidate, tuple[Removal, ...]] | None:
    """The candidate with neurons moved and read, after steps; None where that gains nothing.

    Args:
        bench: Where candidates are polished.
        candidate: With the error of ordinary samples.
        lighter: Whether it has lost neurons, and is worth steps for that.
        settings: Of the steps.

    Returns:
        What is left, and linear neurons that were lost.
    """
    seen = far_samples(bench, candidate)
    for start, lost in _starts(bench, candidate, seen, lighter):
        left = _descended(bench, start, settings)
        if left.loss <= RISE * candidate.loss and _gains(seen, far_samples(bench, left)):
            reason = "its part of a linear map turned out to be that of others"
            error = whole_error(bench, left)
            widths = reversed(range(left.width, left.width + lost))
            return left, tuple(Removal(width, reason, error) for width in widths)
    return None


def _starts(
    bench: Workbench, candidate: Candidate, seen: FarSamples, lighter: bool
) -> Iterator[tuple[Candidate, int]]:
    """Candidates with neurons moved and read, and how many linear ones each has less for that.

    Beside those that were read instead of one: what is left of the map may be what others lack.
    What others can take over goes first: it is in the way of what tells of more. Where neither
    moving nor reading gains, outlying weights are taken back.

    Args:
        bench: Pairs, without a skip.
        candidate: Where nothing has been moved or read yet.
        seen: Samples that it is far off on.
        lighter: Whether it is a start itself, where there is nothing to move or read.
    """
    fewer = taken_over(bench, candidate)
    if fewer is not None:
        yield fewer, candidate.width - fewer.width
    moved = cross_kinks(bench, seen)
    reading = read_kinks(bench, seen if moved is None else far_samples(bench, moved))
    if reading.read:
        for terms in dict.fromkeys((reading.terms // 2, reading.terms)):
            start = reading.candidate(bench, terms)
            yield start, len(reading.vectors) + reading.terms - start.width
    else:
        start = candidate if moved is None and lighter else moved
        if start is not None:
            yield start, 0
    tamed = without_outlying(bench, candidate)
    if tamed is not None:
        yield tamed, 0


def _gains(before: FarSamples, after: FarSamples) -> bool:
    """Whether fewer samples are off, or by less, by the wider of two measures of what is far."""
    scale = max(before.scale, after.scale)
    return robust_cost(after.left, scale) < (1.0 - GAIN) * robust_cost(before.left, scale)


def _descended(bench: Workbench, candidate: Candidate, settings: GaussNewtonSettings) -> Candidate:
    """The candidate after a few steps, with the error of ordinary samples."""
    candidate = candidate.tightened()
    error = ordinary_error(bench, candidate)
    damping = min(DAMPING * error, settings.damping)
    descent = bench.descent(candidate, replace(settings, damping=damping))
    before = np.inf
    for _ in descent.run():
        bench.tell(descent)
        if descent.loss > SLOW * before or descent.iterations > ENOUGH:
            break
        before = descent.loss
    left = replace(candidate, network=descent.network())
    return replace(left, loss=ordinary_error(bench, left))
