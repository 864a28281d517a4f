"""From a network that nearly fits many pairs to one with the neurons it needs, and no others.

What is missing hardly moves the outputs. It is told from what the network, polished by Gauss-Newton
on all weights, leaves of the targets; one neuron after the other is found and joins it. Neurons to
spare, of which the error no longer has need, go, and what is left is polished on.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool

from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Progress, Reporter
from expand_and_cluster.fitting.deep_gauss_newton import (
    DeepGaussNewton,
    DeepGaussNewtonSettings,
)
from expand_and_cluster.fitting.deep_pairs import DeepPairs
from expand_and_cluster.reconstruction.deep_bench import DeepBench
from expand_and_cluster.reconstruction.deep_prune import DeepRemoval
from expand_and_cluster.reconstruction.missing_neurons import find_again, find_missing
from expand_and_cluster.reconstruction.one_neuron import with_neuron
from expand_and_cluster.reconstruction.rare_inputs import rare_inputs, with_least_weights
from expand_and_cluster.students.by_muon import kept_or_made
from expand_and_cluster.students.training import TrainingData

# Every descent; 800 iterations of a step on 784-30-30-30-10 take forty seconds.
STEPS = DeepGaussNewtonSettings(steps=20, damping=1e-6, progress=0.2, most_iterations=800)
# Root mean square that is next to nothing: where no more is left, no neuron is missing.
LEAST = 1e-5
# Descents one after the other: the share of the samples that count as ordinary, at last all of them
# alike, and the mean squared error at which to go on. A descent is over, too, where two steps in a
# row gain less than a fifth each.
STAGES = ((0.9, LEAST**2), (0.99, LEAST**2), (None, LEAST**2))
# The same for the last steps, which end at rounding; rare inputs are explained after each.
LAST_STAGES = ((0.9, 1e-15), (0.99, 1e-15), (None, 1e-28))
# Missing neurons that are looked for, the least share of the squared error that one has to
# explain, and what it has to divide the squared error by in the end.
MOST_MISSING, WORTH, FALL = 10, 0.5, 4.0
# Neurons of a layer that may be far out in a tail, and how long the weights are by which these are
# read, in units of the layer's median.
TRIED, LONG = 3, 5.0
# Mean squared error above which nothing is thinned out: too little is in its place.
THINNED = 1e-6
# A neuron is to spare if what it gives, the others of its layer making up for what they can, is
# less than this multiple of what the network leaves; and in the end, on trial, less than that.
FREE, LIGHT = 1.0, 10.0
# Rise of the squared error up to which it has come back.
RISE = 4.0


@dataclass
class Refined:
    """A network on its way.

    Attributes:
        network: The network, in standardised coordinates.
        loss: Its mean squared error on the pairs.
        missing: Layers of the neurons that were told from what was left, in the order of finding.
        removals: Neurons to spare that were removed.
        rare: Inputs that too few pairs show to tell their weights; None before the last steps.
    """

    network: Network
    loss: float
    missing: tuple[int, ...] = ()
    removals: tuple[DeepRemoval, ...] = ()
    rare: Bool[np.ndarray, " inputs"] | None = None


class Refinement:
    """The steps from what students share to the network, on many pairs.

    Args:
        data: Standardised pairs in random order.
        seed: Decides everything random.
        checkpoint: Keeps what every step made.
        report: Receives progress.
        deadline: `time.monotonic()` after which the network is taken as it is.
    """

    def __init__(
        self,
        data: TrainingData,
        *,
        seed: int,
        checkpoint: Checkpoint,
        report: Reporter,
        deadline: float | None = None,
    ) -> None:
        """Lay the pairs out."""
        self._pairs = DeepPairs(data.inputs, data.targets)
        self._bench = DeepBench(data.first(4096))
        self._seed, self._checkpoint = seed, checkpoint
        self._report, self._deadline = report, deadline

    def run(self, found: Refined) -> None:
        """Polish; spare neurons go and missing ones are found until neither gains anything.

        Args:
            found: Where to start, which is changed on the way.
        """
        found.network, found.loss = self._once("polished", found.network, self.polish)
        while True:
            while self._lightened(found, FREE):
                pass
            done = len(found.missing) == MOST_MISSING or found.loss <= LEAST**2
            if done or is_over(self._deadline) or not self._found_one(found):
                break
            while self.straightened(found):
                pass
        while self._lightened(found, LIGHT):
            pass

    def finish(self, found: Refined, everything: TrainingData) -> None:
        """The last steps, on all pairs there are: those held out are needed for nothing else."""
        self._pairs = DeepPairs(everything.inputs, everything.targets)
        neurons, outputs = found.network.hidden_widths[0], found.network.output_size
        rare = found.rare = rare_inputs(everything.shown, neurons, outputs)

        def last_steps(network: Network) -> tuple[Network, float]:
            def explained(network: Network) -> Network:
                return with_least_weights(network, everything, rare, self._report)

            # First so that these pairs hold up no step; then from what all others are explained by.
            network, _ = self.polish(explained(network), LAST_STAGES, explained)
            missed = network(everything.inputs) - everything.targets
            return network, float(np.mean(missed**2))

        found.network, found.loss = self._once("finished", found.network, last_steps)

    def polish(
        self,
        network: Network,
        stages: tuple[tuple[float | None, float], ...] = STAGES,
        after: Callable[[Network], Network] = lambda network: network,
    ) -> tuple[Network, float]:
        """Gauss-Newton on all weights, with samples that are far off counting less at first.

        Args:
            network: Where to start.
            stages: A descent for each: the share of the samples that are ordinary, and the mean
                squared error of these at which it ends.
            after: What becomes of the network after every descent that took a step.

        Returns:
            The network and its mean squared error, before `after`, in the last descent.
        """
        damping, loss = STEPS.damping, np.inf
        for ordinary, target in stages:
            settings = replace(STEPS, damping=damping, robust=ordinary, target=target)
            descent = DeepGaussNewton(network, self._pairs, settings, self._deadline)
            for _ in descent.run():
                error = np.array([np.sqrt(descent.loss)])
                note = "" if ordinary is None else f"{ordinary:.1%} of the pairs are ordinary"
                self._report(
                    Progress("polish all layers", descent.step, settings.steps, error, note=note)
                )
            network, loss, damping = descent.network(), descent.loss, descent.damping
            if descent.step > 0:
                network = after(network)
        return network, loss

    def _found_one(self, found: Refined) -> bool:
        """Look for a missing neuron, and keep it if the error falls with it."""
        number = len(found.missing)
        rng = np.random.default_rng((self._seed, 1, number))
        missing = find_missing(found.network, self._pairs, rng, self._report)
        if missing is None or missing.share < WORTH:
            return False
        more = with_neuron(found.network, missing)
        network, loss = self._once(f"with-missing-{number}", more, self.polish)
        if not loss <= found.loss / FALL:
            return False
        found.network, found.loss = network, loss
        found.missing = (*found.missing, missing.layer)
        return True

    def straightened(self, found: Refined) -> bool:
        """Move a neuron that is read by long weights along its valley; whether the error fell.

        Far out in an exponential tail it gives the same as one nearer by that is read by less.
        """
        for layer in range(len(found.network.hidden_widths) - 1, -1, -1):
            reads = np.linalg.norm(found.network.layers[layer + 1].weight, axis=0)
            for neuron in np.argsort(-reads)[:TRIED]:
                if reads[neuron] < LONG * np.median(reads) or is_over(self._deadline):
                    break
                moved = find_again(found.network, self._pairs, layer, int(neuron))
                if moved is None:
                    continue
                name = f"moved-{len(found.missing)}-{layer}-{neuron}-{reads[neuron]:.3g}"
                network, loss = self._once(name, moved, self.polish)
                if loss <= found.loss / FALL:
                    found.network, found.loss = network, loss
                    return True
        return False

    def _lightened(self, found: Refined, share: float) -> bool:
        """Remove neurons to spare, if the error comes back; whether any went."""
        if not found.loss <= THINNED or is_over(self._deadline):
            return False
        thinned, removals = self.thinned(found.network, found.loss, share)
        if not removals:
            return False
        widths = "-".join(map(str, thinned.hidden_widths))
        name = f"thinned-{len(found.missing)}-{widths}-{share:g}"
        network, loss = self._once(name, thinned, self.polish)
        if not loss <= max(RISE * found.loss, LEAST**2):
            return False
        found.network, found.loss = network, loss
        found.removals += removals
        return True

    def _once(
        self,
        name: str,
        network: Network,
        make: Callable[[Network], tuple[Network, float]],
    ) -> tuple[Network, float]:
        """What is made of a network, unless it was made before and kept under this name."""
        return kept_or_made(self._checkpoint, name, network, make, self._deadline)

    def thinned(
        self, network: Network, loss: float, share: float
    ) -> tuple[Network, tuple[DeepRemoval, ...]]:
        """The network without what it hardly uses, and what that was."""
        least = max(share * float(np.sqrt(loss)), LEAST)
        removals: list[DeepRemoval] = []
        for layer in range(len(network.hidden_widths) - 1, -1, -1):
            while network.hidden_widths[layer] > 1:
                costs = np.sqrt(self._bench.removal_costs(network, layer))
                cheapest = int(np.argmin(costs))
                if costs[cheapest] > least:
                    break
                network = self._bench.without(network, layer, cheapest)
                reason = (
                    f"the outputs change by {costs[cheapest]:.1e} of their spread without it, and "
                    f"the network leaves {np.sqrt(loss):.1e}"
                )
                removals.append(DeepRemoval(layer, network.hidden_widths[layer], reason))
        return network, tuple(removals)
