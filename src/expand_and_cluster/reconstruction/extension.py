"""Tell the weights of inputs that few pairs show, once those of all others are known.

A network that was found on pairs which show common inputs alone has everything but the weights of
the others. These are let in little by little, the more common ones first: at every level pairs that
show one of them differ from what is known by the work of few weights, in their own inputs, and
steps bring all weights to their places. Down to inputs of which small weights explain the pairs
that show them (see `rare_inputs`).
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.fitting.gauss_newton import GaussNewtonSettings
from expand_and_cluster.queries.common_pairs import CommonPairs, Shown
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.ordinary import ordinary_error, whole_error
from expand_and_cluster.reconstruction.prune import Removal
from expand_and_cluster.reconstruction.rare_inputs import least_shown
from expand_and_cluster.reconstruction.shedding import finish_shedding
from expand_and_cluster.reconstruction.signs import flip_neurons, folded, wrong_signs
from expand_and_cluster.reconstruction.workbench import Workbench

# From one level to the next inputs are let in that this share as many pairs show at least: three
# levels on MNIST, each of which lets in 50 to 75 pixels.
FALL = 0.25
# Share of the pairs that show an input which still show it once some are held out.
SLACK = 0.8
# Steps in which pairs that show new inputs count less as long as these are told by nothing: how
# many, and the share of the pairs whose errors are ordinary.
FIRST, KNOWN = 2, 0.9
# Steps with all alike at most, on the way and at the last level: what several do not tell waits for
# pairs that show more.
ON_THE_WAY, LAST = 2, 8
SETTINGS = GaussNewtonSettings(iterations=300, own=True)
# Damping of the first step, in units of the error; the share of it that a step leaves where it is
# the last one; and the mean squared error, in units of the outputs' variance, at which the next
# inputs are let in.
DAMPING, SLOW, ENOUGH = 4.0, 0.5, 1e-14
# Share of an affine map's largest weight that the right signs leave of it at most.
LEFT = 1e-3


def extend(bench: Workbench, network: Network, least: int) -> tuple[Network, tuple[Removal, ...]]:
    """The network with weights of all inputs that enough pairs show.

    Args:
        bench: All pairs.
        network: Over all their inputs, with weights for the most common ones alone.
        least: Pairs that show each of these.

    Returns:
        The network and what it lost on the way. Where time is up, weights stay nothing.
    """
    removals: tuple[Removal, ...] = ()
    shown = bench.training.shown
    levels = list(_levels(shown, least, least_shown(shown, network)))
    common = shown.by(least)
    for level in levels:
        # Signs that common pairs did not tell may be told by more of them.
        network = _without_skip(network, common)
        if is_over(bench.deadline):
            break
        part = bench.of_common(level, skip=network.skip is not None)
        candidate, lost = _explain(part, level.restrict(network), last=level is levels[-1])
        network, removals = level.lift(candidate.compact()), removals + lost
    return network, removals


def _levels(shown: Shown, least: int, rarest: int) -> Iterator[CommonPairs]:
    """Pairs that show ever rarer inputs, each level with new inputs."""
    if least <= rarest:
        # Nothing rarer is told by steps, but what is there comes to rounding on all pairs.
        yield shown.by(int(SLACK * least))
    known = -1
    while least > rarest:
        least = max(rarest, int(FALL * least))
        level = shown.by(least)
        count = int(level.inputs.sum())
        # What the last level has is polished anyway.
        if count > known or least == rarest:
            yield level
        known = count


def _without_skip(network: Network, common: CommonPairs) -> Network:
    """The network with the signs that make its affine map vanish; itself if there are none.

    Told by the weights of common inputs. What the map has of others, which steps leave wrong, rests
    at their usual values, for the next steps to tell.
    """
    if network.skip is None:
        return network
    part = common.restrict(network)
    assert part.skip is not None
    tolerance = LEFT * float(np.abs(part.skip.weight).max())
    chosen = wrong_signs(part, tolerance)
    left, flipped = flip_neurons(part, chosen).skip, flip_neurons(network, chosen)
    assert left is not None
    if np.abs(left.weight).max() > tolerance:
        return network
    assert flipped.skip is not None
    others = ~common.inputs
    rest = flipped.skip.weight[:, others] @ common.usual[others]
    skip = Layer(flipped.skip.weight, flipped.skip.bias + rest)
    return folded(flipped.replace(skip=skip))


def _explain(
    bench: Workbench, network: Network, *, last: bool
) -> tuple[Candidate, tuple[Removal, ...]]:
    """The network as a candidate of these pairs, once it explains them.

    Args:
        bench: Pairs of a level.
        network: On these pairs; some inputs have no weights yet.
        last: Whether there is no other level.
    """
    candidate = Candidate(network, np.ones(network.hidden_widths[0], bool), np.inf)
    candidate = _descended(bench, candidate, LAST if last else ON_THE_WAY)
    if last and not bench.at_floor(candidate):
        return finish_shedding(bench, candidate)
    return candidate, ()


def _descended(bench: Workbench, candidate: Candidate, steps: int) -> Candidate:
    """The candidate after steps with samples far off counting less, then so many with all alike."""
    damping = min(DAMPING * ordinary_error(bench, candidate), SETTINGS.damping)
    first, then = replace(SETTINGS, robust=KNOWN, steps=FIRST), replace(SETTINGS, steps=steps)
    for settings in (first, then):
        descent = bench.descent(candidate, replace(settings, damping=damping))
        before = np.inf
        for _ in descent.run():
            inputs = bench.training.inputs.shape[1]
            bench.tell(descent, f"{inputs} inputs")
            slow = settings.robust is None and descent.loss > SLOW * before
            if slow or descent.loss <= ENOUGH:
                break
            before = descent.loss
        candidate, damping = replace(candidate, network=descent.network()), descent.damping
    return replace(candidate, loss=whole_error(bench, candidate))
