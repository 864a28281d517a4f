"""Training pairs on which candidates of one hidden layer are solved, polished and measured."""

from dataclasses import replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.fitting.gauss_newton import GaussNewton, GaussNewtonSettings
from expand_and_cluster.fitting.levenberg_marquardt import (
    Descent,
    LevenbergMarquardtSettings,
    step_operations,
)
from expand_and_cluster.fitting.normal_equations import Data, prepare
from expand_and_cluster.fitting.own_moments import OwnMoments
from expand_and_cluster.fitting.projection import ROWS, Frame, frame_of
from expand_and_cluster.queries.common_pairs import CommonPairs
from expand_and_cluster.reconstruction import least_squares
from expand_and_cluster.reconstruction.candidate import Candidate, improved
from expand_and_cluster.students.training import TrainingData

# Squared rounding error of one term of a sum, with the few operations that make the term.
ROUNDING = (4.0 * np.finfo(np.float64).eps) ** 2
# Rows on which floors are measured, and removal costs at least.
MOST_ROWS = 4096
# Error, in units of what rounding explains, at which nothing else is left. Sums over many inputs
# and least squares over features that are nearly alike cost more digits than the estimate knows of.
AT_FLOOR = 30.0
# Operations of a step that takes some ten milliseconds.
CHEAP = 5e8
# Input weights of the largest candidate whose normal equations are written out; larger ones are
# polished by Gauss-Newton without a matrix.
MOST_DENSE = 4500
# Products of two inputs, over all samples, that are kept for the normal equations.
MOST_PAIRS = 40_000_000
# Bytes that second moments of the inputs may take, one matrix for each neuron: where they would be
# more, all neurons are preconditioned in the same coordinates.
MOST_OWN = 1 << 29


class Workbench:
    """Training pairs laid out once for all candidates of a reconstruction.

    Args:
        data: Standardised pairs.
        activation: Activation of the teacher.
        skip: Whether candidates carry an affine map from input to output.
        noise: Standard deviation of the answers' own rounding, in standardised units: zero for
            double precision.
        deadline: `time.monotonic()` after which descents stop.
        report: Told about long descents.

    Attributes:
        extended: Inputs of all pairs, with a one.
        fixed: What output weights are solved for beside neurons: `extended` or its last column.
    """

    def __init__(
        self,
        data: TrainingData,
        activation: Activation,
        *,
        skip: bool = False,
        noise: float = 0.0,
        deadline: float | None = None,
        report: Reporter = silent,
    ) -> None:
        """Keep the pairs; what a way of polishing needs is prepared when it is first used."""
        self.report = report
        self.activation = activation
        self.skip = skip
        self.noise = noise
        self.deadline = deadline
        self.training = data
        self._targets = data.targets
        self.extended = np.concatenate([data.inputs, np.ones((len(data.inputs), 1))], axis=1)
        self.fixed = self.extended if skip else self.extended[:, -1:]

    @cached_property
    def _pairs(self) -> Data:
        """What small candidates need: all products of two inputs."""
        with double():
            return prepare(self.training.inputs, self._targets, skip=self.skip)

    @cached_property
    def _frame(self) -> Frame:
        """What large candidates need."""
        return frame_of(self.training.inputs, self._targets, skip=self.skip)

    @cached_property
    def _moments(self) -> OwnMoments:
        """What is known of neurons from one descent to the next."""
        with double():
            return OwnMoments(self._frame)

    @cached_property
    def spread(self) -> Float[np.ndarray, "inputs directions"]:
        """What linear maps are multiplied by for the length by which they move the outputs."""
        inputs = self.training.inputs
        centred = (inputs - inputs.mean(axis=0)) / np.sqrt(len(inputs))
        return np.asarray(np.linalg.qr(centred, mode="r")).T

    @cached_property
    def second_moments(self) -> Float[np.ndarray, "inputs_and_bias inputs_and_bias"]:
        """Sums over all pairs of products of two inputs, or of an input and one."""
        return self.extended.T @ self.extended

    def without_skip(self) -> "Workbench":
        """A bench of the same pairs without a skip; what this one laid out is let go."""
        for laid_out in ("_pairs", "_frame", "_moments"):
            self.__dict__.pop(laid_out, None)
        return self.of_pairs(self.training)

    def of_pairs(self, data: TrainingData, *, skip: bool = False) -> "Workbench":
        """A bench of other pairs."""
        return Workbench(
            data,
            self.activation,
            skip=skip,
            noise=self.noise,
            deadline=self.deadline,
            report=self.report,
        )

    def of_common(self, common: CommonPairs, *, skip: bool = False) -> "Workbench":
        """A bench of some of the pairs, over the inputs that they show."""
        inputs, targets = self.training.inputs, self.training.targets
        return self.of_pairs(TrainingData(common.rows(inputs), targets[common.among]), skip=skip)

    def start(
        self,
        vectors: Float[np.ndarray, "neurons inputs_and_bias"],
        capacity: int,
        activation: Activation | None = None,
    ) -> Candidate:
        """Candidate of these input vectors with least-squares output weights.

        Args:
            vectors: Input vectors.
            capacity: Padded width; more where the neurons' places ask for it.
            activation: Activation of a layer of these neurons, of the bench's kinds; None for that
                of the bench.
        """
        size = vectors.shape[1] - 1
        own = activation or self.activation
        places = self.activation.places([own.of(k) for k in range(len(vectors))])
        capacity = max(capacity, int(places.max()) + 1)
        padded = np.zeros((capacity, size + 1))
        padded[places] = vectors
        layers = (
            Layer(padded[:, :-1], padded[:, -1]),
            Layer(np.zeros((self._targets.shape[1], capacity)), np.zeros(self._targets.shape[1])),
        )
        present = np.isin(np.arange(capacity), places)
        return self.solve_outputs(Network(layers, self.activation), present)

    @staticmethod
    def as_candidate(network: Network) -> Candidate:
        """A finished network, to be asked for its floor."""
        return Candidate(network, np.ones(network.hidden_widths[0], bool), float("nan"))

    def features(
        self, network: Network, most: int | None = None
    ) -> Float[np.ndarray, "samples neurons"]:
        """Activations of all neurons on the training inputs, or on the first few of them."""
        vectors, extended = network.input_vectors, self.extended[:most]
        found = np.empty((len(extended), len(vectors)))
        for first in range(0, len(found), ROWS):
            rows = slice(first, first + ROWS)
            found[rows] = network.activation.values(extended[rows] @ vectors.T)
        return found

    def design(
        self, network: Network, present: Bool[np.ndarray, " neurons"], most: int | None = None
    ) -> tuple[Float[np.ndarray, "samples features"], Float[np.ndarray, " features"]]:
        """What these neurons give and what is fixed, each of mean square one, and what divided it.

        Args:
            network: Padded network.
            present: Which of its neurons take part.
            most: Only on the first few of the training inputs.
        """
        features = self.features(network, most)[:, present]
        design = np.concatenate([features, self.fixed[:most]], axis=1)
        scale = np.linalg.norm(design, axis=0) / np.sqrt(len(design))
        scale[scale == 0.0] = 1.0
        design /= scale
        return design, scale

    def solve_outputs(
        self,
        network: Network,
        present: Bool[np.ndarray, " neurons"],
        counts: Float[np.ndarray, " samples"] | None = None,
    ) -> Candidate:
        """The network with least-squares output weights, bias and skip.

        Args:
            network: Padded network.
            present: Which of its neurons take part.
            counts: By how much each sample counts; None for all alike. All count alike in the
                candidate's error.
        """
        design, scale = self.design(network, present)
        if counts is None:
            scaled = least_squares.solve(design, self._targets)
        else:
            root = np.sqrt(counts)[:, None]
            scaled = least_squares.solve(root * design, root * self._targets)
        solution = scaled / scale[:, None]
        weights = np.zeros((self._targets.shape[1], len(present)))
        count = int(present.sum())
        weights[:, present] = solution[:count].T
        skip = None
        if self.skip:
            skip = Layer(solution[count:-1].T, np.zeros(self._targets.shape[1]))
        solved = network.replace(
            layers=(network.layers[0], Layer(weights, solution[-1])), skip=skip
        )
        loss = float(np.mean((design @ scaled - self._targets) ** 2))
        return Candidate(solved, present.copy(), loss)

    def polish(
        self,
        candidate: Candidate,
        *,
        steps: int = 200,
        damping: float = 1e-4,
        patience: int = 40,
        beyond: float = 1.0,
    ) -> Candidate:
        """Levenberg-Marquardt on all weights until rounding, a stall or the last step.

        Where steps are cheap, long valleys are followed; where they are not, a start that does not
        converge within a few steps is not worth more of them.

        Args:
            candidate: Where to start.
            steps: Most steps.
            damping: First damping.
            patience: Steps without progress after which to stop.
            beyond: Share of `floor` to aim for: the estimate may be too large.
        """
        if not self.dense(candidate):
            return self._polish_large(candidate, damping)
        dear = not self.cheap(candidate)
        if dear:
            patience = min(patience, 12)
            self._say(0, steps, candidate.loss, f"{candidate.width} neurons")
        settings = LevenbergMarquardtSettings(
            steps=steps,
            target=beyond * self.floor(candidate),
            damping=damping,
            patience=patience,
        )
        with double():
            descent = Descent(
                candidate.network, self._pairs, settings, self.deadline, present=candidate.present
            )
            for _ in descent.run():
                if dear:
                    self._say(descent.step, steps, descent.loss, f"{candidate.width} neurons")
            return improved(candidate, descent.padded(), descent.loss)

    def _polish_large(self, candidate: Candidate, damping: float) -> Candidate:
        descent = self.descent(candidate, GaussNewtonSettings(damping=damping))
        for _ in descent.run():
            self.tell(descent)
        return improved(candidate, descent.network(), descent.loss)

    def descent(self, candidate: Candidate, settings: GaussNewtonSettings) -> GaussNewton:
        """Gauss-Newton without a matrix, from this candidate to its floor.

        Args:
            candidate: Where to start.
            settings: When to stop and how to damp; its target is replaced.
        """
        moments = len(candidate.present) * self.extended.shape[1] ** 2 * np.float32().nbytes
        own = settings.own and moments <= MOST_OWN
        return GaussNewton(
            candidate.network,
            self._frame,
            replace(settings, target=self.floor(candidate), own=own),
            self.deadline,
            present=candidate.present,
            moments=self._moments if own else None,
            tell=self.tell,
        )

    def tell(self, descent: GaussNewton, within: str = "") -> None:
        """Report a step of a long descent, or what it is at within the next one."""
        note = f"{descent.width} neurons" + (f", {within}" if within else "")
        self._say(descent.step, descent.settings.steps, descent.loss, note)

    def _say(self, step: int, steps: int, loss: float, note: str) -> None:
        self.report(Progress("polish", step, steps, np.array([np.sqrt(loss)]), note))

    def dense(self, candidate: Candidate) -> bool:
        """Whether normal equations of this candidate are written out."""
        samples, size = self.extended.shape
        fits = samples * size * (size + 1) // 2 <= MOST_PAIRS
        return fits and len(candidate.present) * size <= MOST_DENSE

    def cheap(self, candidate: Candidate) -> bool:
        """Whether a step of Levenberg-Marquardt on this candidate takes milliseconds."""
        samples, size = self.extended.shape
        outputs = self._targets.shape[1]
        cost = step_operations(samples, size, len(candidate.present), outputs)
        return self.dense(candidate) and cost < CHEAP

    def floor(self, candidate: Candidate) -> float:
        """Mean squared error that rounding alone explains for this candidate.

        Each output is a sum of terms, each wrong by a few units in its last place, and so is each
        pre-activation, whose error counts with the slope there; answers that came rounded add
        their own.
        """
        present, inputs = candidate.present, self.extended[:MOST_ROWS]
        network = candidate.network
        values = self.features(network, MOST_ROWS)[:, present]
        slopes = network.activation.slopes(inputs @ network.input_vectors.T)[:, present]
        vectors = network.input_vectors[present]
        wrong = values**2 + slopes**2 * (inputs**2 @ (vectors**2).T)
        weights = candidate.network.layers[1].weight[:, present] ** 2
        size = float(np.mean(wrong @ weights.T)) + float(np.mean(self._targets**2))
        return float(ROUNDING * size + self.noise**2)

    def at_floor(self, candidate: Candidate) -> bool:
        """Whether nothing but rounding is left of the error."""
        return bool(candidate.loss <= AT_FLOOR * self.floor(candidate))

    def removal_costs(self, candidate: Candidate) -> Float[np.ndarray, " neurons"]:
        """Rise of the loss when a neuron is removed and the output weights solved again.

        For least squares it is told without solving anew for each neuron; absent neurons cost
        infinity.
        """
        present = candidate.present
        # As many rows as are needed to tell; whoever removes a neuron solves on all of them.
        count = candidate.width
        rows = max(MOST_ROWS, 8 * (count + self.fixed.shape[1]))
        design, scale = self.design(candidate.network, present, rows)
        weights = candidate.network.layers[1].weight[:, present] * scale[:count]
        costs = np.full(len(present), np.inf)
        costs[present] = np.mean((weights * least_squares.added(design)[:count]) ** 2, axis=0)
        return costs
