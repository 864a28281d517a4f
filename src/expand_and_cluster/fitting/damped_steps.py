"""Levenberg-Marquardt steps for any model that can assemble and solve its normal equations."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.fitting.result import StopReason


@dataclass(frozen=True)
class LevenbergMarquardtSettings:
    """Settings of Levenberg-Marquardt.

    Attributes:
        steps: Most steps for one student.
        target: Mean squared error at which a student is finished.
        damping: First damping, in units of the squared targets' scale.
        ridge: Relative ridge on the Gram matrix of the output features.
        patience: Steps over which the loss must fall by `progress`, or the student has stalled.
        progress: Least relative fall of the loss over `patience` steps.
    """

    steps: int = 300
    target: float = 1e-28
    damping: float = 1e-2
    ridge: float = 1e-13
    patience: int = 40
    progress: float = 0.2


# Work of one compiled call, so that progress, deadlines and Ctrl-C are looked at about once a
# second; a function of the shapes alone, because results must not depend on the clock.
CALL_OPERATIONS = 3e10
LONGEST_CALL = 25
# Damping between which steps are looked for: beyond, none in double precision can descend.
LEAST_DAMPING, MOST_DAMPING = 1e-18, 1e10


def steps_in_call(operations: float) -> int:
    """Steps of one compiled call, from the floating-point operations of a step."""
    return int(np.clip(CALL_OPERATIONS / operations, 1, LONGEST_CALL))


@runtime_checkable
class Model(Protocol):
    """What steps are taken on; frozen, so that one program serves all that are equal.

    Losses are squared errors summed over outputs, mean over samples.
    """

    def loss(self, parameters: Any, masks: Any, data: Any) -> Array:
        """Loss at these weights."""
        ...

    def assemble(self, parameters: Any, masks: Any, data: Any) -> Any:
        """Normal equations at these weights, with the loss among them."""
        ...

    def solve(self, parameters: Any, equations: Any, damping: Array) -> tuple[Any, Array]:
        """Moved weights, and the decrease of the loss that the quadratic model predicts."""
        ...


class DampedSteps:
    """The descent of one network, call by call; in double precision.

    Args:
        model: What is descended on.
        parameters: Where to start.
        masks: What takes part and may move.
        data: Training set in the model's form.
        settings: When to stop and how to damp.
        outputs: Number of outputs, by which losses are divided.
        call: Steps of one call.
        deadline: `time.monotonic()` after which to stop.
        compiled: Whether a call is one compiled program; not for a model that assembles its
            equations outside of one.
    """

    def __init__(
        self,
        model: Model,
        parameters: Any,
        masks: Any,
        data: Any,
        settings: LevenbergMarquardtSettings,
        *,
        outputs: int,
        call: int,
        deadline: float | None = None,
        compiled: bool = True,
    ) -> None:
        """Remember; nothing is computed yet."""
        self.parameters = parameters
        self.step = 0
        self.loss = float("nan")
        self.history: list[tuple[int, float]] = []
        self.stop = StopReason.STEPS
        self._model, self._masks, self._data = model, masks, data
        self._settings = settings
        self._outputs = outputs
        self._call = call
        self._deadline = deadline
        self._assemble = partial(_assemble, model=model) if compiled else model.assemble
        self._descend = _descend if compiled else _descend_by_steps
        self._damping = jnp.asarray(settings.damping)
        self._growth = jnp.asarray(2.0)

    def run(self) -> Iterator[None]:
        """Descend until a reason to stop; yields after every call."""
        chosen = self._settings
        equations = self._assemble(self.parameters, self._masks, self._data)
        while True:
            wanted = min(self._call, chosen.steps - self.step)
            self.parameters, equations, self._damping, self._growth, taken = self._descend(
                self.parameters,
                equations,
                self._damping,
                self._growth,
                self._masks,
                self._data,
                jnp.asarray(wanted),
                jnp.asarray(chosen.target * self._outputs),
                self._model,
            )
            self.step += int(taken)
            self.loss = float(equations.loss) / self._outputs
            self.history.append((self.step, self.loss))
            yield
            reason = self._reason(int(taken) < wanted)
            if reason is not None:
                self.stop = reason
                return

    def _reason(self, cut_short: bool) -> StopReason | None:
        chosen = self._settings
        if not np.isfinite(self.loss):
            return StopReason.DIVERGED
        if self.loss <= chosen.target:
            return StopReason.TARGET
        if cut_short or self._stalled() or self._settled():
            return StopReason.STALLED
        if self.step >= chosen.steps:
            return StopReason.STEPS
        if is_over(self._deadline):
            return StopReason.TIME
        return None

    def _settled(self) -> bool:
        """Within sight of the target, where rounding decides, and no longer halving."""
        last = [value for _, value in self.history[-2:]]
        return (
            self.loss <= 100.0 * self._settings.target
            and len(last) == 2
            and 2.0 * last[1] > last[0]
        )

    def _stalled(self) -> bool:
        before = [value for at, value in self.history if at <= self.step - self._settings.patience]
        return bool(before) and self.loss > (1.0 - self._settings.progress) * before[-1]


class StepByStep:
    """A descent that damped steps carry out; children arrange the network for them and back."""

    _steps: DampedSteps

    @property
    def step(self) -> int:
        """Steps taken."""
        return self._steps.step

    @property
    def loss(self) -> float:
        """Mean squared error over samples and outputs."""
        return self._steps.loss

    @property
    def history(self) -> list[tuple[int, float]]:
        """Step and loss after every call."""
        return self._steps.history

    @property
    def stop(self) -> StopReason:
        """Why the descent ended."""
        return self._steps.stop

    def run(self) -> Iterator[None]:
        """Descend until a reason to stop; yields after every compiled call."""
        return self._steps.run()


@partial(jax.jit, static_argnames="model")
def _descend(
    parameters: Any,
    equations: Any,
    damping: Array,
    growth: Array,
    masks: Any,
    data: Any,
    steps: Array,
    target: Array,
    model: Model,
) -> tuple[Any, Any, Array, Array, Array]:
    """At most `steps` steps with Nielsen's damping update."""

    def proceed(state):  # noqa: ANN001, ANN202 - a while_loop carry
        _, equations, damping, _, taken = state
        return _goes_on(equations, damping, taken, steps, target)

    def advance(state):  # noqa: ANN001, ANN202 - a while_loop carry
        parameters, equations, damping, growth, taken = state
        moved, accepted, damping, growth = _attempt(
            parameters, equations, damping, growth, masks, data, model
        )
        new = lax.cond(
            accepted,
            lambda: (moved, model.assemble(moved, masks, data)),
            lambda: (parameters, equations),
        )
        return *new, damping, growth, taken + 1

    return lax.while_loop(
        proceed, advance, (parameters, equations, damping, growth, jnp.asarray(0))
    )


def _descend_by_steps(
    parameters: Any,
    equations: Any,
    damping: Array,
    growth: Array,
    masks: Any,
    data: Any,
    steps: Array,
    target: Array,
    model: Model,
) -> tuple[Any, Any, Array, Array, int]:
    """The same, step by step, for a model whose equations no compiled program assembles."""
    taken = 0
    while _goes_on(equations, damping, taken, steps, target):
        moved, accepted, damping, growth = _attempt(
            parameters, equations, damping, growth, masks, data, model
        )
        if accepted:
            parameters, equations = moved, model.assemble(moved, masks, data)
        taken += 1
    return parameters, equations, damping, growth, taken


def _goes_on(
    equations: Any, damping: Array, taken: Array | int, steps: Array, target: Array
) -> Array:
    """Whether to take another step.

    Not at the target, at a loss that is not finite, nor where damping has grown so far that no step
    in double precision can descend.
    """
    return (taken < steps) & (equations.loss > target) & (damping < MOST_DAMPING)


@partial(jax.jit, static_argnames="model")
def _assemble(parameters: Any, masks: Any, data: Any, *, model: Model) -> Any:
    return model.assemble(parameters, masks, data)


@partial(jax.jit, static_argnames="model")
def _attempt(
    parameters: Any,
    equations: Any,
    damping: Array,
    growth: Array,
    masks: Any,
    data: Any,
    model: Model,
) -> tuple[Any, Array, Array, Array]:
    """Moved weights, whether the loss falls with them, and the next damping and its growth."""
    moved, predicted = model.solve(parameters, equations, damping)
    reached = model.loss(moved, masks, data)
    # NaN compares false: a failed factorisation or an overflow is a rejected step.
    accepted = reached < equations.loss
    gain = (equations.loss - reached) / predicted
    shrink = jnp.maximum(0.2, 1.0 - (2.0 * gain - 1.0) ** 3)
    eased, tightened = jnp.maximum(damping * shrink, LEAST_DAMPING), damping * growth
    damping = jnp.where(accepted, eased, tightened)
    return moved, accepted, damping, jnp.where(accepted, 2.0, 2.0 * growth)
