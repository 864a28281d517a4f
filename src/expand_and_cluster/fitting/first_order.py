"""Adam on all students at once, in float32: the way to fit what is too large for Gauss-Newton."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double, placed
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.fitting.adam_clock import EVALUATIONS, UNKNOWN, Clock, Orders, interval
from expand_and_cluster.fitting.adam_program import (
    AT_TARGET,
    DIVERGED,
    ON_PLATEAU,
    RUNNING,
    Knobs,
    Plan,
    State,
    advance,
    start,
)
from expand_and_cluster.fitting.ensemble_error import mean_squared_errors
from expand_and_cluster.fitting.result import Fit, StopReason
from expand_and_cluster.fitting.squared_error import Blocks, in_blocks

_REASONS = {
    AT_TARGET: StopReason.TARGET,
    ON_PLATEAU: StopReason.STALLED,
    DIVERGED: StopReason.DIVERGED,
}


@dataclass(frozen=True)
class AdamSettings:
    """How to train with Adam.

    The paper uses batches of 640 and `schedule="plateau"` with a patience of 100 epochs.

    Attributes:
        learning_rate: Largest learning rate.
        batch_size: Samples in a batch, at most; None means the number of samples over 128, but
            between 64 and 640.
        epochs: Passes through the pairs, at most; None means as many as `steps` allows.
        steps: Batches seen, at most, where `epochs` is None.
        seconds: Time for the whole fit, compiling included, in place of `epochs` and `steps`: the
            clock then moves the schedule, so that the cosine reaches zero when the time is over
            however busy the machine is. The result depends on the machine, and differs from
            run to run. None (default) means that the clock changes nothing.
        schedule: "cosine" lets the learning rate fall to zero over all epochs; "plateau" multiplies
            it by `factor` whenever a student's training loss has not fallen for `patience` epochs.
        patience: Epochs without a fall that make a plateau.
        factor: Between 0 and 1.
        smallest_scale: On a plateau schedule, a student is done when its learning rate is below
            this share of the first.
        target: Mean squared error at which a student is done. Float32 rarely reaches less
            than 1e-12.
        weight_decay: Share of every weight, biases excepted, that is lost for each unit of learning
            rate, beside Adam's step (Loshchilov & Hutter 2019); it falls as the learning rate does.
            Students that could explain their pairs in many ways then find the teacher's way sooner.
        keep: Which weights are a student's result: "best" are those of its lowest loss, "last" the
            last ones, where what it begins with is good and has to get worse first.
    """

    learning_rate: float = 3e-3
    batch_size: int | None = None
    epochs: int | None = None
    steps: int = 40_000
    seconds: float | None = None
    schedule: Literal["cosine", "plateau"] = "cosine"
    patience: int = 100
    factor: float = 0.5
    smallest_scale: float = 1e-4
    target: float = 0.0
    weight_decay: float = 0.0
    keep: Literal["best", "last"] = "best"


def fit_adam(
    students: Network,
    inputs: Float[np.ndarray, "samples inputs"],
    targets: Float[np.ndarray, "samples outputs"],
    *,
    settings: AdamSettings | None = None,
    seed: int = 0,
    report: Reporter = silent,
    stage: str = "train students",
    deadline: float | None = None,
) -> Fit:
    """Train all students of an ensemble together.

    The students share the batches, whose order depends on the seed and the epoch only, so a student
    alone and the same student among others agree within the rounding of float32. Batches are of
    equal size; the few samples that are left over sit out one epoch. How the time was divided into
    calls changes nothing, so without a deadline and without `settings.seconds` the same arguments
    give the same weights.

    Args:
        students: Ensemble of networks at their first weights.
        inputs: Standardised inputs.
        targets: Standardised outputs to imitate.
        settings: Learning rate, batches, schedule and stops; defaults if None.
        seed: Fixes the order of the batches.
        report: Told about progress several times a second.
        stage: Name of this work in the reports.
        deadline: Value of `time.monotonic()` after which to stop. With `settings.seconds`, a
            schedule that would end later is made to end then.

    Returns:
        Each student at the weights of its lowest loss, or at its last ones (`settings.keep`).

    Raises:
        InvalidInputError: A setting makes no sense.

    Source:
        Appendix A.6.3: Adam, batches of 640, learning rate cut after 100 epochs without a fall.
    """
    settings = settings or AdamSettings()
    _check(settings)
    clock = Clock(settings.seconds, deadline)
    samples = len(inputs)
    batches = -(-samples // (settings.batch_size or _batch_size(samples)))
    epochs = settings.epochs or max(1, settings.steps // batches)
    if clock.moves_schedule:
        epochs = UNKNOWN // batches
    plan = Plan(batches, samples // batches, settings.schedule, settings.factor)
    report(Progress(stage, 0, None if clock.moves_schedule else epochs, None, "compiling"))
    with jax.enable_x64(False):
        # Rounded first, so that what is laid out in blocks is small.
        data = jax.device_put(
            in_blocks(inputs.astype(np.float32), targets.astype(np.float32), dtype=np.float32)
        )
        knobs = Knobs(
            jnp.float32(settings.learning_rate),
            jnp.float32(0.0),
            jnp.int32(0),
            jnp.float32(0.0 if clock.moves_schedule else 1 / (epochs * batches)),
            jnp.int32(epochs),
            jnp.int32(interval(epochs)),
            jnp.float32(settings.target),
            jnp.int32(settings.patience),
            jnp.float32(settings.smallest_scale),
            jnp.float32(settings.weight_decay),
        )
        first = jax.tree.map(lambda leaf: placed(leaf, jnp.float32), students)
        state = start(first, data, knobs, plan, EVALUATIONS + 1)
        for reached, paced in _calls(state, data, knobs, plan, Orders(seed, samples), clock):
            state = reached
            losses = np.sqrt(np.asarray(state.recent, dtype=np.float64))
            total = int(paced.epochs) if paced.pace > 0 else None  # as long as it is known
            report(Progress(stage, int(state.step) // batches, total, losses))
    complete = clock.schedule_is_over() or int(state.step) >= epochs * batches
    unfinished = StopReason.STEPS if complete else StopReason.TIME
    return _fit(state, inputs, targets, unfinished, settings.keep)


def _calls(
    state: State, data: Blocks, knobs: Knobs, plan: Plan, orders: Orders, clock: Clock
) -> Iterator[tuple[State, Knobs]]:
    """States after calls of about half a second, so that a user can interrupt between them."""
    step, most = 0, 1
    while np.any(np.asarray(state.codes) == RUNNING):
        began, left = time.monotonic(), clock.left()
        total = UNKNOWN if clock.moves_schedule else int(knobs.epochs) * plan.batches
        if left <= 0 or step >= total:
            return
        knobs = clock.moved(knobs, plan)
        first_epoch, rows = orders.around(step // plan.batches)
        until = min(step + most, total, (first_epoch + len(rows)) * plan.batches)
        before = step
        state = advance(
            state, data, placed(rows), jnp.int32(first_epoch), jnp.int32(until), knobs, plan
        )
        step = int(state.step)  # waits for the result
        rate = (step - before) / (time.monotonic() - began)
        most = int(np.clip(rate * left, 1, 8 * most))
        clock.record(step)
        yield state, knobs


def _batch_size(samples: int) -> int:
    """The batch size when the settings name none: the paper's 640 for many samples, else less.

    At equal computing time, many steps on small batches reached a lower loss than fewer steps on
    large ones, as long as the learning rate falls to zero.
    """
    return int(np.clip(samples // 128, 64, 640))


def _fit(
    state: State,
    inputs: Float[np.ndarray, "samples inputs"],
    targets: Float[np.ndarray, "samples outputs"],
    unfinished: StopReason,
    keep: str,
) -> Fit:
    """Each student at its last weights or the best ones measured, whichever are better.

    Where the last ones are to be kept, the others count only for a student that has diverged.
    """
    evaluations, codes = int(state.evaluations), np.asarray(state.codes)
    points = np.asarray(state.points)[:evaluations]
    chosen = state.best.at_rest()
    with double():
        data = in_blocks(inputs, targets, dtype=np.float64)
        losses = np.array(_losses_of(chosen, data))
        # Otherwise the last weights are the best, or were measured.
        if keep == "last" or points[-1] < int(state.step):
            now = state.students.at_rest()
            losses_now = np.asarray(_losses_of(now, data))
            # False where either is NaN.
            better = losses_now < losses
            if keep == "last":
                better = np.isfinite(losses_now) & (codes != DIVERGED)
            chosen = jax.tree.map(
                lambda a, b: np.where(better.reshape(-1, *[1] * (a.ndim - 1)), a, b), now, chosen
            )
            losses = np.where(better, losses_now, losses)
    losses[codes == DIVERGED] = np.inf
    histories = [
        [
            (int(step), float(loss))
            for step, loss in zip(points, curve, strict=True)
            if np.isfinite(loss)
        ]
        for curve in np.asarray(state.curves, dtype=np.float64)[:evaluations].T
    ]
    stops = [_REASONS.get(int(code), unfinished) for code in codes]
    return Fit.from_histories(chosen, losses.tolist(), histories, stops)


_losses_of = jax.jit(mean_squared_errors)


def _check(settings: AdamSettings) -> None:
    if settings.schedule not in ("cosine", "plateau"):
        raise InvalidInputError(
            f"schedule must be 'cosine' or 'plateau', not {settings.schedule!r}."
        )
    if settings.keep not in ("best", "last"):
        raise InvalidInputError(f"keep must be 'best' or 'last', not {settings.keep!r}.")
    for name in ("learning_rate", "batch_size", "epochs", "steps", "seconds", "patience"):
        value = getattr(settings, name)
        if value is not None and not value > 0:
            raise InvalidInputError(f"{name} must be positive, got {value}.")
    if not settings.weight_decay >= 0:
        raise InvalidInputError(f"weight_decay must not be negative, got {settings.weight_decay}.")
    if not 0 < settings.factor < 1:
        raise InvalidInputError(f"factor must be between 0 and 1, got {settings.factor}.")
