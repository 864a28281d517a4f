"""One neuron fitted to what the others of a network leave, whatever weights these are read by.

For each input vector the output weights of all neurons are those of least squares, so that only its
own weights are searched for (variable projection: Golub and Pereyra, SIAM J. Numer. Anal. 10, 1973;
with the Jacobian of Kaufman, BIT 15, 1975). A step costs what one neuron's normal equations do, and
few are needed.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.ordinary import ordinary
from expand_and_cluster.reconstruction.workbench import MOST_ROWS, Workbench

# Samples that a neuron is fitted to, for every input, where there are more.
SAMPLES = 14
# Steps at most, the share of the error that one leaves where no more are taken, and the damping:
# its first value and what it is changed by.
STEPS, SLOW = 12, 0.99
DAMPING, EASE, TRIES = 1e-3, 4.0, 6
# Least curvature that damping counts with, in units of the mean one: weights from inputs that are
# hardly ever on must not grow for the sake of a few samples.
LEAST = 1e-2


@dataclass(frozen=True)
class Vacancy:
    """A place for one neuron among others, seen along one direction of the outputs.

    Attributes:
        extended: Inputs of some samples, with a one.
        basis: Orthonormal, spans what the others give there.
        left: What they leave of the targets.
        way: That direction, of length one.
        activation: That of the neuron.
    """

    extended: Float[np.ndarray, "samples inputs_and_bias"]
    basis: Float[np.ndarray, "samples others"]
    left: Float[np.ndarray, "samples outputs"]
    way: Float[np.ndarray, " outputs"]
    activation: Activation

    @classmethod
    def of(
        cls,
        bench: Workbench,
        candidate: Candidate,
        others: Bool[np.ndarray, " neurons"],
        way: Float[np.ndarray, " outputs"] | None = None,
    ) -> "Vacancy":
        """What a neuron that the outputs read in this direction finds among the others.

        Without one, it is that in which the others leave most.
        """
        network, size = candidate.network, bench.training.inputs.shape[1] + 1
        few = bench.training.first(max(MOST_ROWS, SAMPLES * size))
        rows = ordinary(network(few.inputs) - few.targets)
        design, _ = bench.design(network, others, len(rows))
        basis, _ = np.linalg.qr(design[rows])
        targets = few.targets[rows]
        left = targets - basis @ (basis.T @ targets)
        along = np.linalg.svd(left, full_matrices=False)[2][0] if way is None else way
        along = along / np.linalg.norm(along)
        extended = bench.extended[: len(rows)][rows]
        return cls(extended, basis, left, along, network.activation)

    @cached_property
    def target(self) -> Float[np.ndarray, " samples"]:
        """What the others leave along the direction."""
        return self.left @ self.way

    def given(
        self, vectors: Float[np.ndarray, "neurons inputs_and_bias"]
    ) -> Float[np.ndarray, "samples neurons"]:
        """What neurons with these input vectors give."""
        return self.activation.values(self.extended @ vectors.T)

    def own(self, given: Float[np.ndarray, "samples ..."]) -> Float[np.ndarray, "samples ..."]:
        """What of it the others cannot make up for."""
        return given - self.basis @ (self.basis.T @ given)

    def errors(
        self, vectors: Float[np.ndarray, "neurons inputs_and_bias"]
    ) -> Float[np.ndarray, " neurons"]:
        """Mean squared error that each neuron leaves by itself."""
        given = self.own(self.given(vectors))
        size = np.maximum(np.sum(given**2, axis=0), np.finfo(float).tiny)
        # What is left itself: a difference of squares would lose half of the digits.
        return np.mean((self.target[:, None] - given * (self.target @ given / size)) ** 2, axis=0)

    def fitted(
        self, vector: Float[np.ndarray, " inputs_and_bias"]
    ) -> tuple[Float[np.ndarray, " inputs_and_bias"], float]:
        """The input vector after Levenberg-Marquardt from here, and the mean squared error."""
        damping = DAMPING
        error = float(self.errors(vector[None])[0])
        for _ in range(STEPS):
            gram, pull = self._normal_equations(vector)
            if not np.any(pull):
                break
            curvature = np.diagonal(gram)
            hold = np.maximum(curvature, LEAST * curvature.mean())
            before = error
            for _ in range(TRIES):
                moved = vector + np.linalg.solve(gram + np.diag(damping * hold), pull)
                left = float(self.errors(moved[None])[0])
                if left < error:
                    vector, error, damping = moved, left, damping / EASE
                    break
                damping *= EASE
            if not error <= SLOW * before:
                break
        return vector, error

    def _normal_equations(
        self, vector: Float[np.ndarray, " inputs_and_bias"]
    ) -> tuple[Float[np.ndarray, "unknowns unknowns"], Float[np.ndarray, " unknowns"]]:
        """Those of a change of the vector, with the weights that it is read by eliminated."""
        values = self.extended @ vector
        given = self.own(self.activation.values(values))
        size = max(np.linalg.norm(given), np.finfo(float).tiny)
        given /= size
        read = self.target @ given
        slopes = self.activation.slopes(values) * (read / size)
        slopes = self.extended * slopes[:, None]
        # What is left is orthogonal to all of these, so that only the moments have to be freed of
        # what they make up for.
        matched = np.column_stack([self.basis, given]).T @ slopes
        pull = slopes.T @ (self.target - read * given)
        return slopes.T @ slopes - matched.T @ matched, pull
