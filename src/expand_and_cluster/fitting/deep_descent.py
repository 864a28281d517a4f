"""Levenberg-Marquardt on one network with any number of hidden layers."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.fitting.damped_steps import (
    DampedSteps,
    LevenbergMarquardtSettings,
    StepByStep,
    steps_in_call,
)
from expand_and_cluster.fitting.deep_equations import (
    DeepData,
    DeepModel,
    Present,
    deep_network,
    deep_parameters,
    lay_out,
)


def all_present(network: Network) -> Present:
    """Every neuron of every hidden layer takes part."""
    return tuple(np.ones(width) for width in network.hidden_widths)


class DeepDescent(StepByStep):
    """The descent of one network, call by call; in double precision.

    Args:
        network: Where to start.
        data: Training set in blocks (see `lay_out`).
        settings: When to stop and how to damp.
        deadline: `time.monotonic()` after which to stop.
        present: Neurons that take part, all if None; an absent neuron costs its share of time but
            no new program.
    """

    def __init__(
        self,
        network: Network,
        data: DeepData,
        settings: LevenbergMarquardtSettings,
        deadline: float | None = None,
        *,
        present: Present | None = None,
    ) -> None:
        """Arrange the network for the solver; nothing is computed yet."""
        self._like = network
        blocks, rows, outputs = data.targets.shape
        self._steps = DampedSteps(
            DeepModel(network.activation, settings.ridge),
            deep_parameters(network),
            jax.tree.map(jnp.asarray, all_present(network) if present is None else present),
            data,
            settings,
            outputs=outputs,
            call=steps_in_call(deep_step_operations(blocks * rows, network.widths)),
            deadline=deadline,
            compiled=False,
        )

    def network(self) -> Network:
        """The network as it stands."""
        return deep_network(self._steps.parameters, self._like)


class BiasesFirstDescent(DeepDescent):
    """The same where the first layer's input vectors are known and only its biases are not.

    The first layer then counts one weight for each neuron: a step costs a fraction.

    Args:
        network: Where to start.
        data: Training set that holds what the known vectors give (see `lay_out_above`).
        settings: When to stop and how to damp.
        deadline: `time.monotonic()` after which to stop.
    """

    def __init__(
        self,
        network: Network,
        data: DeepData,
        settings: LevenbergMarquardtSettings,
        deadline: float | None = None,
    ) -> None:
        """Arrange the network for the solver; nothing is computed yet."""
        self._vectors = np.asarray(network.layers[0].weight)
        super().__init__(_with_first(network, self._vectors[:, :0]), data, settings, deadline)

    def network(self) -> Network:
        """The network as it stands, the known vectors included."""
        return _with_first(super().network(), self._vectors)


def lay_out_above(
    vectors: Float[np.ndarray, "neurons inputs"],
    inputs: Float[np.ndarray, "samples inputs"],
    targets: Float[np.ndarray, "samples outputs"],
    weights: int,
) -> DeepData:
    """Pairs in blocks for `BiasesFirstDescent`; call inside double precision.

    Args:
        vectors: The first layer's input vectors, biases left out.
        inputs: Inputs.
        targets: Targets.
        weights: Weights of the hidden layers, biases alone of the first.
    """
    return lay_out(inputs[:, :0], targets, weights, known=inputs @ vectors.T)


def _with_first(network: Network, weight: Float[np.ndarray, "neurons inputs"]) -> Network:
    first = Layer(weight, network.layers[0].bias)
    return network.replace(layers=(first, *network.layers[1:]))


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
