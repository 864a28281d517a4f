"""Gradient flow solved as an ordinary differential equation, then BFGS: as the paper trained.

For small networks. Students are fitted one after the other, each with its own steps, by one
compiled program, so that a student that gets stuck or breaks down costs the others nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float
from scipy.optimize import OptimizeResult, minimize

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double, placed
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.fitting.flow_program import follow, value_and_gradient
from expand_and_cluster.fitting.result import Fit, StopReason
from expand_and_cluster.fitting.squared_error import Blocks, in_blocks

# Work of one compiled call, so that progress, deadlines and Ctrl-C are looked at about once a
# second; a function of the shapes alone, because results must not depend on the clock.
CALL_OPERATIONS = 5e9
LONGEST_CALL = 50

SECONDS_BETWEEN_REPORTS = 0.2
LINE_SEARCH_FAILED = 2  # SciPy's status of a BFGS that can descend no further


@dataclass(frozen=True)
class GradientFlowSettings:
    """How to follow the flow `d weights / d time = - gradient of the mean squared error`.

    Attributes:
        solver: "stiff" is Diffrax's implicit `Kvaerno5`, whose every step factorises the Hessian;
            "nonstiff" is the explicit `Tsit5`, whose steps are short in steep valleys.
        rtol: Relative error allowed in a step.
        atol: Absolute error of a weight allowed in a step.
        t1: Time at which the flow ends.
        max_steps: Steps of the solver at most, rejected ones included.
        bfgs_steps: Steps of BFGS after the flow, at most; 0 leaves it out.
        target: Mean squared error at which a student is done.
        gradient_norm: Euclidean norm of the gradient at which a student is done.
    """

    solver: Literal["stiff", "nonstiff"] = "stiff"
    rtol: float = 1e-3
    atol: float = 1e-6
    t1: float = 1e10
    max_steps: int = 5000
    bfgs_steps: int = 250
    target: float = 1e-31
    gradient_norm: float = 1e-16


def fit_gradient_flow(
    students: Network,
    inputs: Float[np.ndarray, "samples inputs"],
    targets: Float[np.ndarray, "samples outputs"],
    *,
    settings: GradientFlowSettings | None = None,
    seed: int = 0,
    report: Reporter = silent,
    stage: str = "train students",
    deadline: float | None = None,
) -> Fit:
    """Train every student of an ensemble by gradient flow and BFGS, in float64.

    Args:
        students: Ensemble of networks at their first weights.
        inputs: Standardised inputs.
        targets: Standardised outputs to imitate.
        settings: Solver, tolerances and stops; defaults if None.
        seed: Unused, for all data take part in every step; present in every way of fitting.
        report: Told about progress; `done` counts the steps of all students.
        stage: Name of this work in the reports.
        deadline: Value of `time.monotonic()` after which students stop where they are.

    Returns:
        Each student where its loss was lowest. Steps count solver steps, then BFGS steps.

    Raises:
        InvalidInputError: A setting makes no sense.

    Source:
        Appendix A.6.1: implicit solver of the flow, then BFGS, until the loss is at most 1e-31 or
        the norm of the gradient at most 1e-16. The paper used KenCarp58 of another library.
    """
    del seed
    settings = settings or GradientFlowSettings()
    _check(settings)
    count = students.students or 0
    allowed = settings.max_steps + settings.bfgs_steps
    losses = np.full(count, np.nan)
    finished: list[_Descent] = []
    report(Progress(stage, 0, count * allowed, None, "compiling"))
    with double():
        data = jax.device_put(in_blocks(inputs, targets, dtype=np.float64))
        for index in range(count):
            descent = _Descent(students.student(index), data, settings, deadline)

            def tell(note: str, index: int = index, descent: _Descent = descent) -> None:
                losses[index] = np.sqrt(descent.loss)
                done = index * allowed + descent.step
                report(Progress(stage, done, count * allowed, losses.copy(), note))

            descent.run(tell)
            finished.append(descent)
        return Fit.from_histories(
            Network.stack([descent.network() for descent in finished]),
            [descent.loss for descent in finished],
            [descent.history for descent in finished],
            [descent.stop for descent in finished],
        )


class _Descent:
    """The descent of one network: the flow call by call, then BFGS step by step.

    `weights`, `loss` and `slope` (norm of the gradient) are those of the lowest loss seen.
    """

    def __init__(
        self, network: Network, data: Blocks, settings: GradientFlowSettings, deadline: float | None
    ) -> None:
        self.template, self.data = jax.tree.map(placed, network), data
        self.settings, self.deadline = settings, deadline
        self.step = 0
        self.loss, self.slope = np.inf, np.inf
        self.weights = np.asarray(ravel_pytree(self.template)[0])
        self.history: list[tuple[int, float]] = []
        self.stop = StopReason.STEPS

    def run(self, tell: Callable[[str], None]) -> None:
        """Descend until done, naming the phase to `tell` about once a second."""
        if not self._arrive(self.weights):
            self.stop = StopReason.DIVERGED
            return
        self._flow(tell)
        if self.settings.bfgs_steps and not self._finished():
            self._bfgs(tell)
        if self.loss <= self.settings.target:
            self.stop = StopReason.TARGET
        elif self.slope <= self.settings.gradient_norm:
            self.stop = StopReason.STALLED
        tell("")

    def network(self) -> Network:
        """The network where its loss was lowest."""
        return ravel_pytree(self.template)[1](jnp.asarray(self.weights)).at_rest()

    def _arrive(self, weights: np.ndarray) -> bool:
        """Record the loss at these weights; False where it or its gradient is not finite."""
        value, gradient = value_and_gradient(weights, self.template, self.data)
        loss = float(value)
        if not (np.isfinite(loss) and np.all(np.isfinite(gradient))):
            return False
        self.history.append((self.step, loss))
        if loss < self.loss:
            self.weights, self.loss = weights, loss
            self.slope = float(np.linalg.norm(gradient))
        return True

    def _finished(self) -> bool:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.stop = StopReason.TIME
            return True
        target, slope = self.settings.target, self.settings.gradient_norm
        return self.loss <= target or self.slope <= slope

    def _flow(self, tell: Callable[[str], None]) -> None:
        settings, now = self.settings, 0.0
        weights = placed(self.weights)
        stiff = settings.solver == "stiff"
        each = _steps_per_call(settings, weights.size, self.data.weights.size)
        first = 0.01 * max(1.0, float(np.linalg.norm(weights))) / max(self.slope, 1e-300)
        length = min(first, settings.t1)
        while now < settings.t1 and self.step < settings.max_steps and not self._finished():
            weights, times, steps = follow(
                diffrax.Kvaerno5() if stiff else diffrax.Tsit5(),
                weights,
                (self.template, self.data, settings.target, settings.gradient_norm),
                (now, settings.t1, length),
                (settings.rtol, settings.atol),
                each,
            )
            self.step += int(steps)
            reached = np.concatenate([[now], np.asarray(times)[np.isfinite(times)]])
            if not self._arrive(np.asarray(weights)) or len(reached) == 1:
                break  # no step that the solver accepts: BFGS may do better
            now, length = float(reached[-1]), float(reached[-1] - reached[-2])
            tell("gradient flow")

    def _bfgs(self, tell: Callable[[str], None]) -> None:
        told = time.monotonic()

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = value_and_gradient(flat, self.template, self.data)
            return float(value), np.asarray(gradient)

        def after_step(intermediate_result: OptimizeResult) -> None:
            nonlocal told
            self.step += 1
            self._arrive(intermediate_result.x)
            if time.monotonic() - told > SECONDS_BETWEEN_REPORTS:
                told = time.monotonic()
                tell("BFGS")
            if self._finished():
                raise StopIteration

        options = {"maxiter": self.settings.bfgs_steps, "gtol": 0.0, "norm": 2}
        with np.errstate(all="ignore"):  # a line search may try a step at which the loss overflows
            result = minimize(
                loss, self.weights, jac=True, method="BFGS", callback=after_step, options=options
            )
        if result.status == LINE_SEARCH_FAILED:
            self.stop = StopReason.STALLED


def _steps_per_call(settings: GradientFlowSettings, weights: int, samples: int) -> int:
    """Steps of one compiled call: a divisor of all steps, so that one program is enough."""
    gradients = weights if settings.solver == "stiff" else 7
    most = min(LONGEST_CALL, max(1, int(CALL_OPERATIONS / (6 * samples * weights * gradients))))
    return max(k for k in range(1, most + 1) if settings.max_steps % k == 0)


def _check(settings: GradientFlowSettings) -> None:
    if settings.solver not in ("stiff", "nonstiff"):
        raise InvalidInputError(f"solver must be 'stiff' or 'nonstiff', not {settings.solver!r}.")
    for name in ("rtol", "atol", "t1", "max_steps"):
        if not getattr(settings, name) > 0:
            raise InvalidInputError(f"{name} must be positive, got {getattr(settings, name)}.")
    if settings.bfgs_steps < 0:
        raise InvalidInputError(f"bfgs_steps must not be negative, got {settings.bfgs_steps}.")
