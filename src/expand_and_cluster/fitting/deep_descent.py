"""Levenberg-Marquardt on one network with any number of hidden layers."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from expand_and_cluster.core.network import Network
from expand_and_cluster.fitting.damped_steps import DampedSteps, LevenbergMarquardtSettings
from expand_and_cluster.fitting.deep_equations import (
    DeepData,
    DeepMasks,
    DeepModel,
    deep_network,
    deep_parameters,
)
from expand_and_cluster.fitting.result import StopReason

# Work of one compiled call, so that progress, deadlines and Ctrl-C are looked at about once a
# second; a function of the shapes alone, because results must not depend on the clock.
CALL_OPERATIONS = 3e10
LONGEST_CALL = 25


def all_free(network: Network) -> DeepMasks:
    """Masks with which every neuron takes part and every weight may move."""
    hidden = network.layers[:-1]
    return DeepMasks(
        present=tuple(np.ones(len(layer.bias)) for layer in hidden),
        linear=tuple(np.zeros(len(layer.bias)) for layer in hidden),
        free=tuple(np.ones((layer.weight.shape[0], layer.weight.shape[1] + 1)) for layer in hidden),
    )


def inputs_held(network: Network, layers: int) -> DeepMasks:
    """Masks that hold the first layers' weights, while their biases may move (paper, A.3)."""
    masks = all_free(network)
    held = []
    for part in masks.free[:layers]:
        biases = np.zeros_like(part)
        biases[:, -1] = 1.0
        held.append(biases)
    return masks._replace(free=(*held, *masks.free[layers:]))


class DeepDescent:
    """The descent of one network, phase by phase and call by call; in double precision.

    Args:
        network: Where to start.
        data: Training set in blocks (see `lay_out`).
        settings: When to stop and how to damp.
        deadline: `time.monotonic()` after which to stop.
        phases: What takes part and may move, and most steps, one phase after the other; a single
            one of everything if None.
    """

    def __init__(
        self,
        network: Network,
        data: DeepData,
        settings: LevenbergMarquardtSettings,
        deadline: float | None = None,
        *,
        phases: Sequence[tuple[DeepMasks, int]] | None = None,
    ) -> None:
        """Remember; nothing is computed yet."""
        self.step = 0
        self.loss = float("nan")
        self.history: list[tuple[int, float]] = []
        self.stop = StopReason.STEPS
        self._like = network
        self._data = data
        self._settings = settings
        self._deadline = deadline
        self._parameters = deep_parameters(network)
        self._phases = [(all_free(network), settings.steps)] if phases is None else phases

    def run(self) -> Iterator[None]:
        """Descend until a reason to stop; yields after every compiled call."""
        blocks, rows, outputs = self._data.targets.shape
        for masks, most in self._phases:
            steps = DampedSteps(
                DeepModel(self._like.activation, self._settings.ridge),
                self._parameters,
                jax.tree.map(jnp.asarray, masks),
                self._data,
                replace(self._settings, steps=most),
                outputs=outputs,
                call=_steps_per_call(blocks * rows, self._like.widths),
                deadline=self._deadline,
            )
            before = self.step
            for _ in steps.run():
                self._parameters = steps.parameters
                self.step, self.loss = before + steps.step, steps.loss
                self.history.append((self.step, self.loss))
                yield
            self.stop = steps.stop
            if self.stop in (StopReason.TARGET, StopReason.TIME, StopReason.DIVERGED):
                return

    def network(self) -> Network:
        """The network as it stands."""
        return deep_network(self._parameters, self._like)


def hidden_weights(widths: tuple[int, ...]) -> int:
    """Weights and biases of all hidden layers."""
    return sum((size + 1) * width for size, width in pairwise(widths[:-1]))


def deep_step_operations(samples: int, widths: tuple[int, ...]) -> float:
    """Floating-point operations of one step of these shapes."""
    weights, outputs, features = hidden_weights(widths), widths[-1], widths[-2] + 1
    rows = float(samples * outputs)
    gram = 2.0 * rows * weights**2
    cross = 2.0 * rows * weights * features
    schur = 2.0 * outputs * features * weights**2
    return gram + cross + schur + weights**3 / 3.0


def _steps_per_call(samples: int, widths: tuple[int, ...]) -> int:
    cost = deep_step_operations(samples, widths)
    return int(np.clip(CALL_OPERATIONS / cost, 1, LONGEST_CALL))
