"""Several hidden layers: rebuild one after the other, then look at all of them again."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.progress import Progress, Reporter
from expand_and_cluster.fitting.memory import Memory
from expand_and_cluster.fitting.result import Fit, joined
from expand_and_cluster.reconstruction.consensus import Consensus, Population
from expand_and_cluster.reconstruction.deep_bench import (
    ROWS_MEASURED,
    DeepBench,
    Scored,
)
from expand_and_cluster.reconstruction.deep_consensus import (
    IMITATES,
    agree,
    filled_up,
    gather_layer,
)
from expand_and_cluster.reconstruction.deep_prune import DeepRemoval, prune_layers
from expand_and_cluster.reconstruction.inside import answers
from expand_and_cluster.students.above import FOUND, Above, sharpen, train_above
from expand_and_cluster.students.training import TrainingData

# Widths of the students of later rounds, as a share of the first round's.
LATER_WIDTHS = (1.5, 1.0, 2.0, 1.25, 1.5)
# Students that are sharpened at a time, best first; none after one of them has found everything.
AT_ONCE = 2
# Students on their way to zero: from here on their neurons are polished and thinned out.
NEAR = 1e-5
# Mean squared error from which on neurons are taken out. Many neurons to spare, with large weights
# that cancel, keep a network from its own rounding: that is only reached without them.
THINNED = 1e-18
# Samples that networks are polished on.
MOST_SAMPLES = 6000


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


class LayerwiseSearch:
    """One recovery of several hidden layers, in standardised coordinates.

    Args:
        data: Pairs to fit, in random order.
        held_out: Pairs to judge by.
        activation: Activation of the teacher.
        settings: What may be done.
        checkpoint: Keeps every trained student, layer by layer.
        report: Receives progress.
        held: Whether the pairs hold all weights of an exact network in their places.
        deadline: `time.monotonic()` after which the search ends with what it has.

    Source: Martinelli et al., section 5, A.3 and A.5.
    """

    def __init__(
        self,
        data: TrainingData,
        held_out: TrainingData,
        activation: Activation,
        settings: LayerwiseSettings,
        *,
        checkpoint: Checkpoint,
        report: Reporter,
        held: Callable[[Network, TrainingData], bool],
        deadline: float | None = None,
    ) -> None:
        """Store the pairs and settings."""
        self.data = data
        self.held_out = held_out
        self.activation = activation
        self.settings = settings
        self.outcome = LayerwiseOutcome()
        self.bench = DeepBench(
            data.first(MOST_SAMPLES), noise=settings.noise, deadline=deadline, report=report
        )
        self._checkpoint = checkpoint
        self._report = report
        self._held = held
        self._deadline = deadline

    def run(self) -> LayerwiseOutcome:
        """Rebuild until a network is exact and held, or no rounds or time are left."""
        for index in range(self.settings.rounds):
            self.outcome.rounds = index + 1
            for source, start in self._attempts(index):
                self._report(Progress("rebuild", index, None, note=source))
                self._finish(start, f"{source} of round {index + 1}")
                if self._done() or self._late():
                    return self.outcome
        return self.outcome

    def _done(self) -> bool:
        return self.outcome.exact and self.outcome.held

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _attempts(self, index: int) -> Iterator[tuple[str, Network]]:
        """Networks that may be the teacher with neurons to spare."""
        chosen = self.settings
        share = 1.0 if index == 0 else LATER_WIDTHS[(index - 1) % len(LATER_WIDTHS)]
        width = max(2, round(share * chosen.width))
        rebuilt: tuple[Layer, ...] = ()
        for layer in range(chosen.hidden_layers):
            stage = self._stage(index, layer, rebuilt, width)
            self.outcome.stages.append(stage)
            for student in np.argsort(stage.fit.losses)[:AT_ONCE]:
                if stage.fit.losses[student] > NEAR:
                    break
                name = f"student {student} above {layer} rebuilt layers"
                yield name, stage.fit.students.student(int(student))
            if np.isfinite(stage.fit.losses[stage.fit.best]):
                # What there is if nothing comes of this round.
                student = stage.fit.students.student(stage.fit.best)
                self._keep(self.bench.score(student), f"student of round {index + 1} as it is", ())
            if stage.consensus is None or self._late() or layer == chosen.hidden_layers - 1:
                return
            best = stage.fit.students.student(stage.fit.best)
            vectors = filled_up(stage.consensus, stage.population, stage.fit.best, self.activation)
            vectors = vectors[:width]
            rebuilt = (*best.layers[:layer], Layer(vectors[:, :-1], vectors[:, -1]))

    def _stage(self, index: int, layer: int, rebuilt: tuple[Layer, ...], width: int) -> Stage:
        fit = self._trained(index, layer, rebuilt, width)
        population = gather_layer(fit, layer, self.data.inputs[:ROWS_MEASURED])
        return Stage(
            layer,
            fit,
            population,
            agree(population, self.activation, self.settings.max_cluster_angle),
        )

    def _trained(self, index: int, layer: int, rebuilt: tuple[Layer, ...], width: int) -> Fit:
        """Students of one stage: all of them by Adam, then sharpened, best first."""
        chosen = self.settings
        name = f"layer {layer + 1}, round {index + 1}"
        memory = Memory(self._checkpoint, f"students-{index}-{layer}", self.activation)
        rough = memory.load_all()
        if rough is None:
            wanted = Above(
                rebuilt,
                (width,) * (chosen.hidden_layers - layer),
                self.activation,
                chosen.students,
                chosen.seed,
                first=index * chosen.students,
            )
            rough = train_above(
                self.data,
                wanted,
                report=self._report,
                stage=f"train students, {name}",
                deadline=self._deadline,
            )
            memory.save_all(rough)
        order = np.argsort(rough.losses, kind="stable")
        sharp: list[Fit] = []
        for first in range(0, len(order), AT_ONCE):
            some = [int(student) for student in order[first : first + AT_ONCE]]
            memory = Memory(self._checkpoint, f"sharpened-{index}-{layer}-{first}", self.activation)
            fit = sharpen(
                self.data,
                Network.stack([rough.students.student(student) for student in some]),
                report=self._report,
                stage=f"sharpen students, {name}",
                deadline=self._deadline,
                memory=memory,
            )
            sharp.append(fit)
            if fit.losses.min() <= FOUND or self._late():
                break
        return joined(sharp)

    def _finish(self, start: Network, source: str) -> None:
        """Polish, and if next to nothing is left of the error, take out what is to spare."""
        bench = self.bench
        now = bench.score(start)
        # Near rounding, wide students only creep: what is to spare keeps them from the floor.
        if now.loss > THINNED:
            now = bench.polish(now, stage="polish all layers")
        removals: tuple[DeepRemoval, ...] = ()
        if bench.at_floor(now) or now.loss <= THINNED:
            now, removals = prune_layers(bench, now, thorough=False)
            now = bench.polish(now, damping=1e-8, stage="polish all layers")
            if not self._held(now.network, bench.training):
                now, more = prune_layers(bench, now, thorough=True)
                now = bench.polish(now, damping=1e-8, stage="polish all layers")
                removals += more
        self._keep(now, source, removals)

    def _keep(self, now: Scored, source: str, removals: tuple[DeepRemoval, ...]) -> None:
        given = answers(now.network, self.held_out.inputs)
        error = float(np.mean((given - self.held_out.targets) ** 2))
        if not np.isfinite(error):
            return
        exact = self.bench.at_floor(now) and error <= 100.0 * self.bench.floor(now.network)
        held = exact and self._held(now.network, self.bench.training)
        old = self.outcome
        if (exact, held, -error) > (old.exact, old.held, -old.held_out):
            old.best, old.held_out, old.exact, old.held = now, error, exact, held
            old.source, old.removals = source, removals
