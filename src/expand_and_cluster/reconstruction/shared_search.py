"""Expand and cluster with every layer at once: for large networks and convolutions, from pairs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import jax
import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.fitting.muon import MuonSettings, on_device
from expand_and_cluster.reconstruction.shared_layers import SharedLayers, share_layers
from expand_and_cluster.students.by_muon import Imitation, train_by_muon
from expand_and_cluster.students.grown import with_spare_neurons
from expand_and_cluster.students.training import TrainingData

Student = TypeVar("Student", Network, ConvNetwork)


@dataclass(frozen=True)
class SharedSettings:
    """What a search may do.

    Attributes:
        students: Students of a round.
        seed: Decides everything random.
        max_angle: Largest median angle within a group of neurons, in radians.
        first: How students of the first round are trained, from random weights.
        merged: How the network of what they share is.
        later: How students of a second round are, which begin with that network; None: there is no
            second round.
        spare: Neurons to spare of a student of the second round, as a share of a layer's.
    """

    students: int
    seed: int
    max_angle: float
    first: MuonSettings
    merged: MuonSettings
    later: MuonSettings | None = None
    spare: float = 0.2


@dataclass(frozen=True)
class SharedRound(Generic[Student]):
    """Students of one round, and what they share.

    Attributes:
        students: As they were trained.
        shared: What they share; None where some layer shares nothing, or nobody asked.
    """

    students: list[Imitation]
    shared: SharedLayers[Student] | None

    @property
    def losses(self) -> Float[np.ndarray, " students"]:
        """Mean squared error of every student."""
        return np.array([student.loss for student in self.students])


@dataclass
class SharedOutcome(Generic[Student]):
    """What a search has found so far.

    Attributes:
        network: The best network of what a round's students share, the best student where no round
            had one; None before.
        loss: Its mean squared error.
        shared: What it was made of; None for a student.
        rounds: All rounds.
    """

    network: Student | None = None
    loss: float = float("inf")
    shared: SharedLayers[Student] | None = None
    rounds: list[SharedRound[Student]] = field(default_factory=list)


class SharedSearch(Generic[Student]):
    """Students, what they share in all layers, and new students with neurons to spare around it.

    Neurons that move the outputs less than students are wrong by are found in a second round, where
    the others are in their places.

    Args:
        data: Standardised pairs in random order.
        start: Makes a random student.
        settings: What may be done.
        checkpoint: Keeps every trained student.
        report: Receives progress.
        deadline: `time.monotonic()` after which the search ends with what it has.

    Source: Martinelli et al., sections 4 and 5, A.7.
    """

    def __init__(
        self,
        data: TrainingData,
        start: Callable[[np.random.Generator], Student],
        settings: SharedSettings,
        *,
        checkpoint: Checkpoint,
        report: Reporter,
        deadline: float | None = None,
    ) -> None:
        """Bring the pairs to the device; nothing is trained yet."""
        self.data, self.settings = data, settings
        self.outcome: SharedOutcome[Student] = SharedOutcome()
        self._start, self._deadline = start, deadline
        self._checkpoint, self._report = checkpoint, report
        with jax.enable_x64(False):
            self._pairs = on_device(data.inputs, data.targets)

    def run(self) -> SharedOutcome[Student]:
        """Both rounds, as long as students share something and time is left."""
        chosen, outcome = self.settings, self.outcome
        for number, how in enumerate((chosen.first, chosen.later)):
            if how is None:
                break
            students = self._students(number, how)
            shared = self._shared(students)
            outcome.rounds.append(SharedRound(students, shared))
            if shared is None:
                self._keep_best(students)
                break
            name = f"train what students share, round {number + 1}"
            merged = self._trained([shared.network], chosen.merged, name)[0]
            if merged.loss < outcome.loss:
                outcome.network, outcome.loss = merged.network, merged.loss  # type: ignore[assignment]
                outcome.shared = shared
            if outcome.network is None:
                self._keep_best(students)  # What they share diverged.
                break
            if is_over(self._deadline):
                break
        return outcome

    def _students(self, number: int, how: MuonSettings) -> list[Imitation]:
        """The students of one round: random, or from a known network with neurons to spare."""
        chosen, known = self.settings, self.outcome.network
        starts = []
        for index in range(chosen.students):
            rng = np.random.default_rng((chosen.seed, number, index))
            random = known is None
            starts.append(
                self._start(rng) if random else with_spare_neurons(known, chosen.spare, rng)
            )
        return self._trained(starts, how, f"train students, round {number + 1}")

    def _keep_best(self, students: list[Imitation]) -> None:
        """The best student, where no round has shared anything."""
        best = min(students, key=lambda student: student.loss)
        if self.outcome.network is None and np.isfinite(best.loss):
            self.outcome.network = best.network  # type: ignore[assignment]
            self.outcome.loss = best.loss

    def _trained(self, students: list[Student], how: MuonSettings, name: str) -> list[Imitation]:
        return train_by_muon(
            students,
            self._pairs,
            how,
            seed=self.settings.seed,
            name=name,
            checkpoint=self._checkpoint,
            report=self._report,
            deadline=self._deadline,
        )

    def _shared(self, students: list[Imitation]) -> SharedLayers[Student] | None:
        losses = np.array([student.loss for student in students])
        if not np.any(np.isfinite(losses)):
            return None
        networks: list[Student] = [student.network for student in students]  # type: ignore[misc]
        return share_layers(
            networks, losses, self.data.inputs, self.data.targets, max_angle=self.settings.max_angle
        )
