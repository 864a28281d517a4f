"""What a layerwise search may do, and what it found."""

from dataclasses import dataclass, field

import numpy as np

from expand_and_cluster.core.network import Network
from expand_and_cluster.fitting.result import Fit
from expand_and_cluster.reconstruction.consensus import Consensus, Population
from expand_and_cluster.reconstruction.deep_bench import Scored
from expand_and_cluster.reconstruction.deep_consensus import IMITATES
from expand_and_cluster.reconstruction.deep_prune import DeepRemoval


@dataclass(frozen=True)
class LayerwiseSettings:
    """What a layerwise search may do.

    Attributes:
        hidden_layers: Number of hidden layers.
        width: Neurons of a student in every hidden layer that is not rebuilt.
        students: Students of every stage.
        seed: Seed of all rounds.
        max_cluster_angle: Largest median angle within a cluster, in radians.
        rounds: Most attempts, each with students of its own.
        noise: Rounding of the answers, in standardised units.
    """

    hidden_layers: int
    width: int
    students: int
    seed: int
    max_cluster_angle: float
    rounds: int
    noise: float = 0.0


@dataclass(frozen=True)
class Stage:
    """One layer's students, and what they agree on.

    Attributes:
        layer: The hidden layer, 0 for the first.
        fit: The students.
        population: Their neurons of this layer.
        consensus: Clusters of these; None where no two neurons took part.
    """

    layer: int
    fit: Fit
    population: Population
    consensus: Consensus | None


@dataclass
class LayerwiseOutcome:
    """What a layerwise search found.

    Attributes:
        best: The best network so far, in standardised coordinates.
        held_out: Its mean squared error on pairs nobody was fitted to.
        exact: Whether nothing but rounding is left of its error, on training and held-out pairs.
        held: Whether the pairs hold every one of its weights.
        source: How it came about.
        removals: Neurons removed on the way to it.
        stages: All stages, in order.
        rounds: Rounds used.
    """

    best: Scored | None = None
    held_out: float = float("inf")
    exact: bool = False
    held: bool = False
    source: str = ""
    removals: tuple[DeepRemoval, ...] = ()
    stages: list[Stage] = field(default_factory=list)
    rounds: int = 0

    def imitating(self) -> list[Network]:
        """All students that imitate the teacher, of all stages."""
        return [
            stage.fit.students.student(int(index))
            for stage in self.stages
            for index in np.flatnonzero(stage.fit.losses <= IMITATES)
        ]
