"""Several hidden layers: rebuild one after the other, then look at all of them again."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.progress import Progress, Reporter
from expand_and_cluster.fitting.result import Fit
from expand_and_cluster.reconstruction.deep_bench import (
    ROWS_MEASURED,
    DeepBench,
    Scored,
)
from expand_and_cluster.reconstruction.deep_consensus import (
    agree,
    gather_layer,
    ground_of,
)
from expand_and_cluster.reconstruction.deep_prune import DeepRemoval, prune_layers
from expand_and_cluster.reconstruction.layerwise_outcome import (
    LayerwiseOutcome,
    LayerwiseSettings,
    Stage,
)
from expand_and_cluster.reconstruction.layerwise_students import DeepStudents
from expand_and_cluster.reconstruction.read_polish import WIDE_STEPS, pairs_for, polish_read
from expand_and_cluster.reconstruction.second_look import look_again
from expand_and_cluster.students.above import FOUND
from expand_and_cluster.students.regrown import Ground
from expand_and_cluster.students.training import TrainingData

# Widths of the students of later rounds, as a share of the first round's.
LATER_WIDTHS = (1.5, 1.0, 2.0, 1.25, 1.5)
# How often students are regrown from what is known of the first layer, each time from what the
# last ones agree on: what was missing, or a few degrees off, comes closer.
LOOKS = 3
# Students on their way to zero: from here on their neurons are polished and thinned out.
NEAR = 1e-5
# Mean squared error from which on neurons are taken out. Many neurons to spare, with large weights
# that cancel, keep a network from its own rounding: that is only reached without them.
THINNED = 1e-18
# Weights of a network up to which removals are tried where not all of them are held, and neurons
# that may be missing.
MOST_TRIED = 2000
# Samples that networks are polished on.
MOST_SAMPLES = 6000


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
        draft: A network to begin with, before any student.
        first_layer: Input vectors of the first hidden layer, where they are known but for biases.
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
        draft: Network | None = None,
        first_layer: Float[np.ndarray, "neurons inputs_and_bias"] | None = None,
        deadline: float | None = None,
    ) -> None:
        """Store the pairs and settings."""
        self.data = data
        self.held_out = held_out
        self.activation = activation
        self.settings = settings
        self.outcome = LayerwiseOutcome()
        self._students = DeepStudents(
            data,
            activation,
            settings.hidden_layers,
            settings.students,
            settings.seed,
            checkpoint,
            report,
            deadline,
        )
        self._report = report
        self._held = held
        self._draft = draft
        self._first_layer = first_layer
        self._looked_at: Scored | None = None
        self._deadline = deadline
        self.bench = DeepBench(
            data.first(MOST_SAMPLES), noise=settings.noise, deadline=deadline, report=report
        )

    def run(self) -> LayerwiseOutcome:
        """Rebuild until a network is exact and held, or no rounds or time are left.

        The best student is the network where nothing better came about.
        """
        self._rebuild()
        if self.outcome.best is None:
            self._keep_a_student()
        return self.outcome

    def _rebuild(self) -> None:
        if self._draft is not None:
            self._report(Progress("rebuild", 0, None, note="read off kinks"))
            self._finish_read(self._draft, "network read off kinks")
            # What no pair holds no student holds either.
            if self.outcome.exact or self._late():
                return
        for index in range(self.settings.rounds):
            self.outcome.rounds = index + 1
            for source, start in self._attempts(index):
                self._report(Progress("rebuild", index, None, note=source))
                self._finish(start, f"{source} of round {index + 1}")
                if self._done() or self._late():
                    return
            self._look_again(index)
            if self._done() or self._late():
                return

    def _keep_a_student(self) -> None:
        fits = [stage.fit for stage in self.outcome.stages]
        best = min(fits, key=lambda each: each.losses[each.best], default=None)
        if best is not None and np.isfinite(best.losses[best.best]):
            self._keep(self.bench.score(best.students.student(best.best)), "best student", ())

    def _look_again(self, index: int) -> None:
        """Look for neurons that the best network lacks, in every layer; once for each network."""
        best = self.outcome.best
        if best is None or best is self._looked_at or self.outcome.exact or self._late():
            return
        self._looked_at = best
        if best.network.parameter_count > MOST_TRIED:
            return
        self._report(Progress("rebuild", index, None, note="a second look at every layer"))
        found, added = look_again(
            self.bench, best, arrived=THINNED, seed=(self.settings.seed, index)
        )
        if added:
            layers = ", ".join(str(layer + 1) for layer in sorted(set(added)))
            self._finish(
                found.network,
                f"second look at round {index + 1}, where layers {layers} lacked neurons",
            )

    def _done(self) -> bool:
        return self.outcome.exact and self.outcome.held

    def _late(self) -> bool:
        return is_over(self._deadline)

    def _attempts(self, index: int) -> Iterator[tuple[str, Network]]:
        """Networks that may be the teacher with neurons to spare."""
        chosen = self.settings
        share = 1.0 if index == 0 else LATER_WIDTHS[(index - 1) % len(LATER_WIDTHS)]
        width = max(2, round(share * chosen.width))
        below: tuple[Layer, ...] = ()
        if self._first_layer is not None:
            below = (Layer(self._first_layer[:, :-1], self._first_layer[:, -1]),)
        wide: Stage | None = None
        for layer in range(len(below), chosen.hidden_layers):
            fit = self._students.trained(index, layer, below, width)
            above_read = self._first_layer is not None and wide is None
            if above_read:
                # Above what was read they are nearly there: all that is rough is the biases.
                fit = self._students.above_read(fit, index)
            stage = self._stage(layer, fit)
            if above_read:
                yield from self._near(stage, FOUND, "layer 1 read off steps")
            wide = wide or stage
            ground = self._ground(stage, below, width)
            for look in range(LOOKS if layer == 0 else 1):
                if ground is None or self._late():
                    break
                # Seldom is a layer much wider than the one below it; every other look allows it.
                above = width if (index + look) % 2 else min(width, ground.width)
                fit = self._students.regrown(ground, above, (index, layer, look))
                stage = self._stage(layer, fit)
                yield from self._near(stage, FOUND, f"layer {layer + 1} rebuilt")
                ground = self._ground(stage, below, width)
            if ground is None or self._late():
                break
            vectors = ground.known
            below = (*below, Layer(vectors[:, :-1], vectors[:, -1]))
        if self._late() or self._first_layer is not None or wide is None:
            return
        if self._students.can_sharpen(wide.fit.students):
            fit = self._students.sharpened(wide.fit, f"wide-{index}")
            yield from self._near(self._stage(0, fit, wide), NEAR, "no layer rebuilt")

    def _near(self, stage: Stage, least: float, name: str) -> Iterator[tuple[str, Network]]:
        """The best student if it is on its way to zero; kept as it is if nothing comes of it."""
        loss = stage.fit.losses[stage.fit.best]
        if np.isfinite(loss):
            best = stage.fit.students.student(stage.fit.best)
            self._keep(self.bench.score(best), f"student with {name} as it is", ())
            if loss <= least:
                yield f"student with {name}", best

    def _stage(self, layer: int, fit: Fit, rough: Stage | None = None) -> Stage:
        """What students agree on, in place of the stage that the same ones were in when rough."""
        population = gather_layer(fit, layer, self.data.inputs[:ROWS_MEASURED])
        angle = self.settings.max_cluster_angle
        stage = Stage(layer, fit, population, agree(population, self.activation, angle))
        if rough is None:
            self.outcome.stages.append(stage)
        else:
            kept = self.outcome.stages
            self.outcome.stages = [stage if each is rough else each for each in kept]
        return stage

    def _ground(self, stage: Stage, below: tuple[Layer, ...], width: int) -> Ground | None:
        if stage.consensus is None or len(stage.consensus.candidates) == 0:
            return None
        return ground_of(stage.consensus, stage.population, below, self.activation, width)

    def _finish_read(self, read: Network, source: str) -> None:
        """Polish what was read off; if all of it is held, no neuron is to spare.

        Of a large one no neuron is tried out, which would take hours: the verdict abstains.
        """
        bench = self.bench
        now = polish_read(read, bench.first(pairs_for(read)), bench)
        large = now.network.parameter_count > MOST_TRIED
        held = None
        if bench.at_floor(now) and not large:
            held = self._held(now.network, bench.training)
        if bench.at_floor(now) and (large or held):
            self._keep(now, source, (), held=held)
        else:
            self._finish(now.network, source)

    def _finish(self, start: Network, source: str) -> None:
        """Polish, and if next to nothing is left of the error, take out what is to spare."""
        bench = self.bench
        now = bench.score(start)
        # Near rounding, wide students only creep: what is to spare keeps them from the floor.
        if now.loss > THINNED:
            now = bench.polish(now, steps=WIDE_STEPS, stage="polish all layers")
        removals: tuple[DeepRemoval, ...] = ()
        if bench.at_floor(now) or now.loss <= THINNED:
            now, removals = prune_layers(bench, now, thorough=False)
            now = bench.polish(now, damping=1e-8, stage="polish all layers")
            if not self._held(now.network, bench.training):
                now, more = prune_layers(bench, now, thorough=True)
                now = bench.polish(now, damping=1e-8, stage="polish all layers")
                removals += more
        self._keep(now, source, removals)

    def _keep(
        self,
        now: Scored,
        source: str,
        removals: tuple[DeepRemoval, ...],
        *,
        held: bool | None = None,
    ) -> None:
        """Keep it if it is the best so far; `held` where it is known whether it is."""
        given = now.network(self.held_out.inputs)
        error = float(np.mean((given - self.held_out.targets) ** 2))
        if not np.isfinite(error):
            return
        exact = self.bench.at_floor(now) and error <= 100.0 * self.bench.floor(now.network)
        if held is None:
            held = exact and self._held(now.network, self.bench.training)
        held = exact and held
        old = self.outcome
        if (exact, held, -error) > (old.exact, old.held, -old.held_out):
            old.best, old.held_out, old.exact, old.held = now, error, exact, held
            old.source, old.removals = source, removals
