"""Explain what is left of the answers by noise, and judge the network under that hypothesis."""

from dataclasses import dataclass

import numpy as np

from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.reconstruction.prune import Removal
from expand_and_cluster.reconstruction.settle import plain, settle
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.verdict.linearised import linearise, operations
from expand_and_cluster.verdict.standard_errors import Covariance, covariance
from expand_and_cluster.verdict.whiteness import Whiteness, draw_probes, examine

# Work that the statistics may take: some ten seconds.
MOST_OPERATIONS = 5e11
# Chance below which a residual is no noise at first sight, before anything is polished.
AT_FIRST_SIGHT = 1e-12


@dataclass(frozen=True)
class Explained:
    """A network whose error is noise.

    Attributes:
        network: Least-squares network in the coordinates of `standard`.
        standard: Coordinates, with one scale for all outputs.
        bench: Pairs that it was fitted to.
        removals: Neurons that noise alone would have kept.
        loss: Mean squared error on these pairs.
        held_out: The same on pairs that nobody was fitted to.
        held_out_size: How many numbers these are.
        left: What is left of the answers.
        errors: Covariance of the weights.
        known: Standard deviation of the noise where it was known, in standardised units.
    """

    network: Network
    standard: Standardisation
    bench: Workbench
    removals: tuple[Removal, ...]
    loss: float
    held_out: float
    held_out_size: int
    left: Whiteness
    errors: Covariance
    known: float | None

    @property
    def noise(self) -> float:
        """Estimated standard deviation of the noise, in the units of what was read."""
        return self.left.noise * float(self.standard.output_scale[0])


class NoiseHypothesis:
    """The hypothesis that answers are a small network's, plus independent noise of one size.

    Args:
        training: Pairs to fit, as they were read.
        held_out: Pairs to judge by.
        known: Standard deviation of the noise where it is known, None where it is not.
        seed: Of the random neurons that the residual is tested with.
        deadline: `time.monotonic()` after which descents stop.
        report: Receives progress.
    """

    def __init__(
        self,
        training: QueryPairs,
        held_out: QueryPairs,
        *,
        known: float | None = None,
        seed: int = 0,
        deadline: float | None = None,
        report: Reporter = silent,
    ) -> None:
        """Standardise the pairs; nothing is fitted yet."""
        found = Standardisation.fit(training.inputs, training.outputs)
        # Noise is as large in every output, so all are scaled alike: least squares then weigh
        # them as they should.
        scale = np.full_like(found.output_scale, np.sqrt(np.mean(found.output_scale**2)))
        self.standard = Standardisation(
            found.input_center, found.input_scale, found.output_center, scale
        )
        self._training = self._seen(training)
        self._held_out = self._seen(held_out)
        self._known = None if known is None else known / float(scale[0])
        self._seed, self._deadline, self._report = seed, deadline, report
        self.found: Explained | None = None

    def _seen(self, pairs: QueryPairs) -> TrainingData:
        return TrainingData(
            self.standard.inputs(pairs.inputs), self.standard.targets(pairs.outputs)
        )

    def accepts(self, network: Network) -> bool:
        """Whether noise explains what this network leaves; `found` keeps how."""
        self.found = self.explain(network)
        return self.found is not None

    def explain(self, network: Network) -> Explained | None:
        """The least-squares network near this one, if noise explains what it leaves.

        Args:
            network: A candidate, in raw coordinates.

        Returns:
            None where the residual is no noise, where the answers do not hold all weights, or
            where the problem is too large to tell.
        """
        data = self._training
        start = plain(self.standard.enter(network).at_rest())
        probes = draw_probes(start, len(data.inputs), self._seed)
        small = operations(start, len(data.inputs), 200) <= MOST_OPERATIONS
        unknowns = start.input_vectors.size + start.layers[1].weight.size
        if probes is None or not small or 2 * unknowns > data.targets.size:
            return None
        self._report(Progress("test for noise", 0, None))
        if self._plainly_structured(start, probes):
            return None
        bench = Workbench(data, start.activation, deadline=self._deadline, report=self._report)
        candidate, removals = settle(bench, start)
        settled = candidate.compact()
        moments = linearise(settled, data, probes)
        left = examine(moments)
        errors = covariance(settled, moments, left.noise)
        if not left.white or errors is None:
            return None
        missed = settled(self._held_out.inputs) - self._held_out.targets
        return Explained(
            settled,
            self.standard,
            bench,
            removals,
            candidate.loss,
            float(np.mean(missed**2)),
            missed.size,
            left,
            errors,
            self._known,
        )

    def _plainly_structured(self, network: Network, probes: Network) -> bool:
        """Whether the residual is predictable even before the network is polished.

        What moves of the weights explain does not count, so that it need not be at a minimum.
        """
        found = examine(linearise(network, self._training, probes))
        return found.chance < AT_FIRST_SIGHT
