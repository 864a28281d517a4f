"""Gauss-Newton without a matrix on all weights of a network of any depth.

For networks of tens of thousands of weights, whose normal equations no machine keeps. A step is
damped, solved by preconditioned conjugate gradients in single precision, and judged in double
precision; damping follows the gain ratio (Nielsen 1999; Nocedal & Wright 2006, chapter 10).
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
from expand_and_cluster.fitting.deep_products import (
    DeepPoint,
    evaluate_deep,
    factors_at,
    solve_deep_step,
    spectrum,
)
from expand_and_cluster.fitting.gauss_newton import (
    EASE,
    LEAST_DAMPING,
    MOST_DAMPING,
    MOST_ITERATIONS,
)
from expand_and_cluster.fitting.result import StopReason

# Rows of one block: what is computed of them at once fits the caches.
BLOCK = 2000


@dataclass(frozen=True)
class DeepGaussNewtonSettings:
    """When to stop and how to damp.

    Attributes:
        steps: Most steps.
        iterations: Most iterations of conjugate gradients in a step; twice as many in the next one
            where a step was cut short and its model held.
        most_iterations: What these grow to.
        target: Mean squared error at which to stop.
        damping: First damping, in units of the mean diagonal of the matrix.
        tolerance: Residual of a step's linear system, relative to the first, at which it is solved.
        progress: A step that lowers the loss by a smaller share has stalled.
    """

    steps: int = 30
    iterations: int = 300
    most_iterations: int = MOST_ITERATIONS
    target: float = 0.0
    damping: float = 1e-4
    tolerance: float = 1e-3
    progress: float = 0.02


class DeepPairs:
    """All pairs in blocks, in both precisions, and the spectrum of their inputs.

    Args:
        inputs: Standardised inputs.
        targets: Standardised outputs.
    """

    def __init__(
        self,
        inputs: Float[np.ndarray, "samples inputs"],
        targets: Float[np.ndarray, "samples outputs"],
    ) -> None:
        """Lay the pairs out."""
        samples = len(inputs)
        blocks = -(-samples // BLOCK)
        rows = -(-samples // blocks)

        def laid(values: np.ndarray) -> np.ndarray:
            filled = np.zeros((blocks * rows, *values.shape[1:]))
            filled[:samples] = values
            return filled.reshape(blocks, rows, *values.shape[1:])

        extended = np.concatenate([inputs, np.ones((samples, 1))], axis=1)
        weights = laid(np.full(samples, 1.0 / samples))
        with double():
            self.double = DeepData(
                jnp.asarray(laid(extended)), jnp.asarray(laid(targets)), jnp.asarray(weights)
            )
            self.single = jax.tree.map(lambda part: part.astype(jnp.float32), self.double)
            values, vectors = spectrum(jnp.asarray(extended.T @ extended / samples))
            self.spectrum = (values.astype(jnp.float32), vectors.astype(jnp.float32))


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
            self._point = _evaluated(self._parameters, pairs.double, network.activation)
        self.step, self.iterations, self._pace = 0, 0, 0.0
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
            before = self.loss
            accepted = self._advance()
            yield
            stalled = accepted and self.loss > (1.0 - chosen.progress) * before
            if stalled or (not accepted and self._damping > MOST_DAMPING):
                self.stop = StopReason.STALLED
                return

    def network(self) -> Network:
        """The network as it stands."""
        return deep_network(self._parameters, self._like)

    def _advance(self) -> bool:
        """Solve for one step and take it if the loss falls."""
        activation = self._like.activation
        with double():
            began = time.monotonic()
            move, predicted, taken = _step(
                self._parameters,
                self._point,
                self._pairs.single,
                self._pairs.spectrum,
                jnp.float32(self._damping),
                jnp.float32(self.settings.tolerance),
                jnp.asarray(self._in_time()),
            )
            moved = jax.tree.map(lambda a, b: a + b.astype(a.dtype), self._parameters, move)
            point = _evaluated(moved, self._pairs.double, activation)
            loss = float(point.loss) / self._outputs
        self.step += 1
        self.iterations += int(taken)
        if self.step > 1 or int(taken) > 1:
            self._pace = (time.monotonic() - began) / max(int(taken), 1)
        expected = max(float(predicted) / self._outputs, np.finfo(np.float64).tiny)
        gain = (self.loss - loss) / expected
        accepted = bool(loss < self.loss)
        if accepted:
            if gain > 0.75 and int(taken) >= self._most:
                self._most = min(2 * self._most, max(self.settings.most_iterations, self._most))
            self._parameters, self._point, self.loss = moved, point, loss
            if gain > 0.75:
                self._damping = max(self._damping / EASE, LEAST_DAMPING)
            elif gain < 0.25:
                self._damping *= 4.0
        else:
            self._damping *= 10.0
        self.history.append((self.step, self.loss))
        return accepted

    def _in_time(self) -> int:
        """Most iterations of the next step, as far as the deadline leaves time for them."""
        most = self._most
        if self._deadline is None or self._pace == 0.0:
            return most
        left = (self._deadline - time.monotonic()) / self._pace
        return int(np.clip(left, 10, most))


@partial(jax.jit, static_argnames="activation")
def _evaluated(parameters: DeepParameters, data: DeepData, activation: Activation) -> DeepPoint:
    return evaluate_deep(parameters, data, activation)


@jax.jit
def _step(
    parameters: DeepParameters,
    point: DeepPoint,
    data: DeepData,
    inputs: tuple[Array, Array],
    damping: Float[Array, ""],
    tolerance: Float[Array, ""],
    iterations: Array,
) -> tuple[DeepParameters, Float[Array, ""], Array]:
    """One step, everything in the precision of the data."""
    single = jax.tree.map(lambda part: part.astype(data.inputs.dtype), (parameters, point))
    factors = factors_at(single[0], single[1], data, inputs)
    # The mean diagonal of the matrix: traces of the Kronecker factors multiply.
    sizes = [
        jnp.sum(below[0]) * jnp.sum(above[0])
        for below, above in zip(factors.fed, factors.slopes, strict=True)
    ]
    count = sum(leaf.size for leaf in jax.tree.leaves(parameters))
    mean = jax.tree.reduce(jnp.add, sizes) / count
    return solve_deep_step(
        single[0], single[1], data, factors, single[1].gradient, damping * mean, tolerance,
        iterations,
    )  # fmt: skip
