"""Train students, rebuild, and go on with new students until the rebuilt network is exact."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Progress, Reporter
from expand_and_cluster.fitting.memory import Memory
from expand_and_cluster.fitting.result import Fit
from expand_and_cluster.reconstruction.benches import Benches
from expand_and_cluster.reconstruction.candidate import padded
from expand_and_cluster.reconstruction.consensus import Consensus, Population, gather
from expand_and_cluster.reconstruction.merged import train_merged
from expand_and_cluster.reconstruction.rebuild import Rebuilt, rebuild, slim
from expand_and_cluster.reconstruction.renewal import Renew
from expand_and_cluster.reconstruction.starts import SearchSettings, starts
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData, train_students

# Widths of later ensembles, as a share of the first: narrower students are cheaper and, near the
# teacher's width, converge to exactly zero more often; wider ones avoid bad minima.
LATER_WIDTHS = (0.5, 1.0, 0.75, 1.5, 0.5)
# Rows on which students' activations are compared.
ROWS_COMPARED = 4096
# Mean squared error on held-out pairs above which a teacher without noise is not yet imitated.
LARGE = 1e-6
# Share of the best student's error below which a network fitted to many given pairs needs no more
# students: what is left of it is a matter of steps.
SETTLED = 1e-2
# Time that students have at least, of which some is for compiling.
LEAST_SECONDS = 5.0
# Share of the time of a first-order fit that new neurons beside known ones have.
NEW_SHARE = 2.0 / 3.0

Vectors = Float[np.ndarray, "neurons inputs_and_bias"]


@dataclass
class Outcome:
    """What a search found.

    Attributes:
        rebuilt: The best network so far, in standardised coordinates.
        held_out: Its mean squared error on pairs nobody was fitted to.
        source: How it came about.
        rounds: All ensembles that were trained.
        population: Neurons of the ensemble that gave it.
        consensus: Their clusters, None where no two neurons took part.
    """

    rebuilt: Rebuilt | None = None
    held_out: float = float("inf")
    source: str = ""
    rounds: list[Fit] = field(default_factory=list)
    population: Population | None = None
    consensus: Consensus | None = None


class Search:
    """One recovery's training and rebuilding, in standardised coordinates.

    Args:
        data: Pairs to fit, in random order.
        held_out: Pairs to judge by.
        activation: Activation of the teacher.
        settings: What may be done.
        checkpoint: Keeps every trained ensemble.
        report: Receives progress.
        held: Whether the pairs hold the weights of an exact network in their places; while they do
            not, the search goes on.
        draft: Student to begin with, in place of a first ensemble.
        accepts: Whether the network found so far, in standardised coordinates, needs no further
            search although it is not exact; None if none does.
        deadline: `time.monotonic()` after which the search ends with what it has.
    """

    def __init__(
        self,
        data: TrainingData,
        held_out: TrainingData,
        activation: Activation,
        settings: SearchSettings,
        *,
        checkpoint: Checkpoint,
        report: Reporter,
        held: Callable[[Network, TrainingData], bool],
        draft: Network | None = None,
        accepts: Callable[[Network], bool] | None = None,
        deadline: float | None = None,
    ) -> None:
        """Store the pairs and settings."""
        self.data = data
        self.held_out = held_out
        self.activation = activation
        self.settings = settings
        self.outcome = Outcome()
        self._checkpoint = checkpoint
        self._report = report
        self._held = held
        self._draft = draft
        self._accepts = accepts
        self._deadline = deadline
        self._asked: tuple[Network, bool] | None = None
        self._benches = Benches(data, activation, settings, deadline=deadline, report=report)

    def run(self) -> Outcome:
        """Train and rebuild until a network is exact, or no progress, rounds or time are left."""
        errors: list[float] = []
        for index in range(self.settings.rounds):
            fit, width = self._students(index)
            self.outcome.rounds.append(fit)
            if self._rebuild_round(fit, width, index):
                break
            errors.append(self.outcome.held_out)
            if self._late() or _hopeless(errors):
                break
        return self.outcome

    def judging_bench(self) -> Workbench:
        """Bench without skip on which the outcome is judged."""
        return self._benches.of(self.settings.width, skip=False)

    def _late(self) -> bool:
        return is_over(self._deadline)

    def _seconds(self, part: float = 1.0) -> float | None:
        """Time, or a part of it, for students whose schedule goes by the clock."""
        if self.settings.share is None or self._deadline is None:
            return None
        left = self._deadline - time.monotonic()
        return max(part * self.settings.share * left, LEAST_SECONDS)

    def _settled(self, fit: Fit) -> bool:
        return self.settings.given and self.outcome.held_out <= SETTLED * float(np.min(fit.losses))

    def _students(self, index: int) -> tuple[Fit, int]:
        """The students of a round, and their width."""
        if self._draft is None:
            return self._train(index)
        if index > 0:
            return self._train(index - 1)
        missed = self._draft(self.data.inputs) - self.data.targets
        return Fit.untrained(self._draft, float(np.mean(missed**2))), self._draft.hidden_widths[0]

    def _train(self, index: int) -> tuple[Fit, int]:
        chosen = self.settings
        share = 1.0 if index == 0 else LATER_WIDTHS[(index - 1) % len(LATER_WIDTHS)]
        width = max(2, round(share * chosen.width))
        memory = Memory(self._checkpoint, f"students-{index}", self.activation)
        fit = memory.load_all()
        if fit is None:
            fit = train_students(
                self.data,
                width,
                self.activation,
                count=chosen.students,
                seed=chosen.seed,
                method=chosen.method,
                steps=chosen.steps,
                seconds=self._seconds(),
                learning_rate=chosen.learning_rate,
                batch_size=chosen.batch_size,
                weight_decay=chosen.weight_decay,
                initial_length=chosen.initial_length,
                first=index * chosen.students,
                report=self._report,
                stage="train students" if index == 0 else f"train students, round {index + 1}",
                deadline=self._deadline,
                memory=memory,
            )
            memory.save_all(fit)
        return fit, width

    def _rebuild_round(self, fit: Fit, width: int, index: int) -> bool:
        bench = self._benches.of(width, skip=self.activation.leaves_line)
        if not np.isfinite(fit.losses).any():
            return False
        population = self._gather(bench, fit)
        equations = self.data.targets.size
        for done, start in enumerate(
            starts(population, fit, self.activation, self.settings, equations=equations)
        ):
            train = partial(self._trained, bench, index)
            vectors = train(start.vectors) if start.filled else start.vectors
            self._report(Progress("rebuild", done, None, note=start.source))
            capacity = _capacity(len(vectors), width)
            rebuilt = rebuild(
                bench,
                vectors,
                capacity,
                start.activation,
                spare=start.filled,
                renew=Renew(partial(train, new=True), self.settings.seed),
            )
            if rebuilt.exact and not self.is_held(rebuilt.network, bench):
                rebuilt = slim(bench, rebuilt, _capacity(rebuilt.network.hidden_widths[0], width))
            rebuilt = self._plain(width, rebuilt)
            source = f"{start.source} of round {index + 1}"
            better = self._keep(rebuilt, source, population, start.consensus)
            if self._exact(bench) or self._settled(fit) or (better and self._accepted()):
                return True
            if self._late():
                break
        return False

    def _trained(
        self, bench: Workbench, index: int, vectors: Vectors, *, new: bool = False
    ) -> Vectors:
        """Input vectors of one student made of these, once it is trained (see `train_merged`)."""
        return train_merged(
            vectors,
            bench,
            self.data,
            self.settings,
            seconds=self._seconds(NEW_SHARE if new else 1.0),
            memory=Memory(self._checkpoint, f"merged-{index}-{_digest(vectors)}", self.activation),
            report=self._report,
            deadline=self._deadline,
            new=new,
        )

    def _gather(self, bench: Workbench, fit: Fit) -> Population:
        activations = np.stack(
            [bench.features(fit.students.student(i), ROWS_COMPARED) for i in range(len(fit.losses))]
        )
        return gather(
            fit.students,
            fit.losses,
            activations,
            self.data.inputs,
            decayed=self.settings.weight_decay > 0.0,
        )

    def _plain(self, width: int, rebuilt: Rebuilt) -> Rebuilt:
        """Polish once more without the skip, where signs made it vanish."""
        if not self.activation.leaves_line or not rebuilt.exact or rebuilt.skip_left > 0.0:
            return rebuilt
        bench = self._benches.of(width, skip=False)
        network = rebuilt.network
        vectors = network.input_vectors
        start = bench.start(vectors, _capacity(len(vectors), width), network.activation)
        final = bench.polish(start, damping=1e-8)
        return Rebuilt(final.compact(), final.loss, bench.at_floor(final), rebuilt.removals, 0.0)

    def _keep(
        self,
        rebuilt: Rebuilt,
        source: str,
        population: Population,
        consensus: Consensus | None,
    ) -> bool:
        """Keep a network if it is the best so far; whether it is."""
        error = float(np.mean((rebuilt.network(self.held_out.inputs) - self.held_out.targets) ** 2))
        if not np.isfinite(error):
            return False
        best = self.outcome.rebuilt
        # Where both are exact, rounding must not decide for the wider one.
        if best is not None and best.exact and rebuilt.exact:
            better = rebuilt.network.hidden_widths < best.network.hidden_widths
        else:
            better = error < self.outcome.held_out
        if better:
            self.outcome.rebuilt, self.outcome.held_out = rebuilt, error
            self.outcome.source = source
            self.outcome.population, self.outcome.consensus = population, consensus
        return better

    def _accepted(self) -> bool:
        rebuilt = self.outcome.rebuilt
        if self._accepts is None or rebuilt is None or rebuilt.exact:
            return False
        return self._accepts(rebuilt.network)

    def _exact(self, bench: Workbench) -> bool:
        rebuilt = self.outcome.rebuilt
        if rebuilt is None or not rebuilt.exact:
            return False
        rounding = 100.0 * bench.floor(bench.as_candidate(rebuilt.network))
        return self.outcome.held_out <= rounding and self.is_held(rebuilt.network, bench)

    def is_held(self, network: Network, bench: Workbench) -> bool:
        """What `held` says, asked once for each network."""
        if self._asked is None or self._asked[0] is not network:
            self._asked = network, self._held(network, bench.training)
        return self._asked[1]


def _hopeless(errors: list[float]) -> bool:
    """Whether three rounds left a large error as large as it was: noise, or another activation.

    Args:
        errors: Best mean squared error on held-out pairs after each round.
    """
    return len(errors) >= 3 and errors[-1] > LARGE and errors[-1] > 0.25 * errors[-3]


def _capacity(neurons: int, width: int) -> int:
    """Padded width: the students' own while that is small, so that one program serves both."""
    if neurons <= width <= 16:
        return width
    return -(-neurons // 4) * 4 if neurons <= 16 else padded(neurons)


def _digest(vectors: Vectors) -> str:
    """What tells input vectors from others, for the checkpoint."""
    return hashlib.sha256(vectors.tobytes()).hexdigest()[:12]
