"""Whether the convolutional layers that were found are all there is."""

import numpy as np

from expand_and_cluster.core.errors import QueryBudgetError
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.reconstruction.below import Below
from expand_and_cluster.reconstruction.channels import FoundLayer
from expand_and_cluster.reconstruction.kinks_above import AboveTest, judge_above
from expand_and_cluster.reconstruction.known_kinks import of_no_layer
from expand_and_cluster.recovery import Verdict

# Kinks that a channel must explain, besides those it was read off, to count as certain.
LEAST_VOTES = 5


def judge_channels(below: Below, found: list[FoundLayer]) -> Verdict:
    """Identified if no question showed a kink of these layers that their channels do not explain.

    Equations of a kink outnumber the unknowns, so that a kernel which solves them is right; what
    can be missing is a channel that no question turned on. Confidence is how surely the next kink
    is explained, after so many that were (Laplace's rule of succession).

    Args:
        below: All convolutional layers that were found.
        found: The same layers, with what was seen of each.
    """
    reasons: list[str] = []
    identified = len(found) == len(below.architecture.layers)
    confidence = 1.0
    for depth, layer in enumerate(found, start=1):
        doubts, unexplained = _doubts(layer), len(of_no_layer(below, layer.open))
        reasons.append(
            f"layer {depth}: {len(layer.votes)} channels explain {sum(layer.votes)} kinks, "
            f"{unexplained} are not explained"
        )
        reasons += [f"layer {depth}: {doubt}" for doubt in doubts]
        identified = identified and not (doubts or unexplained) and bool(layer.votes)
        confidence *= (layer.explained + 1) / (layer.explained + 2)
    return Verdict(identified, confidence if identified else 0.0, tuple(reasons))


def judge_the_rest(
    verdict: Verdict,
    below: Below,
    found: list[FoundLayer],
    oracle: Oracle,
    rng: np.random.Generator,
) -> Verdict:
    """Identified still, if kinks that were put down to dense layers are of dense layers.

    Args:
        verdict: On the channels, identified.
        below: All convolutional layers.
        found: The same layers, with the kinks that were put down to layers above.
        oracle: Answers, as long as the budget lasts.
        rng: Source of randomness.
    """
    try:
        above = judge_above(below, [one for layer in found for one in layer.above], oracle.ask, rng)
    except QueryBudgetError:
        reason = "no questions are left to test the kinks of layers above"
        return Verdict(False, 0.0, (*verdict.reasons, reason))
    reason = (
        f"layers above: {above.seen} kinks, of {above.tested} that were tested {above.strange} "
        "are not of dense layers"
    )
    if above.untestable:
        reason += f", and {above.untestable} cannot be tested"
    certain = not above.strange and not _blind(above)
    return Verdict(certain, verdict.confidence if certain else 0.0, (*verdict.reasons, reason))


def _doubts(layer: FoundLayer) -> list[str]:
    found = []
    if layer.unresolved:
        found.append(
            f"{layer.unresolved} times several kinks were too near to each other to be told apart"
        )
    weak = sum(votes < LEAST_VOTES for votes in layer.votes)
    if weak:
        found.append(f"{weak} channels explain fewer than {LEAST_VOTES} kinks")
    if not layer.done:
        found.append("the questions did not come to an end")
    return found


def _blind(above: AboveTest) -> bool:
    """Whether most kinks could not be tested: the features show every move of the image."""
    return above.untestable > above.tested
