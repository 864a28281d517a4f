"""Levenberg-Marquardt for many small students at once, each on its own.

Every student is fitted by one compiled program in double precision, and students run on threads,
one on each core. Nothing is batched across students: a rejected step costs no Gram matrix, a
student that stopped costs nothing, a NaN stays where it was born, and student 3 of 10 takes
exactly the steps that student 3 alone would take. On two cores this is also faster than one
program for all students (`benchmarks/levenberg_marquardt.py`).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.fitting.memory import Finished, Memory
from expand_and_cluster.fitting.normal_equations import (
    Data,
    Masks,
    Parameters,
    assemble,
    loss,
    network_of,
    parameters_of,
    prepare,
    solve,
)
from expand_and_cluster.fitting.parallel import run_on_threads
from expand_and_cluster.fitting.result import Fit, StopReason

# Work of one compiled call, so that progress, deadlines and Ctrl-C are looked at about once a
# second; a function of the shapes alone, because results must not depend on the clock.
CALL_OPERATIONS = 1.5e10
LONGEST_CALL = 25


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


def fit_levenberg_marquardt(
    students: Network,
    inputs: Float[np.ndarray, "samples inputs"],
    targets: Float[np.ndarray, "samples outputs"],
    *,
    settings: LevenbergMarquardtSettings | None = None,
    seed: int = 0,
    report: Reporter = silent,
    stage: str = "train students",
    deadline: float | None = None,
    memory: Memory | None = None,
) -> Fit:
    """Fit one-hidden-layer students by Levenberg-Marquardt in float64.

    Args:
        students: Ensemble of initial students.
        inputs: Training inputs, centred and of variance about one.
        targets: Training targets, of variance about one.
        settings: Settings; defaults if None.
        seed: Unused, for all data take part in every step; present in every way of fitting.
        report: Receives the losses of all students after every call.
        stage: Name of the work in these reports.
        deadline: `time.monotonic()` after which students stop where they are.
        memory: Keeps every student as it finishes; those it has already are not trained again.
    """
    del seed
    chosen = settings or LevenbergMarquardtSettings()
    with double():
        data = prepare(inputs, targets, skip=students.skip is not None)
    count = students.students or 0
    current = np.full(count, np.nan)

    def one(index: int, stop: Event) -> Finished:
        known = None if memory is None else memory.load(index)
        if known is not None:
            current[index] = np.sqrt(known.loss)
            return known
        with double():
            descent = Descent(students.student(index), data, chosen, deadline)
            for _ in descent.run():
                current[index] = np.sqrt(descent.loss)
                report(Progress(stage, descent.step, chosen.steps, current.copy()))
                if stop.is_set():
                    break
            student = Finished(descent.network(), descent.loss, descent.history, descent.stop)
        if memory is not None and not stop.is_set():
            memory.save(index, student)
        return student

    results = run_on_threads(one, count)
    networks, losses, histories, stops = zip(*results, strict=True)
    return Fit.from_histories(Network.stack(networks), list(losses), list(histories), list(stops))


class Descent:
    """The descent of one network, call by call.

    Args:
        network: Where to start.
        data: Prepared training set (see `prepare`), in double precision.
        settings: When to stop and how to damp.
        deadline: `time.monotonic()` after which to stop.
        present: Neurons that take part (all if None); an absent neuron costs its share of time
            but no new program.
        free: Neurons whose input vectors may move (all if None).
    """

    def __init__(
        self,
        network: Network,
        data: Data,
        settings: LevenbergMarquardtSettings,
        deadline: float | None = None,
        *,
        present: Sequence[bool] | np.ndarray | None = None,
        free: Sequence[bool] | np.ndarray | None = None,
    ) -> None:
        """Arrange the network for the solver; nothing is computed yet."""
        width = network.hidden_widths[0]
        self._activation = network.activation
        self._data = data
        self._settings = settings
        self._deadline = deadline
        self._present = np.ones(width, bool) if present is None else np.asarray(present, bool)
        mobile = np.ones(width, bool) if free is None else np.asarray(free, bool)
        self._masks = Masks(
            jnp.asarray(self._present, dtype=np.float64), jnp.asarray(mobile, dtype=np.float64)
        )
        self._parameters = parameters_of(network)
        self._damping = jnp.asarray(settings.damping)
        self._growth = jnp.asarray(2.0)
        self._outputs = data.targets.shape[0]
        self._call = steps_per_call(
            data.targets.shape[1], self._parameters.inputs.shape[1], width, self._outputs
        )
        self.step = 0
        self.loss = float("nan")
        self.history: list[tuple[int, float]] = []
        self.stop = StopReason.STEPS

    def run(self) -> Iterator[None]:
        """Descend until a reason to stop; yields after every compiled call."""
        chosen = self._settings
        while True:
            wanted = min(self._call, chosen.steps - self.step)
            self._parameters, self._damping, self._growth, value, taken = _descend(
                self._parameters,
                self._damping,
                self._growth,
                self._masks,
                self._data,
                jnp.asarray(wanted),
                jnp.asarray(chosen.target * self._outputs),
                self._activation,
                chosen.ridge,
            )
            self.step += int(taken)
            self.loss = float(value) / self._outputs
            self.history.append((self.step, self.loss))
            yield
            reason = self._reason(int(taken) < wanted)
            if reason is not None:
                self.stop = reason
                return

    def network(self) -> Network:
        """The network as it stands, absent neurons left out."""
        return network_of(self._parameters, self._activation, self._present)

    def padded(self) -> Network:
        """The network as it stands, absent neurons kept in their places."""
        return network_of(self._parameters, self._activation, np.ones_like(self._present))

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
        if self._deadline is not None and time.monotonic() > self._deadline:
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


def step_operations(samples: int, size: int, neurons: int, outputs: int) -> float:
    """Floating-point operations of one step of these shapes (size: inputs and the bias).

    Products of pair matrices, the cross block, the elementwise work, and the factorisation.
    """
    weights = size * neurons
    pairs = 0.5 * neurons * (neurons + 1) * size * (size + 1) * samples
    cross = 2.0 * samples * (neurons + 1) * weights
    elementwise = 2.0 * samples * neurons * (size + 2 * outputs + 20)
    return pairs + cross + elementwise + weights**3 / 3.0


def steps_per_call(samples: int, size: int, neurons: int, outputs: int) -> int:
    """Steps of one compiled call, from what a step of these shapes costs."""
    cost = step_operations(samples, size, neurons, outputs)
    return int(np.clip(CALL_OPERATIONS / cost, 1, LONGEST_CALL))


@partial(jax.jit, static_argnames=("activation", "ridge"))
def _descend(
    parameters: Parameters,
    damping: Array,
    growth: Array,
    masks: Masks,
    data: Data,
    steps: Array,
    target: Array,
    activation: Activation,
    ridge: float,
) -> tuple[Parameters, Array, Array, Array, Array]:
    """At most `steps` steps with Nielsen's damping update.

    Stops early at the target, at a loss that is not finite, and where damping has grown so far
    that no step in double precision can descend.
    """

    def proceed(state):  # noqa: ANN001, ANN202 - a while_loop carry
        _, damping, _, equations, taken = state
        return (taken < steps) & (equations.loss > target) & (damping < 1e10)

    def advance(state):  # noqa: ANN001, ANN202 - a while_loop carry
        parameters, damping, growth, equations, taken = state
        moved, predicted = solve(parameters, equations, damping, ridge)
        reached = loss(moved, masks, activation, data)
        # NaN compares false: a failed factorisation or an overflow is a rejected step.
        accepted = reached < equations.loss
        gain = (equations.loss - reached) / predicted
        shrink = jnp.maximum(0.2, 1.0 - (2.0 * gain - 1.0) ** 3)
        new = lax.cond(
            accepted,
            lambda: (moved, assemble(moved, masks, activation, data)),
            lambda: (parameters, equations),
        )
        damping = jnp.where(accepted, jnp.maximum(damping * shrink, 1e-18), damping * growth)
        return new[0], damping, jnp.where(accepted, 2.0, 2.0 * growth), new[1], taken + 1

    start = assemble(parameters, masks, activation, data)
    parameters, damping, growth, equations, taken = lax.while_loop(
        proceed, advance, (parameters, damping, growth, start, jnp.asarray(0))
    )
    return parameters, damping, growth, equations.loss, taken
