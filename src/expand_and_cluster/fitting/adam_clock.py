"""How far a first-order fit is, by its steps or by the clock, and in what order samples come."""

import time

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from expand_and_cluster.fitting.adam_program import Knobs, Plan

SECONDS_PER_CALL = 0.5
EVALUATIONS = 100  # on all pairs, at most, evenly over the epochs
UNKNOWN = 1 << 30  # epochs of a fit by the clock before its pace is measured
ORDERS_KEPT = 1 << 20  # sample numbers handed to one call: several epochs if samples are few


class Clock:
    """When to stop, and how far a schedule that the clock moves has come.

    Args:
        seconds: Time for the fit from now on, or None for a schedule that counts steps.
        deadline: Value of `time.monotonic()` after which to stop.
    """

    def __init__(self, seconds: float | None, deadline: float | None) -> None:
        self.moves_schedule = seconds is not None
        self._own_end = np.inf if seconds is None else time.monotonic() + seconds
        self._end = min(self._own_end, np.inf if deadline is None else deadline)
        self._steps: list[tuple[float, int]] = []  # after the first call, and now

    def left(self) -> float:
        """Seconds for the next call."""
        return min(SECONDS_PER_CALL, self._end - time.monotonic())

    def schedule_is_over(self) -> bool:
        """Whether the time that the settings gave was used, not cut by the deadline."""
        return self.moves_schedule and time.monotonic() >= self._own_end

    def record(self, step: int) -> None:
        """Note the step that a call reached."""
        self._steps = [*self._steps[:1], (time.monotonic(), step)]

    def moved(self, knobs: Knobs, plan: Plan) -> Knobs:
        """The knobs for the next call: the share of time that is over is the progress."""
        # The first call compiles: time begins after it, and only the second shows the pace.
        if not self.moves_schedule or len(self._steps) < 2:
            return knobs
        (began, first), (now, step) = self._steps[0], self._steps[-1]
        whole = max(self._end - began, 1e-9)
        steps = max((step - first) * whole / (now - began), 1.0)
        epochs = max(1, int(min(first + steps, UNKNOWN) / plan.batches))
        return knobs._replace(
            progress=jnp.float32((now - began) / whole),
            since=jnp.int32(step),
            pace=jnp.float32(1 / steps),
            epochs=jnp.int32(epochs),
            interval=jnp.int32(interval(epochs)),
        )


def interval(epochs: int) -> int:
    """Epochs from one evaluation to the next.

    An evaluation costs half of an epoch: no more often than every fifth, unless they are few.
    """
    return max(-(-epochs // EVALUATIONS), min(5, -(-epochs // 20)))


class Orders:
    """The order of the samples in every epoch, from the seed and the epoch alone."""

    def __init__(self, seed: int, samples: int) -> None:
        self.seed, self.samples = seed, samples
        self.epochs = max(1, min(64, ORDERS_KEPT // samples))
        self.first = -1
        self.rows = np.zeros((0, samples), dtype=np.int32)

    def around(self, epoch: int) -> tuple[int, Int[np.ndarray, "epochs samples"]]:
        """The first epoch of the group that holds `epoch`, and the orders of that group."""
        first = epoch // self.epochs * self.epochs
        if first != self.first:
            epochs = range(first, first + self.epochs)
            generators = [np.random.default_rng((self.seed, e)) for e in epochs]
            orders = [generator.permutation(self.samples) for generator in generators]
            self.first, self.rows = first, np.array(orders, dtype=np.int32)
        return self.first, self.rows
