"""Whether answers tell which activation each neuron has, where a layer mixes several."""

from collections.abc import Iterator
from dataclasses import replace

from expand_and_cluster.core.activation import Activation, mixture
from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.workbench import AT_FLOOR, Workbench
from expand_and_cluster.verdict.judgement import Finding

# Lengths of the input vector, as shares of the neuron's own, from which the other kind is fitted.
STRETCHES = (0.5, 1.0, 2.0)
STEPS = 60
# Where answers are noisy: how many times likelier the neuron's own activation must be.
ODDS = 1000.0
# Confidence that is left where the activation of a neuron is open.
UNDECIDED = 0.4


def judge_kinds(
    finding: Finding, network: Network, bench: Workbench, *, noisy: float | None
) -> Finding:
    """The finding, once each neuron was tried with every other activation of the mixture.

    Args:
        finding: What was found of a network with one activation for each neuron.
        network: The network, without a skip.
        bench: Pairs that it was fitted to, and the mixture.
        noisy: Mean squared error of the network where it is noise; None where it is rounding.
    """
    if not bench.activation.kinds or not finding.identified:
        return finding
    equations = bench.training.targets.size
    for neuron, kind, loss, floor in _tried(network, bench):
        if loss <= (floor if noisy is None else noisy * ODDS ** (2.0 / equations)):
            own = network.activation.of(neuron).name
            return _open(finding, f"neuron {neuron} may have {kind.name} as well as {own}")
    if is_over(bench.deadline):
        return _open(finding, "no time was left to try each neuron with the other activations")
    names = ", ".join(kind.name for kind in bench.activation.each)
    reason = f"no neuron fits with another activation of {names} than its own"
    return replace(finding, reasons=(*finding.reasons, reason))


def _open(finding: Finding, reason: str) -> Finding:
    reasons = (*finding.reasons, reason)
    confidence = min(finding.confidence, UNDECIDED)
    return replace(finding, identified=False, confidence=confidence, reasons=reasons)


def _tried(network: Network, bench: Workbench) -> Iterator[tuple[int, Activation, float, float]]:
    """Each neuron with each other kind: the error once all weights are polished, and its floor."""
    vectors = network.input_vectors
    own = [network.activation.of(k) for k in range(len(vectors))]
    # Room for one more of every kind, so that one program serves all.
    capacity = len(bench.activation.each) * (max(map(own.count, own)) + 1)
    for neuron, mine in enumerate(own):
        for kind in bench.activation.each:
            if kind == mine:
                continue
            kinds = [*own[:neuron], kind, *own[neuron + 1 :]]
            starts = []
            for stretch in STRETCHES:
                moved = vectors.copy()
                moved[neuron] *= stretch
                starts.append(bench.start(moved, capacity, mixture(kinds)))
            best = min(starts, key=lambda start: start.loss)
            best = bench.polish(best, steps=STEPS, damping=1e-3, patience=20)
            yield neuron, kind, best.loss, AT_FLOOR * bench.floor(best)
