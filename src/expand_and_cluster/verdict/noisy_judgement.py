"""Identify or abstain where the answers are noisy."""

import numpy as np

from expand_and_cluster.verdict.judgement import Finding, Support, confidence_of, say_support
from expand_and_cluster.verdict.noise import Explained

# Largest standard error of a neuron's input or output vector, relative to its length, that still
# counts as held: it is turned by less than three degrees.
HELD = 0.05
# Smallest contribution to the outputs' spread that a missing neuron must show from.
VISIBLE = 0.05
# Standard deviations by which the error on held-out pairs may differ from what is expected.
DEVIATIONS = 5.0
# Share by which the estimated noise may exceed the known one, besides chance.
ABOVE_KNOWN = 0.05


def judge_noisy(explained: Explained, support: Support) -> Finding:
    """Weigh the evidence for a network whose error is noise.

    It is identified if noise is all that is left, on the fitted pairs and on others, if a missing
    neuron of any weight would have shown, and if noise cannot have moved any neuron far. A neuron
    to spare has large standard errors, for the others could take its place.

    Args:
        explained: The network, what it leaves, and the covariance of its weights.
        support: Students that hold each neuron.
    """
    left, noise = explained.left, explained.left.noise
    equations = explained.bench.training.targets.size
    weights = len(explained.errors.matrix)
    expected = noise**2 * (1.0 + weights / equations)
    slack = DEVIATIONS * np.sqrt(2.0 / explained.held_out_size + 2.0 / equations)
    predicts = bool(explained.held_out <= expected * (1.0 + slack))
    reasons = [
        f"error on held-out pairs is {np.sqrt(explained.held_out):.1e} of the outputs' spread, "
        + ("as noise of this size leaves it" if predicts else f"above the noise ({noise:.1e})")
    ]
    level = True
    if explained.known is not None:
        most = explained.known * (1.0 + ABOVE_KNOWN + DEVIATIONS / np.sqrt(2.0 * equations))
        level = bool(noise <= most)
        reasons.append(
            f"the noise is {noise / explained.known:.3g} times what was known of it"
            + ("" if level else ", too much")
        )
    visible = left.visible <= VISIBLE
    reasons.append(
        f"no further neuron predicts what is left (chance {left.chance:.2g}); one that "
        f"contributes {left.visible:.1e} of the outputs' spread would show"
        + ("" if visible else ", a smaller one may be missing")
    )
    turned = float(explained.errors.shares().max())
    held = turned <= HELD
    reasons.append(
        f"noise may have moved a neuron's input or output vector by {turned:.1e} of its length "
        "(standard error)" + ("" if held else ": too far to tell where it is")
    )
    reasons.append(say_support(support))
    identified = predicts and level and visible and held
    shared = float(np.mean([len(s) >= 2 for s in support.students]))
    confidence = confidence_of(0.0, turned / HELD, shared) if identified else 0.3
    never = np.ptp(explained.bench.training.inputs, axis=0) == 0.0
    return Finding(identified, confidence, tuple(reasons), never)
