"""Several hidden layers of a large network from given pairs.

Students share most of the teacher's neurons after one round. What is missing then are neurons that
hardly move the outputs. They are told from what the network of the shared ones, polished by
Gauss-Newton on all weights, leaves of the targets; one after the other they are found and join it.
Neurons to spare, of which the error no longer has need, go, and what is left is polished on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Progress, Reporter
from expand_and_cluster.fitting.deep_gauss_newton import (
    DeepGaussNewton,
    DeepGaussNewtonSettings,
)
from expand_and_cluster.fitting.deep_pairs import DeepPairs
from expand_and_cluster.fitting.muon import MuonSettings
from expand_and_cluster.reconstruction.deep_bench import DeepBench
from expand_and_cluster.reconstruction.deep_prune import DeepRemoval
from expand_and_cluster.reconstruction.missing_neurons import (
    find_again,
    find_missing,
    with_neuron,
)
from expand_and_cluster.reconstruction.shared_search import (
    SharedOutcome,
    SharedSearch,
    SharedSettings,
)
from expand_and_cluster.students.by_muon import kept_or_made
from expand_and_cluster.students.grown import blank_network, random_student
from expand_and_cluster.students.training import TrainingData

# How students are trained; measured on 784-30-30-30-10 (benchmarks/given_layers.py).
BATCH = 160
FIRST = MuonSettings(learning_rate=5e-3, batch_size=BATCH, steps=100_000)
MERGED = MuonSettings(learning_rate=1e-3, batch_size=BATCH, steps=80_000)
# Shares of the samples that count as ordinary, one descent after the other; at last all count
# alike. A descent ends after two steps that each lower the error by less than a fifth.
ORDINARY = (0.9, 0.99, None)
STEPS = DeepGaussNewtonSettings(steps=20, damping=1e-6, progress=0.2, most_iterations=400)
# The same shares for the last steps.
LAST_ORDINARY = (0.9, 0.99, 0.999, None)
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
# Rise of the squared error up to which it has come back, and the root mean square that is next to
# nothing.
RISE, LEAST = 4.0, 1e-5


@dataclass
class GivenOutcome:
    """What was found.

    Attributes:
        network: The network, in standardised coordinates.
        loss: Its mean squared error on the pairs.
        shared: Students and what they shared, round by round.
        missing: Layers of the neurons that were told from what was left, in the order of finding.
        removals: Neurons to spare that were removed.
    """

    network: Network | None = None
    loss: float = float("inf")
    shared: SharedOutcome[Network] = field(default_factory=SharedOutcome[Network])
    missing: tuple[int, ...] = ()
    removals: tuple[DeepRemoval, ...] = ()


class GivenLayers:
    """One recovery of a large network of several hidden layers from pairs.

    Args:
        data: Standardised pairs in random order.
        activation: Of all hidden layers.
        widths: Neurons of every hidden layer of a student.
        students: Students of a round.
        seed: Decides everything random.
        max_angle: Largest median angle within a group of neurons, in radians.
        checkpoint: Keeps every trained student.
        report: Receives progress.
        deadline: `time.monotonic()` after which the best network so far is taken.
    """

    def __init__(
        self,
        data: TrainingData,
        activation: Activation,
        widths: tuple[int, ...],
        *,
        students: int,
        seed: int,
        max_angle: float,
        checkpoint: Checkpoint,
        report: Reporter,
        deadline: float | None = None,
    ) -> None:
        """Lay the pairs out; nothing is trained yet."""
        self.outcome = GivenOutcome()
        self._seed, self._checkpoint = seed, checkpoint
        self._report, self._deadline = report, deadline
        self._pairs = DeepPairs(data.inputs, data.targets)
        self._bench = DeepBench(data.first(4096))
        sizes = (data.inputs.shape[1], *widths, data.targets.shape[1])
        like = blank_network(sizes, activation)
        self._search = SharedSearch(
            data,
            lambda rng: random_student(like, widths, rng),
            SharedSettings(students, seed, max_angle, FIRST, MERGED, MERGED, rounds=1),
            checkpoint=checkpoint,
            report=report,
            deadline=deadline,
            polish=self.polish,
        )

    def run(self) -> GivenOutcome:
        """Students, what they share, what is missing, what is to spare; `outcome` grows."""
        found = self.outcome
        found.shared = self._search.outcome
        self._search.run()
        found.network, found.loss = found.shared.network, found.shared.loss
        if found.network is None:
            return found
        while True:
            while self._lightened(FREE):
                pass
            done = len(found.missing) == MOST_MISSING or found.loss <= LEAST**2
            if done or is_over(self._deadline) or not self._found_one():
                break
            while self.straightened():
                pass
        while self._lightened(LIGHT):
            pass
        return found

    def finish(self, everything: TrainingData) -> None:
        """The last steps, on all pairs there are: those held out are needed for nothing else."""
        assert self.outcome.network is not None
        self._pairs = DeepPairs(everything.inputs, everything.targets)
        self.outcome.network, self.outcome.loss = self._once(
            "finished",
            self.outcome.network,
            lambda network: self.polish(network, LAST_ORDINARY),
        )

    def polish(
        self, network: Network, shares: tuple[float | None, ...] = ORDINARY
    ) -> tuple[Network, float]:
        """Gauss-Newton on all weights, with samples that are far off counting less at first.

        Args:
            network: Where to start.
            shares: Shares of the samples that are ordinary, a descent with each.

        Returns:
            The network and its mean squared error on all pairs alike.
        """
        damping, loss = STEPS.damping, np.inf
        for ordinary in shares:
            settings = replace(STEPS, damping=damping, robust=ordinary)
            descent = DeepGaussNewton(network, self._pairs, settings, self._deadline)
            for _ in descent.run():
                error = np.array([np.sqrt(descent.loss)])
                note = "" if ordinary is None else f"{ordinary:.1%} of the pairs are ordinary"
                self._report(
                    Progress("polish all layers", descent.step, settings.steps, error, note=note)
                )
            network, loss, damping = descent.network(), descent.loss, descent.damping
        return network, loss

    def _found_one(self) -> bool:
        """Look for a missing neuron, and keep it if the error falls with it."""
        found = self.outcome
        assert found.network is not None
        number = len(found.missing)
        rng = np.random.default_rng((self._seed, 1, number))
        missing = find_missing(found.network, self._pairs, rng, self._report)
        if missing is None or missing.share < WORTH:
            return False
        more = with_neuron(found.network, missing)
        network, loss = self._once(f"with-missing-{number}", more, self.polish)
        if loss > found.loss / FALL:
            return False
        found.network, found.loss = network, loss
        found.missing = (*found.missing, missing.layer)
        return True

    def straightened(self) -> bool:
        """Move a neuron that is read by long weights along its valley; whether the error fell.

        Far out in an exponential tail it gives the same as one nearer by that is read by less.
        """
        found = self.outcome
        assert found.network is not None
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

    def _lightened(self, share: float) -> bool:
        """Remove neurons to spare, if the error comes back; whether any went."""
        found = self.outcome
        assert found.network is not None
        if found.loss > THINNED or is_over(self._deadline):
            return False
        thinned, removals = self.thinned(found.network, found.loss, share)
        if not removals:
            return False
        widths = "-".join(map(str, thinned.hidden_widths))
        network, loss = self._once(f"thinned-{widths}-{share:g}", thinned, self.polish)
        if loss > max(RISE * found.loss, LEAST**2):
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
