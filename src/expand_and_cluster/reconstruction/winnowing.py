"""Lose most neurons to spare while errors are still large.

Of the neurons of a student that is wider than the teacher, or merged of several, those that the
others can make up for cost little, and those of the teacher much, long before either is in its
place. Steps of fewer neurons are cheaper, and reach further: neurons that do the same work are what
conditions them badly, and once these fit what is left of the error, no single one can be missed any
more. So neurons are lost boldly as soon as steps are good, on trial up to many times the error: it
stands where a few steps bring the error back, and is undone where these come to nothing.

Several neurons that stand in for one of the teacher's are made one: after every step those that are
read alike, and on trial those that hardly bend (see `fusing`).

All errors here are those of ordinary samples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.network import Layer
from expand_and_cluster.fitting.gauss_newton import GaussNewtonSettings
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.fusing import fuse, fuse_straight
from expand_and_cluster.reconstruction.ordinary import error_of, ordinary_error
from expand_and_cluster.reconstruction.prune import Removal
from expand_and_cluster.reconstruction.workbench import MOST_ROWS, Workbench

# Share of the samples by which those far off are told in steps: the fewer, the more of the others
# count less, and the faster the rest falls.
NEAREST = 0.1
# Mean squared error, relative to the outputs' variance, that is the most for losing neurons boldly.
MOST = 1e-4
# One of ordinary samples at which it is time to let in those far off: exact without them,
# directions that only they show are still wrong.
ENOUGH = 1e-10
# Steps that bring the error back at most, the share of the error above which a step is slow, and
# slow steps in a row after which there are no more.
STEPS, SLOW, PATIENCE = 3, 0.8, 4
# Iterations of the first step, and its damping in units of the error.
SETTINGS = GaussNewtonSettings(iterations=300, own=True, robust=NEAREST)
DAMPING = 4.0
# Added to the features' Gram matrix, each of length one: neurons that coincide are free.
RIDGE = 1e-10
# A step is steep that leaves no more than this share of the error.
STEEP = 0.3


@dataclass(frozen=True)
class _Loss:
    """A way of losing neurons on trial.

    Attributes:
        lose: What loses them, given the mean squared error at most.
        rise: That error, in units of the one before.
        later: Fall of the error after which it is tried again where it failed.
    """

    lose: Callable[[Workbench, Candidate, float], tuple[Candidate, tuple[Removal, ...]]]
    rise: float
    later: float


def winnow(bench: Workbench, candidate: Candidate) -> tuple[Candidate, tuple[Removal, ...]]:
    """Descend with samples far off counting less, and lose on the way what costs little.

    Args:
        bench: Where candidates are polished.
        candidate: Neurons among which the teacher's are, and others.

    Returns:
        What is left, with the mean squared error of all samples alike, and what was lost.
    """
    removals: tuple[Removal, ...] = ()
    candidate = replace(candidate, loss=ordinary_error(bench, candidate))
    steps = _steps(bench, candidate)
    # What an affine map makes up for at first are also neurons of the teacher's that are linear on
    # most samples: beside a skip, steps come before anything is lost.
    below = {way: way.later * candidate.loss if bench.skip else np.inf for way in STEEPLY + SLOWLY}
    steep, slow = False, 0
    while slow < PATIENCE and not is_over(bench.deadline):
        before = candidate
        for way in STEEPLY if steep else SLOWLY:
            if before.loss <= below[way]:
                ceiling = min(way.rise * before.loss, max(MOST, CAREFUL * before.loss))
                fewer, lost = way.lose(bench, before, ceiling)
                anew = _steps(bench, fewer)
                left = _regained(anew, fewer.loss, before.loss) if lost else None
                if left is not None:
                    candidate, steps, removals = left, anew, removals + lost
                    break
                below[way] = way.later * before.loss
        else:
            if candidate.loss <= max(ENOUGH, bench.floor(candidate)):
                break
            left = next(steps, before)
            candidate = left if left.loss < before.loss else before
        candidate, fused = fuse(bench, candidate)
        if fused:
            steps, removals = _steps(bench, candidate), removals + fused
        slow = 0 if fused or candidate.loss <= SLOW * before.loss else slow + 1
        steep = candidate.loss <= STEEP * before.loss
    return bench.solve_outputs(candidate.network, candidate.present), removals


def thin(
    bench: Workbench, candidate: Candidate, ceiling: float
) -> tuple[Candidate, tuple[Removal, ...]]:
    """The candidate without the neurons that cost least, one after the other.

    The others make up for each by what they give; weights into neurons stay as they are.

    Args:
        bench: Where costs are measured.
        candidate: What to thin out; its output weights are taken as they are.
        ceiling: Mean squared error of ordinary samples up to which neurons are lost.
    """
    remains = _Remains.of(bench, candidate)
    removals: list[Removal] = []
    while remains.count > 1:
        fewer = remains.without_cheapest()
        if not fewer.error <= ceiling:
            break
        remains = fewer
        reason = "the others made up for it within a few steps"
        removals.append(Removal(remains.count, reason, remains.error))
    return remains.candidate(candidate), tuple(removals)


# Boldly after steep steps, otherwise with care, or some of the teacher's neurons are among them and
# others have to stand in for these. Straight ones stand in for one that no step finds.
CAREFUL = 2.25
WITH_CARE = _Loss(thin, CAREFUL, 0.25)
STEEPLY = (_Loss(thin, 4096.0, 0.01), WITH_CARE)
SLOWLY = (WITH_CARE, _Loss(fuse_straight, 4096.0, 0.25))


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
    descent = bench.descent(candidate, replace(SETTINGS, damping=damping))
    for _ in descent.run():
        bench.tell(descent)
        left = Candidate(descent.network(), candidate.present, descent.loss)
        yield replace(left, loss=ordinary_error(bench, left))


@dataclass(frozen=True)
class _Remains:
    """What the neurons that are left give, and how it is read.

    Attributes:
        features: What they give, and what is fixed, on all samples, each scaled to length one.
        inverse: Inverse of the features' Gram matrix, on some samples.
        weights: By which features are read; zero for neurons that were lost.
        scale: Length of the features.
        residual: What is left of the targets, with a minus.
        here: Which features are neurons that are left.
    """

    features: Float[np.ndarray, "samples features"]
    inverse: Float[np.ndarray, "features features"]
    weights: Float[np.ndarray, "features outputs"]
    scale: Float[np.ndarray, " features"]
    residual: Float[np.ndarray, "samples outputs"]
    here: Bool[np.ndarray, " features"]

    @classmethod
    def of(cls, bench: Workbench, candidate: Candidate) -> "_Remains":
        """Everything of a candidate."""
        network, present = candidate.network, candidate.present
        features = np.concatenate([bench.features(network)[:, present], bench.fixed], axis=1)
        scale = np.linalg.norm(features, axis=0) / np.sqrt(len(features))
        scale[scale == 0.0] = 1.0
        features = features / scale
        last = network.layers[1]
        skip = np.zeros((len(last.bias), 0)) if network.skip is None else network.skip.weight
        bias = last.bias if network.skip is None else last.bias + network.skip.bias
        weights = np.column_stack([last.weight[:, present], skip, bias]).T * scale[:, None]
        few = features[: max(MOST_ROWS, 8 * features.shape[1])]
        gram = few.T @ few / len(few)
        inverse = np.linalg.inv(gram + RIDGE * np.eye(len(gram)))
        here = np.arange(len(scale)) < present.sum()
        residual = features @ weights - bench.training.targets
        return cls(features, inverse, weights, scale, residual, here)

    @property
    def count(self) -> int:
        """Neurons that are left."""
        return int(self.here.sum())

    @property
    def error(self) -> float:
        """Mean squared error of ordinary samples."""
        return error_of(self.residual)

    def without_cheapest(self) -> "_Remains":
        """The same without the neuron whose loss moves the outputs least."""
        own = np.where(self.here, np.diagonal(self.inverse), 1.0)
        costs = np.where(self.here, np.sum(self.weights**2, axis=1) / own, np.inf)
        neuron = int(np.argmin(costs))
        column = self.inverse[:, neuron] / own[neuron]
        moved = np.outer(column, self.weights[neuron])
        here = self.here.copy()
        here[neuron] = False
        return replace(
            self,
            inverse=self.inverse - np.outer(column, self.inverse[neuron]),
            weights=self.weights - moved,
            residual=self.residual - self.features @ moved,
            here=here,
        )

    def candidate(self, like: Candidate) -> Candidate:
        """These neurons in their places of the candidate that they are of."""
        network, present = like.network, like.present.copy()
        places, count = np.flatnonzero(present), int(present.sum())
        present[places] = self.here[:count]
        weights = (self.weights / self.scale[:, None]).T
        last = np.zeros_like(network.layers[1].weight)
        last[:, places] = weights[:, :count]
        skip = network.skip
        if skip is not None:
            skip = Layer(weights[:, count:-1], np.zeros_like(skip.bias))
        layers = (network.layers[0], Layer(last, weights[:, -1]))
        return Candidate(network.replace(layers=layers, skip=skip), present, self.error)
