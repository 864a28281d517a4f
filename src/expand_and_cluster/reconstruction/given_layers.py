"""Several hidden layers of a large network from given pairs.

Students share most of the teacher's neurons after one round; the network of these is refined.
"""

from dataclasses import dataclass, field

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.fitting.muon import MuonSettings
from expand_and_cluster.reconstruction.refinement import Refined, Refinement
from expand_and_cluster.reconstruction.shared_search import (
    SharedOutcome,
    SharedSearch,
    SharedSettings,
)
from expand_and_cluster.students.grown import blank_network, random_student
from expand_and_cluster.students.training import TrainingData

# How students are trained; measured on 784-30-30-30-10 (benchmarks/given_layers.py).
BATCH = 160
FIRST = MuonSettings(learning_rate=5e-3, batch_size=BATCH, steps=100_000)
MERGED = MuonSettings(learning_rate=1e-3, batch_size=BATCH, steps=80_000)


@dataclass
class GivenOutcome:
    """What was found.

    Attributes:
        shared: Students and what they shared.
        refined: What was made of it; None while there is nothing.
    """

    shared: SharedOutcome[Network] = field(default_factory=SharedOutcome[Network])
    refined: Refined | None = None


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
        self.refinement = Refinement(
            data, seed=seed, checkpoint=checkpoint, report=report, deadline=deadline
        )
        sizes = (data.inputs.shape[1], *widths, data.targets.shape[1])
        like = blank_network(sizes, activation)
        self._search = SharedSearch(
            data,
            lambda rng: random_student(like, widths, rng),
            SharedSettings(students, seed, max_angle, FIRST, MERGED),
            checkpoint=checkpoint,
            report=report,
            deadline=deadline,
        )
        self.outcome = GivenOutcome(self._search.outcome)

    def run(self) -> GivenOutcome:
        """Students, what they share, what is missing, what is to spare; `outcome` grows."""
        shared = self._search.run()
        if shared.network is not None:
            self.outcome.refined = Refined(shared.network, shared.loss)
            self.refinement.run(self.outcome.refined)
        return self.outcome

    def finish(self, everything: TrainingData) -> None:
        """The last steps, on all pairs there are, those held out included."""
        if self.outcome.refined is not None:
            self.refinement.finish(self.outcome.refined, everything)
