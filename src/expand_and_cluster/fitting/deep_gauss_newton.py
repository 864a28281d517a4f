"""Gauss-Newton without a matrix on all weights of a network of any depth.

For networks of tens of thousands of weights, whose normal equations no machine keeps. A step is
damped, solved by preconditioned conjugate gradients in single precision, and judged in double
precision, with the last layer solved for. What a preconditioner costs it costs once for a step, so
that several dampings are tried until the model holds (Nocedal & Wright 2006, chapter 10).

A few samples that nothing else in the data is like (images with a pixel that hardly any other has)
move far before anything fits them, and hold up all others. Where samples far off count less
(`DeepGaussNewtonSettings.robust`), the rest comes first; an exact solution is one for any weights.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting.deep_equations import (
    DeepData,
    DeepParameters,
    deep_network,
    deep_parameters,
)
from expand_and_cluster.fitting.deep_pairs import DeepPairs
from expand_and_cluster.fitting.deep_products import DeepPoint, solve_deep_step, solve_outputs
from expand_and_cluster.fitting.gauss_newton import (
    FAR,
    LEAST_DAMPING,
    MOST_DAMPING,
    MOST_ITERATIONS,
)
from expand_and_cluster.fitting.neuron_blocks import NeuronMoments, damped, neuron_moments
from expand_and_cluster.fitting.projection import cauchy_weights
from expand_and_cluster.fitting.result import StopReason

# Dampings that are tried for a step, how much each is above the one before, and the share of the
# predicted decrease from which no other is tried.
TRIES, HARDER, HELD = 6, 5.0, 0.5
# Steps in a row that have to gain next to nothing for a descent to have stalled.
PATIENCE = 2


@dataclass(frozen=True)
class DeepGaussNewtonSettings:
    """When to stop and how to damp.

    Attributes:
        steps: Most steps.
        iterations: Most iterations of conjugate gradients for the first step; twice as many for
            the next one where a step was cut short and its model held.
        most_iterations: What these grow to.
        target: Mean squared error at which to stop.
        damping: First damping, in units of the mean diagonal of the matrix.
        tolerance: Residual of a step's linear system, relative to the first, at which it is solved.
        progress: Two steps in a row that each lower the loss by a smaller share have stalled.
        robust: Share of the samples whose errors are ordinary; one whose error is far beyond
            theirs counts less, by weights chosen anew for every step, and the loss is the weighted
            one. None: all samples count alike.
    """

    steps: int = 30
    iterations: int = 100
    most_iterations: int = MOST_ITERATIONS
    target: float = 0.0
    damping: float = 1e-5
    tolerance: float = 1e-3
    progress: float = 0.02
    robust: float | None = None


class DeepGaussNewton:
    """The descent of one network, step by step.

    Args:
        network: Where to start.
        pairs: All pairs.
        settings: When to stop and how to damp.
        deadline: `time.monotonic()` after which to stop.
    """

    def __init__(
        self,
        network: Network,
        pairs: DeepPairs,
        settings: DeepGaussNewtonSettings | None = None,
        deadline: float | None = None,
    ) -> None:
        """Evaluate the network; no step is taken yet."""
        self._like, self._pairs = network, pairs
        self.settings = settings or DeepGaussNewtonSettings()
        self._deadline, self._damping = deadline, self.settings.damping
        self._outputs = network.output_size
        with double():
            self._parameters = deep_parameters(network)
            self._parameters, self._point = _evaluated(
                self._parameters, pairs.double, network.activation
            )
        self._data = pairs.double, pairs.single
        self.step, self.iterations, self._pace, self._slow = 0, 0, 0.0, 0
        self._taken = 0
        self._most = self.settings.iterations
        self.loss = float(self._point.loss) / self._outputs
        self.history: list[tuple[int, float]] = [(0, self.loss)]
        self.stop = StopReason.STEPS

    def run(self) -> Iterator[None]:
        """Descend until a reason to stop; yields after every step."""
        chosen = self.settings
        while self.step < chosen.steps:
            if not np.isfinite(self.loss):
                self.stop = StopReason.DIVERGED
                return
            if self.loss <= chosen.target:
                self.stop = StopReason.TARGET
                return
            if is_over(self._deadline):
                self.stop = StopReason.TIME
                return
            if chosen.robust is not None:
                self._weigh(chosen.robust)
            before = self.loss
            accepted = self._advance()
            yield
            small = self.loss > (1.0 - chosen.progress) * before
            self._slow = self._slow + 1 if small else 0
            if self._slow >= PATIENCE or (not accepted and self._damping > MOST_DAMPING):
                self.stop = StopReason.STALLED
                return

    @property
    def damping(self) -> float:
        """Damping of the next step, in units of the mean diagonal of the matrix."""
        return self._damping

    def network(self) -> Network:
        """The network as it stands."""
        return deep_network(self._parameters, self._like)

    def _weigh(self, ordinary: float) -> None:
        """Let samples with large errors count less in the next step."""
        whole, activation = self._pairs.double, self._like.activation
        with double():
            weights = _weights(self._parameters, self._point, whole, jnp.asarray(ordinary))
            self._data = (
                whole._replace(weights=weights),
                self._pairs.single._replace(weights=weights.astype(jnp.float32)),
            )
            self._parameters, self._point = _evaluated(self._parameters, self._data[0], activation)
        self.loss = float(self._point.loss) / self._outputs

    def _advance(self) -> bool:
        """Solve for a step, with more damping until its model holds; take the best if there is one.

        Returns:
            Whether there is one.
        """
        best: tuple[float, DeepParameters, DeepPoint, float, float] | None = None
        worse = 0
        with double():
            single = jax.tree.map(
                lambda part: part.astype(jnp.float32), (self._parameters, self._point)
            )
            shaped, there = single
            moments = _shape(shaped, there.fed, there.slopes, self._data[1], self._pairs.spectrum)
            for _ in range(TRIES):
                parameters, point, gain = self._tried(single, moments)
                loss = float(point.loss) / self._outputs
                if loss < (self.loss if best is None else best[0]):
                    best, worse = (loss, parameters, point, self._damping, gain), 0
                elif best is not None:
                    worse += 1
                if (best is not None and gain > HELD) or worse == 2 or is_over(self._deadline):
                    break
                self._damping *= HARDER
        self.step += 1
        if best is not None:
            self.loss, self._parameters, self._point, self._damping, gain = best
            if gain > HELD:
                self._damping = max(self._damping / HARDER, LEAST_DAMPING)
                if self._taken >= self._most:
                    most = max(self.settings.most_iterations, self._most)
                    self._most = min(2 * self._most, most)
        self.history.append((self.step, self.loss))
        return best is not None

    def _tried(
        self,
        single: tuple[DeepParameters, DeepPoint],
        moments: NeuronMoments,
    ) -> tuple[DeepParameters, DeepPoint, float]:
        """Where a step leads, and the share of the predicted decrease that it brings."""
        began = time.monotonic()
        move, predicted, taken = _step(
            *single,
            self._data[1],
            moments,
            jnp.float32(self._damping) * moments.mean,
            jnp.float32(self.settings.tolerance),
            jnp.asarray(self._in_time()),
        )
        moved = jax.tree.map(lambda a, b: a + b.astype(a.dtype), self._parameters, move)
        moved, point = _evaluated(moved, self._data[0], self._like.activation)
        left = float(point.loss)
        self._taken = int(taken)
        self.iterations += self._taken
        if int(taken) > 1:
            self._pace = (time.monotonic() - began) / int(taken)
        # Single precision may predict nothing, or less.
        expected = max(float(predicted), float(np.finfo(np.float32).eps) * self.loss)
        return moved, point, (self.loss * self._outputs - left) / expected

    def _in_time(self) -> int:
        """Most iterations of the next step, as far as the deadline leaves time for them."""
        if self._deadline is None or self._pace == 0.0:
            return self._most
        left = (self._deadline - time.monotonic()) / self._pace
        return int(np.clip(left, min(10, self._most), self._most))


@partial(jax.jit, static_argnames="activation")
def _evaluated(
    parameters: DeepParameters, data: DeepData, activation: Activation
) -> tuple[DeepParameters, DeepPoint]:
    return solve_outputs(parameters, data, activation)


@jax.jit
def _weights(
    parameters: DeepParameters, point: DeepPoint, data: DeepData, ordinary: Float[Array, ""]
) -> Float[Array, "blocks rows"]:
    residual = point.fed[-1] @ parameters.outputs.T - data.targets
    return cauchy_weights(residual, data.weights, ordinary, jnp.asarray(FAR))


_shape = jax.jit(neuron_moments)


@jax.jit
def _step(
    parameters: DeepParameters,
    point: DeepPoint,
    data: DeepData,
    moments: NeuronMoments,
    damping: Float[Array, ""],
    tolerance: Float[Array, ""],
    iterations: Array,
) -> tuple[DeepParameters, Float[Array, ""], Array]:
    precondition = damped(moments, damping).solve
    return solve_deep_step(parameters, point, data, precondition, damping, tolerance, iterations)
