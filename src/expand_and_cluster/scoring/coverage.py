"""Whether standard errors tell how far recovered weights are from the true ones."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.held import hold
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.reconstruction.signs import flip_neurons
from expand_and_cluster.recovery import Recovery
from expand_and_cluster.scoring.compare import Comparison, compare
from expand_and_cluster.symmetries.shared_logits import centre_outputs


@dataclass(frozen=True)
class Coverage:
    """Errors of all weights and biases beside the standard errors that were stated.

    Attributes:
        errors: Recovered minus true, symmetries undone.
        stated: Standard errors.
    """

    errors: Float[np.ndarray, " weights"]
    stated: Float[np.ndarray, " weights"]

    @property
    def deviations(self) -> Float[np.ndarray, " weights"]:
        """Errors in units of their standard errors."""
        return self.errors / self.stated

    def within(self, deviations: float) -> float:
        """Share of the weights whose error is within so many standard errors."""
        return float(np.mean(np.abs(self.deviations) <= deviations))


def coverage(recovery: Recovery, teacher: Network) -> Coverage | None:
    """Errors and standard errors of a recovery with one hidden layer.

    Args:
        recovery: A recovery.
        teacher: The true network.

    Returns:
        None where no standard errors are stated, where neurons are missing or in excess, or where
        flipped neurons leave an affine map.
    """
    stated = recovery.standard_errors
    comparison = compare(recovery, teacher)
    if stated is None or comparison.missing or comparison.excess:
        return None
    if recovery.settings.get("outputs", "logits") != "logits":
        teacher = centre_outputs(teacher)
    if recovery.masked_inputs.any():
        teacher = hold(teacher, recovery.masked_inputs, recovery.held_inputs)
    true = _aligned(teacher, recovery.network, comparison)
    if true is None:
        return None
    errors = np.concatenate([_flat(recovery.network), _flat(true)]).reshape(2, -1)
    told = _flat(stated)
    known = np.isfinite(told) & (told > 0.0)
    return Coverage((errors[0] - errors[1])[known], told[known])


def _aligned(teacher: Network, recovered: Network, comparison: Comparison) -> Network | None:
    """The teacher with its neurons in the recovered order, of the same signs and lengths."""
    order = np.empty(recovered.hidden_widths[0], int)
    flipped = np.zeros(len(order), bool)
    for neuron in comparison.neurons:
        assert neuron.teacher is not None
        assert neuron.recovered is not None
        order[neuron.recovered] = neuron.teacher
        flipped[neuron.recovered] = neuron.flipped
    central = teacher.centred()
    first, last = central.layers
    layers = (
        Layer(first.weight[order], first.bias[order]),
        Layer(last.weight[:, order], last.bias),
    )
    moved = central.replace(layers=layers, activation=central.activation.only(order))
    if flipped.any():
        moved = flip_neurons(moved, flipped)
    if moved.skip is not None and np.any(moved.skip.weight != 0.0):
        return None
    lengths = [np.linalg.norm(one.input_vectors, axis=1) for one in (recovered, moved)]
    degrees = moved.activation.degrees(len(order))
    scale = np.where(np.isfinite(degrees), lengths[0] / lengths[1], 1.0)
    first, last = moved.layers
    layers = (
        Layer(first.weight * scale[:, None], first.bias * scale),
        Layer(last.weight / scale ** np.nan_to_num(degrees), last.bias),
    )
    moved = moved.replace(layers=layers, skip=None)
    return moved.uncentred(teacher.activation)


def _flat(network: Network) -> np.ndarray:
    parts = [part for layer in network.layers for part in (layer.weight, layer.bias)]
    return np.concatenate([np.ravel(part) for part in parts])
