"""Levenberg-Marquardt for many small students at once, each on its own.

Every student is fitted by one compiled program in double precision, and students run on threads,
one on each core. Nothing is batched across students: a rejected step costs no Gram matrix, a
student that stopped costs nothing, a NaN stays where it was born, and student 3 of 10 takes
exactly the steps that student 3 alone would take. On two cores this is also faster than one
program for all students (`benchmarks/levenberg_marquardt.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jax import Array
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double, placed
from expand_and_cluster.core.progress import Reporter, silent
from expand_and_cluster.fitting.damped_steps import (
    DampedSteps,
    LevenbergMarquardtSettings,
    StepByStep,
    steps_in_call,
)
from expand_and_cluster.fitting.each_student import fit_each
from expand_and_cluster.fitting.memory import Memory
from expand_and_cluster.fitting.normal_equations import (
    Data,
    Masks,
    NormalEquations,
    Parameters,
    assemble,
    loss,
    network_of,
    parameters_of,
    prepare,
    solve,
)
from expand_and_cluster.fitting.result import Fit


@dataclass(frozen=True)
class OneLayer:
    """Loss, normal equations and step of a network with one hidden layer.

    Attributes:
        activation: Activation of the hidden neurons.
        ridge: Added to the output features' diagonal, relative to its mean.
    """

    activation: Activation
    ridge: float

    def loss(self, parameters: Parameters, masks: Masks, data: Data) -> Array:
        """Squared error summed over outputs, mean over samples."""
        return loss(parameters, masks, self.activation, data)

    def assemble(self, parameters: Parameters, masks: Masks, data: Data) -> NormalEquations:
        """Gram blocks and gradient at these weights."""
        return assemble(parameters, masks, self.activation, data)

    def solve(
        self, parameters: Parameters, equations: NormalEquations, damping: Array
    ) -> tuple[Parameters, Array]:
        """Damped step, and the predicted decrease."""
        return solve(parameters, equations, damping, self.ridge)


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
    return fit_each(
        students,
        lambda student: Descent(student, data, chosen, deadline),
        steps=chosen.steps,
        report=report,
        stage=stage,
        memory=memory,
    )


class Descent(StepByStep):
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
        self._present = np.ones(width, bool) if present is None else np.asarray(present, bool)
        mobile = np.ones(width, bool) if free is None else np.asarray(free, bool)
        parameters = parameters_of(network)
        outputs, samples = data.targets.shape
        self._steps = DampedSteps(
            OneLayer(network.activation, settings.ridge),
            parameters,
            Masks(placed(self._present, dtype=np.float64), placed(mobile, dtype=np.float64)),
            data,
            settings,
            outputs=outputs,
            call=steps_per_call(samples, parameters.inputs.shape[1], width, outputs),
            deadline=deadline,
        )

    def network(self) -> Network:
        """The network as it stands, absent neurons left out."""
        return network_of(self._steps.parameters, self._activation, self._present)

    def padded(self) -> Network:
        """The network as it stands, absent neurons kept in their places."""
        return network_of(self._steps.parameters, self._activation, np.ones_like(self._present))


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
    return steps_in_call(cost)
