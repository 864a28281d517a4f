"""Lose most neurons to spare while errors are still large.

Of the neurons of a student that is wider than the teacher, or merged of several, those that the
others can make up for cost little, and those of the teacher much, long before either is in its
place. Steps of fewer neurons are cheaper, and reach further: neurons that do the same work are what
conditions them badly, and once these fit what is left of the error, no single one can be missed any
more. So neurons are lost boldly as soon as steps are good, on trial up to many times the error: it
stands where a few steps bring the error back, and is undone where these come to nothing.

Several neurons that stand in for one of the teacher's are made one: after every step (beside a
skip, after slow ones) those that are read alike and do next to the same, and on trial, where steps
are slow, all that are read alike, and those that hardly bend (see `fusing`). One that bends for two
of the teacher's becomes two, on trial, too (see `splitting`).

All errors here are those of ordinary samples; what only all samples together would miss is not lost
either (see `thinning` and `fusing`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.fitting.gauss_newton import GaussNewtonSettings
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.fusing import fuse, fuse_straight
from expand_and_cluster.reconstruction.ordinary import ordinary_error
from expand_and_cluster.reconstruction.prune import Removal
from expand_and_cluster.reconstruction.splitting import split
from expand_and_cluster.reconstruction.thinning import thin
from expand_and_cluster.reconstruction.workbench import Workbench

# Share of the samples by which those far off are told in steps: the fewer, the more of the others
# count less, and the faster the rest falls.
NEAREST = 0.1
# Mean squared error, relative to the outputs' variance, that is the most for losing neurons boldly:
# with ten times that, three of 64 were lost, and others then stood in for them for good.
MOST = 1e-5
# One of ordinary samples at which it is time to let in those far off: exact without them,
# directions that only they show are still wrong.
ENOUGH = 1e-10
# Steps that bring the error back at most, and the share of the error above which a step is slow.
STEPS, SLOW = 3, 0.8
# Iterations of the first step, and its damping in units of the error.
SETTINGS = GaussNewtonSettings(iterations=300, own=True, robust=NEAREST)
DAMPING = 4.0
# Ridge on output weights beside a skip, in units of the error: neurons drift off there. Not where
# longer input vectors make up for it.
RIDGE = 1e-2
# Share of the error that a step leaves at most where steps are steep.
STEEP = 0.3


@dataclass(frozen=True)
class _Trial:
    """A change of the neurons that is undone where steps do not make up for it.

    Attributes:
        change: What changes them, given the mean squared error at most; the candidate itself
            where there is nothing to change.
        rise: That error, in units of the one before.
        later: Fall of the error after which it is tried again where it failed.
    """

    change: Callable[[Workbench, Candidate, float], tuple[Candidate, tuple[Removal, ...]]]
    rise: float
    later: float


@dataclass(frozen=True)
class Pace:
    """How neurons to spare are lost, and when to stop.

    Attributes:
        careful: Rise of the mean squared error that neurons lost with care may cause, or some of
            the teacher's are among them and others have to stand in for these.
        bold: The same where steps are steep.
        patience: Slow steps in a row after which there are no more.
    """

    careful: float = 2.25
    bold: float = 100.0
    patience: int = 4


def _fuse(
    bench: Workbench, candidate: Candidate, ceiling: float
) -> tuple[Candidate, tuple[Removal, ...]]:
    """One neuron for all that are read alike, wherever that alone would not raise it above this."""
    return fuse(bench, candidate, ceiling / max(candidate.loss, np.finfo(float).tiny))


# Pieces of one neuron hold up all others where steps are slow, however little one does what all do:
# many are made one at first, then fewer.
ALIKE = (_Trial(_fuse, 100.0, 0.25), _Trial(_fuse, 10.0, 0.25))
# Straight neurons stand in for one that no step finds, or help one that stands in for two.
STRAIGHT = (_Trial(split, Pace.careful, 0.25), _Trial(fuse_straight, 4096.0, 0.25))


def winnow(
    bench: Workbench, candidate: Candidate, pace: Pace = Pace()
) -> tuple[Candidate, tuple[Removal, ...]]:
    """Descend with samples far off counting less, and lose on the way what costs little.

    Args:
        bench: Where candidates are polished.
        candidate: Neurons among which the teacher's are, and others.
        pace: How neurons are lost, and when to stop.

    Returns:
        What is left, with the mean squared error of all samples alike, and what was lost.
    """
    removals: tuple[Removal, ...] = ()
    candidate = replace(candidate, loss=ordinary_error(bench, candidate))
    steps = _steps(bench, candidate)
    with_care = _Trial(thin, pace.careful, 0.25)
    steeply, slowly = (_Trial(thin, pace.bold, 0.01), with_care), (with_care, *ALIKE, *STRAIGHT)
    # What an affine map makes up for at first are also neurons of the teacher's that are linear on
    # most samples: beside a skip, little is lost before the first steps.
    below = {
        trial: trial.later * candidate.loss if bench.skip and trial is not with_care else np.inf
        for trial in steeply + slowly
    }
    steep, slow, asked = False, 0, None
    while slow < pace.patience and not is_over(bench.deadline):
        before = candidate
        for trial in steeply if steep else slowly:
            if before.loss <= below[trial]:
                ceiling = min(trial.rise * before.loss, max(MOST, pace.careful * before.loss))
                changed, lost = trial.change(bench, before, ceiling)
                anew = _steps(bench, changed)
                same = changed is before
                left = None if same else _regained(anew, changed.loss, before.loss)
                if left is not None:
                    candidate, steps, removals = left, anew, removals + lost
                    break
                below[trial] = trial.later * before.loss
        else:
            if candidate.loss <= max(ENOUGH, bench.floor(candidate)):
                break
            left = next(steps, before)
            candidate = left if left.loss < before.loss else before
        fused: tuple[Removal, ...] = ()
        # Beside a skip, asking takes as long as a step.
        if candidate is not asked and (not bench.skip or candidate.loss > SLOW * before.loss):
            candidate, fused = fuse(bench, candidate)
            asked = None if fused else candidate
        if fused:
            steps, removals = _steps(bench, candidate), removals + fused
        slow = 0 if fused or candidate.loss <= SLOW * before.loss else slow + 1
        steep = candidate.loss <= STEEP * before.loss
    return bench.solve_outputs(candidate.network, candidate.present), removals


def _regained(steps: Iterator[Candidate], before: float, loss: float) -> Candidate | None:
    """The candidate once its error is no more than this; None if steps do not bring it there.

    They end when those that are left, each as good as the last one, would not be enough.
    """
    for still, left in zip(reversed(range(STEPS)), steps, strict=False):
        if left.loss <= loss:
            return left
        if not left.loss * (left.loss / before) ** still <= loss:
            break
        before = left.loss
    return None


def _steps(bench: Workbench, candidate: Candidate) -> Iterator[Candidate]:
    """The candidate after every step, with its error; tightened, for steps cost less then."""
    candidate = candidate.tightened()
    damping = min(DAMPING * candidate.loss, SETTINGS.damping)
    symmetry = bench.activation.symmetry
    ridge = RIDGE if bench.skip and symmetry.homogeneity is None else 0.0
    descent = bench.descent(candidate, replace(SETTINGS, damping=damping, ridge=ridge))
    for _ in descent.run():
        bench.tell(descent)
        left = Candidate(descent.network(), candidate.present, descent.loss)
        yield replace(left, loss=ordinary_error(bench, left))
