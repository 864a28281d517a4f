"""How firmly the pairs hold every weight of a network with several hidden layers."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.network import Network
from expand_and_cluster.fitting.jacobian import jacobian
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.verdict.conditioning import LOOSE

# Equations for every weight that the analysis looks at: more pairs hold more, but not much.
EQUATIONS = 8
# Weights up to which a network is analysed: the Jacobian then takes 2 GiB, its singular values
# minutes. Of a larger one, a student that nothing better came of, nothing counts as held.
MOST_WEIGHTS = 6000
# Singular values below this share of the largest are rounding: the direction is free.
FREE = 1e-12


@dataclass(frozen=True)
class DeepConditioning:
    """What a small error of the outputs means for the weights.

    Attributes:
        smallest: Smallest singular value of the Jacobian, every column scaled to unit length,
            relative to the largest.
        amplification: For every layer and every weight (bias last), the standard deviation of its
            error for unit standard deviation of independent errors in the outputs; infinite where
            the pairs do not hold it.
    """

    smallest: float
    amplification: tuple[Float[np.ndarray, "_ _"], ...]

    @property
    def holds_all(self) -> bool:
        """Whether there is no direction in which the weights could move freely.

        Single weights of the first layer may be loose: inputs that hardly vary have none that is
        held.
        """
        first, *others = self.amplification
        biases = bool(np.all(first[:, -1] < LOOSE))
        return biases and all(bool(np.all(part < LOOSE)) for part in others)


class Analyst:
    """Analyses networks on pairs, each network once as long as no other is asked for."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._last: tuple[Network, TrainingData, DeepConditioning] | None = None

    def analyse(self, network: Network, data: TrainingData) -> DeepConditioning:
        """What `analyse_deep_conditioning` says."""
        last = self._last
        if last is None or last[0] is not network or last[1] is not data:
            last = self._last = (network, data, analyse_deep_conditioning(network, data))
        return last[2]

    def all_held(self, network: Network, data: TrainingData) -> bool:
        """Whether the pairs hold all weights of an exact network."""
        return self.analyse(network, data).holds_all


def analyse_deep_conditioning(network: Network, data: TrainingData) -> DeepConditioning:
    """Analyse the whole Jacobian, weights of all layers, at a solution.

    Where the activation leaves a neuron's scale open, the scale is held: it is no uncertainty.

    Args:
        network: Solution in standardised coordinates.
        data: The pairs it was fitted to.
    """
    shapes = [(layer.weight.shape[0], layer.weight.shape[1] + 1) for layer in network.layers]
    nothing = DeepConditioning(0.0, tuple(np.full(shape, np.inf) for shape in shapes))
    if network.parameter_count > MOST_WEIGHTS:
        return nothing
    outputs = data.targets.shape[1]
    rows = min(len(data.inputs), max(256, EQUATIONS * network.parameter_count // outputs))
    derivatives = jacobian(network, data.inputs[:rows])
    derivatives = derivatives.reshape(-1, derivatives.shape[-1])
    if network.activation.symmetry.scale_free:
        size = float(np.sqrt(np.mean(np.sum(derivatives**2, axis=0))))
        derivatives = np.concatenate([derivatives, size * _scale_directions(network)])
    if len(derivatives) < derivatives.shape[1]:
        return nothing
    scale = np.linalg.norm(derivatives, axis=0)
    seen = scale > FREE * scale.max()
    safe = np.where(seen, scale, 1.0)
    _, values, right = np.linalg.svd(np.linalg.qr((derivatives / safe)[:, seen], mode="r"))
    known = values > FREE * len(values) * values[0]
    inverse = np.where(known, 1.0 / np.where(known, values, 1.0) ** 2, np.inf)
    share = right.T**2
    share[share < 1e-16] = 0.0
    with np.errstate(invalid="ignore"):
        variance = np.where(share > 0, share * inverse, 0.0).sum(axis=1)
    deviation = np.full(len(scale), np.inf)
    deviation[seen] = np.sqrt(variance) / scale[seen]
    ends = np.cumsum([height * width for height, width in shapes])[:-1]
    parts = [
        part.reshape(shape) for part, shape in zip(np.split(deviation, ends), shapes, strict=True)
    ]
    smallest = float(values[-1] / values[0]) if seen.all() else 0.0
    return DeepConditioning(smallest, tuple(parts))


def _scale_directions(network: Network) -> Float[np.ndarray, "neurons weights"]:
    """Unit directions in which a neuron's input vector grows and its output weights shrink."""
    sizes = [layer.weight.size + layer.bias.size for layer in network.layers]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    degree = network.activation.symmetry.homogeneity or 1.0
    rows = []
    for place, layer in enumerate(network.layers[:-1]):
        above = network.layers[place + 1]
        width = layer.weight.shape[1] + 1
        for neuron in range(len(layer.bias)):
            row = np.zeros(starts[-1])
            first = starts[place] + neuron * width
            row[first : first + width] = np.append(layer.weight[neuron], layer.bias[neuron])
            step = above.weight.shape[1] + 1
            there = starts[place + 1] + neuron + step * np.arange(len(above.bias))
            row[there] = -degree * above.weight[:, neuron]
            rows.append(row / max(float(np.linalg.norm(row)), np.finfo(np.float64).tiny))
    return np.array(rows)
