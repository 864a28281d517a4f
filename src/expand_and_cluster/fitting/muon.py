"""Muon: descent by steps whose matrices have all singular values alike, for networks with depth.

Adam scales every weight by itself; a matrix of weights then moves mostly along the few directions
in which gradients are large. Muon takes the momentum of each matrix to the nearest orthogonal one
(five Newton-Schulz iterations), so that all directions move alike. On students of three hidden
layers, and on convolutional ones, it comes in tens of epochs where Adam does not come at all
(`benchmarks/given_layers.py`). Biases are left to Adam.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Float, Int

from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import placed
from expand_and_cluster.fitting.result import StopReason

Student = TypeVar("Student", Network, ConvNetwork)

# Batches in one compiled call: some tenths of a second. Within a loop of batches XLA's convolutions
# are fifteen times slower, so those of convolutional networks are called one by one.
PER_CALL, PER_CALL_CONVOLUTIONAL = 50, 1
# Rows of which outputs are computed at once where a loss over all pairs is wanted.
ROWS = 4096


@dataclass(frozen=True)
class MuonSettings:
    """How to train with Muon.

    Attributes:
        learning_rate: First learning rate, of matrices and of biases; it falls to zero like a
            cosine.
        batch_size: Samples in a batch, at most.
        steps: Batches, rounded to whole calls (of at most 50).
        seconds: Time for the descent, compiling not counted, in place of `steps`: the clock then
            moves the schedule, and the result depends on the machine. None: the clock changes
            nothing.
    """

    learning_rate: float = 5e-3
    batch_size: int = 160
    steps: int = 40_000
    seconds: float | None = None


class MuonData(NamedTuple):
    """Pairs in single precision, on the device.

    Attributes:
        inputs: Standardised inputs.
        targets: Standardised outputs.
    """

    inputs: Float[Array, "samples inputs"]
    targets: Float[Array, "samples outputs"]


def batches_in_call(network: Network | ConvNetwork) -> int:
    """Batches that one compiled call trains a network on."""
    return PER_CALL_CONVOLUTIONAL if isinstance(network, ConvNetwork) else PER_CALL


def on_device(
    inputs: Float[np.ndarray, "samples inputs"], targets: Float[np.ndarray, "samples outputs"]
) -> MuonData:
    """Pairs for descents, shared by all students."""
    return MuonData(placed(inputs, jnp.float32), placed(targets, jnp.float32))


class MuonDescent(Generic[Student]):
    """The descent of one network, call by call, in single precision.

    Args:
        network: Where to start.
        data: The pairs (see `on_device`).
        settings: How to train.
        seed: Fixes the order of the batches, which all students of a seed share.
        deadline: `time.monotonic()` after which to stop.

    Source: Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks, as
        `optax.contrib.muon` implements it.
    """

    def __init__(
        self,
        network: Student,
        data: MuonData,
        settings: MuonSettings,
        seed: int = 0,
        deadline: float | None = None,
    ) -> None:
        """Bring the weights to the device; no step is taken yet."""
        self._like, self._data = network, data
        self.settings = settings
        self._seed, self._deadline = seed, deadline
        samples = len(data.inputs)
        self._rows = min(settings.batch_size, samples)
        call = batches_in_call(network)
        self._calls = max(1, samples // (self._rows * call))
        self._batches = min(call, samples // self._rows)
        self._whole = max(1, settings.steps // self._batches) * self._batches
        self._leaves: Any = jax.tree.map(lambda leaf: placed(leaf, jnp.float32), network)
        self._state = _rule().init(self._leaves)
        self.loss = float(_loss(self._leaves, data))
        self.step = 0
        self.history: list[tuple[int, float]] = [(0, self.loss)]
        self.stop = StopReason.STEPS

    @property
    def total(self) -> int | None:
        """Batches of the whole descent, where the clock does not decide."""
        return self._whole if self.settings.seconds is None else None

    def run(self) -> Iterator[None]:
        """Descend until the schedule is over; yields after every compiled call."""
        began, epoch, progress = 0.0, 0, 0.0
        while progress < 1.0:
            recent: list[float] = []
            for rows in self._order(epoch):
                pace = self._pace(progress)
                self._leaves, self._state, loss = _advance(
                    self._leaves,
                    self._state,
                    self._data,
                    placed(rows),
                    jnp.float32(self.settings.learning_rate),
                    jnp.float32(progress),
                    jnp.float32(pace),
                )
                self.step += self._batches
                self.loss = float(loss)
                recent.append(self.loss)
                if not np.isfinite(self.loss):
                    self.stop = StopReason.DIVERGED
                    return
                yield
                began = began or time.monotonic()  # The first call compiles.
                progress = self._progress(began)
                if progress >= 1.0:
                    break
                if is_over(self._deadline):
                    self.stop = StopReason.TIME
                    self._measure()
                    return
            self.history.append((self.step, float(np.mean(recent))))
            epoch += 1
        self._measure()

    def network(self) -> Student:
        """The network as it stands, in double precision."""
        return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), self._leaves)

    def _measure(self) -> None:
        self.loss = float(_loss(self._leaves, self._data))
        self.history.append((self.step + 1, self.loss))

    def _progress(self, began: float) -> float:
        if self.settings.seconds is not None:
            return (time.monotonic() - began) / self.settings.seconds
        return self.step / self._whole

    def _pace(self, progress: float) -> float:
        """What one batch adds to the progress."""
        if self.settings.seconds is None:
            return 1.0 / self._whole
        return progress / self.step if self.step else 0.0

    def _order(self, epoch: int) -> Iterator[Int[np.ndarray, "batches rows"]]:
        """Rows of every batch, one call after the other; what is left over sits out one epoch."""
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._data.inputs))
        size = self._batches * self._rows
        for call in range(self._calls):
            part = order[call * size : (call + 1) * size].astype(np.int32)
            yield part.reshape(self._batches, self._rows)


@lru_cache
def _rule() -> Any:
    """Muon for matrices and kernels, Adam for biases; the rate is multiplied on later."""
    return optax.contrib.muon(1.0, muon_weight_dimension_numbers=_matrices)


def _matrices(network: Any) -> Any:
    """How every leaf is a matrix: one row for each neuron or channel; None for biases."""

    def one(leaf: Array) -> optax.contrib.MuonDimensionNumbers | None:
        if leaf.ndim < 2:
            return None
        return optax.contrib.MuonDimensionNumbers(tuple(range(1, leaf.ndim)), 0)

    return jax.tree.map(one, network)


@jax.jit
def _advance(
    network: Any,
    state: Any,
    data: MuonData,
    rows: Int[Array, "batches rows"],
    rate: Float[Array, ""],
    progress: Float[Array, ""],
    pace: Float[Array, ""],
) -> tuple[Any, Any, Float[Array, ""]]:
    """One call's batches; the mean of their losses."""

    def one(carry: tuple[Any, Any, Array], batch: Array) -> tuple[tuple[Any, Any, Array], Array]:
        network, state, progress = carry

        def error(network: Any) -> Array:
            return jnp.mean((network.apply(data.inputs[batch]) - data.targets[batch]) ** 2)

        loss, gradient = jax.value_and_grad(error)(network)
        direction, state = _rule().update(gradient, state, network)
        now = rate * 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.minimum(progress, 1.0)))
        moved = jax.tree.map(lambda weight, step: weight + now * step, network, direction)
        return (moved, state, progress + pace), loss

    start = (network, state, progress)
    # One batch needs no loop, not even of one round.
    ended, losses = one(start, rows[0]) if len(rows) == 1 else jax.lax.scan(one, start, rows)
    return ended[0], ended[1], jnp.mean(losses)


def _loss(network: Any, data: MuonData) -> float:
    """Mean squared error over all pairs."""
    total = 0.0
    for start in range(0, len(data.inputs), ROWS):
        part = _squares(
            network, data.inputs[start : start + ROWS], data.targets[start : start + ROWS]
        )
        total += float(part)
    return total / data.targets.size


@jax.jit
def _squares(network: Any, inputs: Array, targets: Array) -> Array:
    return jnp.sum((network.apply(inputs) - targets) ** 2)
