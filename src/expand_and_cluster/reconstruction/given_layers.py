"""Several hidden layers of a large network from given pairs.

Students share most of the teacher's neurons after one round. What is missing then are neurons that
hardly move the outputs: students of a second round, which begin with the shared network, polished,
have some to spare for these. The best of them is polished by Gauss-Newton on all weights. A network
that holds the teacher then falls until what its spare neurons give is next to nothing, orders of
magnitude below the teacher's weakest neuron; they go, and what is left is polished on. So it goes
on, round after round, as long as the error falls.
"""

from dataclasses import dataclass, field

import numpy as np

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Progress, Reporter
from expand_and_cluster.fitting.deep_gauss_newton import (
    DeepGaussNewton,
    DeepGaussNewtonSettings,
    DeepPairs,
)
from expand_and_cluster.fitting.muon import MuonSettings
from expand_and_cluster.reconstruction.deep_bench import DeepBench
from expand_and_cluster.reconstruction.deep_prune import DeepRemoval
from expand_and_cluster.reconstruction.shared_search import (
    SharedOutcome,
    SharedRound,
    SharedSearch,
    SharedSettings,
)
from expand_and_cluster.students.grown import blank_network, random_student
from expand_and_cluster.students.training import TrainingData

# How students are trained; measured on 784-30-30-30-10 (benchmarks/given_layers.py).
BATCH = 160
FIRST = MuonSettings(learning_rate=5e-3, batch_size=BATCH, steps=100_000)
MERGED = MuonSettings(learning_rate=1e-3, batch_size=BATCH, steps=80_000)
LATER = MuonSettings(learning_rate=1e-3, batch_size=BATCH, steps=50_000)
# Rounds at most, and what a later one has to divide the squared error by for another. On
# 784-30-30-30-10 a third one brought 1.1e-4 of the outputs' spread to 9e-5.
ROUNDS, FALL = 2, 2.0
# Steps from a network that students share: rough, for spare neurons come next. And to the end.
SHARED_STEPS = DeepGaussNewtonSettings(steps=8, iterations=400, most_iterations=400, damping=1e-5)
LAST_STEPS = DeepGaussNewtonSettings(steps=40, iterations=400, damping=1e-5, progress=0.01)
# Mean squared error above which nothing is thinned out: too little is in its place.
THINNED = 1e-6
# A neuron goes if what it gives, the others of its layer making up for what they can, is less than
# this share of what the network leaves, and of the outputs' spread.
SHARE, LEAST = 1.0, 1e-5


@dataclass
class GivenOutcome:
    """What was found.

    Attributes:
        network: The network, in standardised coordinates.
        loss: Its mean squared error on the pairs.
        shared: Students and what they shared, round by round.
        removals: Neurons to spare that were removed.
    """

    network: Network | None = None
    loss: float = float("inf")
    shared: SharedOutcome[Network] = field(default_factory=SharedOutcome[Network])
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
        self.data = data
        self.outcome = GivenOutcome()
        self._report, self._deadline = report, deadline
        self._pairs = DeepPairs(data.inputs, data.targets)
        self._bench = DeepBench(data.first(4096))
        sizes = (data.inputs.shape[1], *widths, data.targets.shape[1])
        like = blank_network(sizes, activation)
        self._search = SharedSearch(
            data,
            lambda rng: random_student(like, widths, rng),
            SharedSettings(students, seed, max_angle, FIRST, MERGED, LATER, rounds=1),
            checkpoint=checkpoint,
            report=report,
            deadline=deadline,
            polish=lambda network: self.polish(network, SHARED_STEPS),
        )

    def run(self) -> GivenOutcome:
        """All rounds; `outcome` grows with them."""
        found = self.outcome
        found.shared = self._search.outcome
        self._search.run()
        network = found.shared.network
        if network is None:
            return found
        found.network, found.loss = network, found.shared.loss
        for number in range(1, ROUNDS):
            if is_over(self._deadline):
                break
            students = self._search.students(number, found.network)
            found.shared.rounds.append(SharedRound(students, None))
            best = min(students, key=lambda student: student.loss).network
            assert isinstance(best, Network)
            if not self._better(*self._thin(*self.polish(best, LAST_STEPS))):
                break
        return found

    def finish(self, everything: TrainingData) -> None:
        """The last steps, on all pairs there are: those held out are needed for nothing else."""
        assert self.outcome.network is not None
        self._pairs = DeepPairs(everything.inputs, everything.targets)
        self.outcome.network, self.outcome.loss = self.polish(self.outcome.network, LAST_STEPS)

    def _better(self, network: Network, loss: float, removals: tuple[DeepRemoval, ...]) -> bool:
        """Keep a round's network if it is better, and say whether by enough to go on."""
        before = self.outcome.loss
        if loss < before:
            self.outcome.network, self.outcome.loss = network, loss
            self.outcome.removals = removals
        return loss <= before / FALL

    def _thin(
        self, network: Network, loss: float
    ) -> tuple[Network, float, tuple[DeepRemoval, ...]]:
        """Without what it hardly uses, as long as something goes and the error comes back."""
        removed: tuple[DeepRemoval, ...] = ()
        while loss <= THINNED and not is_over(self._deadline):
            thinned, removals = self.thinned(network, loss)
            if not removals:
                break
            polished, reached = self.polish(thinned, LAST_STEPS)
            if reached > max(4.0 * loss, LEAST**2):
                break
            network, loss, removed = polished, reached, removed + removals
        return network, loss, removed

    def polish(self, network: Network, settings: DeepGaussNewtonSettings) -> tuple[Network, float]:
        """Gauss-Newton on all weights and all pairs."""
        descent = DeepGaussNewton(network, self._pairs, settings, self._deadline)
        for _ in descent.run():
            error = np.array([np.sqrt(descent.loss)])
            self._report(Progress("polish all layers", descent.step, settings.steps, error))
        return descent.network(), descent.loss

    def thinned(self, network: Network, loss: float) -> tuple[Network, tuple[DeepRemoval, ...]]:
        """The network without what it hardly uses, and what that was."""
        least = max(SHARE * float(np.sqrt(loss)), LEAST)
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
