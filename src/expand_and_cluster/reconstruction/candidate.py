"""A network under reconstruction: fixed shapes, some neurons absent."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting.levenberg_marquardt import (
    Descent,
    LevenbergMarquardtSettings,
    step_operations,
)
from expand_and_cluster.fitting.normal_equations import Data, prepare
from expand_and_cluster.students.training import TrainingData

# Squared rounding error of one term of a sum, with the few operations that make the term.
ROUNDING = (4.0 * np.finfo(np.float64).eps) ** 2
# Operations of a step that takes some ten milliseconds.
CHEAP = 5e8


@dataclass(frozen=True)
class Candidate:
    """Neurons that may make up the teacher, with their share of the output solved for.

    Widths are padded, so that removing neurons compiles nothing.

    Attributes:
        network: Padded network in standardised coordinates.
        present: Which of its neurons take part.
        loss: Mean squared error over samples and outputs.
    """

    network: Network
    present: Bool[np.ndarray, " neurons"]
    loss: float

    @property
    def width(self) -> int:
        """Number of neurons that take part."""
        return int(self.present.sum())

    def halved(self) -> "Candidate":
        """The same candidate in half the padded width, once it fits: steps cost a quarter."""
        half = len(self.present) // 2
        if half % 4 or self.width > half:
            return self
        order = np.argsort(~self.present, kind="stable")[:half]
        first, last = self.network.layers
        layers = (
            Layer(first.weight[order], first.bias[order]),
            Layer(last.weight[:, order], last.bias),
        )
        return Candidate(self.network.replace(layers=layers), self.present[order], self.loss)

    def compact(self) -> Network:
        """The network of the present neurons alone."""
        first, last = self.network.layers
        kept = self.present
        return self.network.replace(
            layers=(
                Layer(first.weight[kept], first.bias[kept]),
                Layer(last.weight[:, kept], last.bias),
            )
        )


class Workbench:
    """Training pairs laid out once for all candidates of a reconstruction.

    Args:
        data: Standardised pairs.
        activation: Activation of the teacher.
        skip: Whether candidates carry an affine map from input to output.
        noise: Standard deviation of the answers' own rounding, in standardised units: zero for
            double precision.
        deadline: `time.monotonic()` after which descents stop.
    """

    def __init__(
        self,
        data: TrainingData,
        activation: Activation,
        *,
        skip: bool = False,
        noise: float = 0.0,
        deadline: float | None = None,
    ) -> None:
        """Prepare the pairs."""
        self.activation = activation
        self.skip = skip
        self.noise = noise
        self.deadline = deadline
        self.training = data
        self._targets = data.targets
        with double():
            self.data: Data = prepare(data.inputs, data.targets, skip=skip)
        ones = np.ones((len(data.inputs), 1))
        self._fixed = np.concatenate([data.inputs, ones], axis=1) if skip else ones

    def start(
        self, vectors: Float[np.ndarray, "neurons inputs_and_bias"], capacity: int
    ) -> Candidate:
        """Candidate of these input vectors with least-squares output weights."""
        size = vectors.shape[1] - 1
        padded = np.zeros((capacity, size + 1))
        padded[: len(vectors)] = vectors
        layers = (
            Layer(padded[:, :-1], padded[:, -1]),
            Layer(np.zeros((self._targets.shape[1], capacity)), np.zeros(self._targets.shape[1])),
        )
        present = np.arange(capacity) < len(vectors)
        return self.solve_outputs(Network(layers, self.activation), present)

    @staticmethod
    def as_candidate(network: Network) -> Candidate:
        """A finished network, to be asked for its floor."""
        return Candidate(network, np.ones(network.hidden_widths[0], bool), float("nan"))

    def features(self, network: Network) -> Float[np.ndarray, "samples neurons"]:
        """Activations of all neurons on the training inputs."""
        with double():
            vectors = jnp.asarray(network.input_vectors)
            return np.asarray(_activate(vectors, self.data.inputs, self.activation))

    def solve_outputs(self, network: Network, present: Bool[np.ndarray, " neurons"]) -> Candidate:
        """The network with least-squares output weights, bias and skip."""
        design = np.concatenate([self.features(network)[:, present], self._fixed], axis=1)
        scale = np.linalg.norm(design, axis=0)
        scale[scale == 0] = 1.0
        solution = np.linalg.lstsq(design / scale, self._targets, rcond=1e-14)[0] / scale[:, None]
        weights = np.zeros((self._targets.shape[1], len(present)))
        count = int(present.sum())
        weights[:, present] = solution[:count].T
        skip = None
        if self.skip:
            skip = Layer(solution[count:-1].T, np.zeros(self._targets.shape[1]))
        solved = network.replace(
            layers=(network.layers[0], Layer(weights, solution[-1])), skip=skip
        )
        loss = float(np.mean((design @ solution - self._targets) ** 2))
        return Candidate(solved, present.copy(), loss)

    def polish(
        self, candidate: Candidate, *, steps: int = 200, damping: float = 1e-4, patience: int = 40
    ) -> Candidate:
        """Levenberg-Marquardt on all weights until rounding, a stall or the last step.

        Where steps are cheap, long valleys are followed; where they are not, a start that does not
        converge within a few steps is not worth more of them.
        """
        if not self.cheap(candidate):
            patience = min(patience, 12)
        settings = LevenbergMarquardtSettings(
            steps=steps,
            target=self.floor(candidate),
            damping=damping,
            patience=patience,
        )
        with double():
            descent = Descent(
                candidate.network, self.data, settings, self.deadline, present=candidate.present
            )
            for _ in descent.run():
                pass
            if not np.isfinite(descent.loss) or descent.loss >= candidate.loss:
                return candidate
            return Candidate(descent.padded(), candidate.present, descent.loss)

    def cheap(self, candidate: Candidate) -> bool:
        """Whether a step of Levenberg-Marquardt on this candidate takes milliseconds."""
        samples, size = self.data.inputs.shape
        outputs = self._targets.shape[1]
        return step_operations(samples, size, len(candidate.present), outputs) < CHEAP

    def floor(self, candidate: Candidate) -> float:
        """Mean squared error that rounding alone explains for this candidate.

        Each output is a sum of terms, each wrong by a few units in its last place; answers that
        came rounded add their own.
        """
        terms = self.features(candidate.network)[:, candidate.present] ** 2
        weights = candidate.network.layers[1].weight[:, candidate.present] ** 2
        size = float(np.mean(terms @ weights.T)) + float(np.mean(self._targets**2))
        return float(ROUNDING * size + self.noise**2)

    def at_floor(self, candidate: Candidate) -> bool:
        """Whether nothing but rounding is left of the error."""
        return bool(candidate.loss <= 10.0 * self.floor(candidate))

    def removal_costs(self, candidate: Candidate) -> Float[np.ndarray, " neurons"]:
        """Rise of the loss when a neuron is removed and the output weights solved again.

        For least squares it is `a_k**2 / inverse_gram_kk`, without solving anew for each neuron;
        absent neurons cost infinity.
        """
        present = candidate.present
        design = np.concatenate([self.features(candidate.network)[:, present], self._fixed], axis=1)
        scale = np.linalg.norm(design, axis=0) / np.sqrt(len(design))
        scale[scale == 0] = 1.0
        # Singular values of the design itself: its Gram matrix would lose the half of the digits
        # by which a neuron that the others span exactly is told from one that they nearly span.
        unit = design / scale / np.sqrt(len(design))
        _, values, right = np.linalg.svd(np.linalg.qr(unit, mode="r"))
        least = np.finfo(np.float64).eps * values[0]
        inverse = ((right.T / np.maximum(values, least)) ** 2).sum(axis=1)
        count = int(present.sum())
        weights = candidate.network.layers[1].weight[:, present] * scale[:count]
        # A neuron that the others span exactly has an unbounded inverse; capped, its cost comes
        # out as what rounding makes of zero.
        costs = np.full(len(present), np.inf)
        costs[present] = np.mean(weights**2, axis=0) / inverse[:count]
        return costs


@jax.jit(static_argnames=("activation",))
def _activate(
    vectors: Float[Array, "neurons inputs"],
    inputs: Float[Array, "samples inputs"],
    activation: Activation,
) -> Float[Array, "samples neurons"]:
    return activation.function(inputs @ vectors.T)
