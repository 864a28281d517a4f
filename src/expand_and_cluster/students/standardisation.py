"""Affine maps that give students inputs and targets of variance about one."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.network import Layer, Network

# An input whose spread is below this share of the typical one is not stretched further: dividing
# by it would turn directions that the data hardly has into large ones, and students would spend
# their capacity there.
LEAST_SPREAD = 0.1
# The same for students that first-order steps train on given data: what images hardly vary in is
# not stretched at all, and more neurons are found (benchmarks/given_students.py).
UNSTRETCHED = 1.0


@dataclass(frozen=True)
class Standardisation:
    """How raw pairs map to what students see, and students back to raw coordinates.

    Attributes:
        input_center: Mean of each input.
        input_scale: Spread by which each input is divided.
        output_center: Mean of each output.
        output_scale: Spread by which each output is divided.
    """

    input_center: Float[np.ndarray, " inputs"]
    input_scale: Float[np.ndarray, " inputs"]
    output_center: Float[np.ndarray, " outputs"]
    output_scale: Float[np.ndarray, " outputs"]

    @staticmethod
    def fit(
        inputs: Float[np.ndarray, "samples inputs"],
        outputs: Float[np.ndarray, "samples outputs"],
        least_spread: float = LEAST_SPREAD,
    ) -> "Standardisation":
        """Means and spreads of these pairs; what never varies is left at its scale.

        Args:
            inputs: Raw inputs.
            outputs: Raw outputs.
            least_spread: Share of the typical spread of an input that none is divided by less of.
        """
        spread = inputs.std(axis=0)
        varying = spread > 1e-12 * np.abs(inputs).max(axis=0)
        typical = np.median(spread[varying]) if varying.any() else 1.0
        scale = np.where(varying, np.maximum(spread, least_spread * typical), typical)
        reach = outputs.std(axis=0)
        steady = reach <= 1e-12 * np.abs(outputs).max(axis=0)
        return Standardisation(
            inputs.mean(axis=0), scale, outputs.mean(axis=0), np.where(steady, 1.0, reach)
        )

    def inputs(self, raw: Float[np.ndarray, "samples inputs"]) -> np.ndarray:
        """Inputs as the students see them."""
        return (raw - self.input_center) / self.input_scale

    def targets(self, raw: Float[np.ndarray, "samples outputs"]) -> np.ndarray:
        """Outputs as the students are to give them."""
        return (raw - self.output_center) / self.output_scale

    def restore(self, network: Network) -> Network:
        """The same function in raw coordinates, exactly but for rounding."""
        first, last = network.layers[0], network.layers[-1]
        weight = first.weight / self.input_scale
        layers = (
            Layer(weight, first.bias - weight @ self.input_center),
            *network.layers[1:-1],
            Layer(
                last.weight * self.output_scale[:, None],
                last.bias * self.output_scale + self.output_center,
            ),
        )
        if network.skip is None:
            return network.replace(layers=layers)
        skip = network.skip.weight * self.output_scale[:, None] / self.input_scale
        bias = network.skip.bias * self.output_scale - skip @ self.input_center
        return network.replace(layers=layers, skip=Layer(skip, bias))

    def enter_vectors(
        self, vectors: Float[np.ndarray, "neurons inputs_and_bias"]
    ) -> Float[np.ndarray, "neurons inputs_and_bias"]:
        """Raw input vectors of a first layer, biases last, as those of a student."""
        weight, bias = vectors[:, :-1], vectors[:, -1]
        return np.column_stack([weight * self.input_scale, bias + weight @ self.input_center])

    def enter(self, network: Network) -> Network:
        """The inverse of `restore`: a raw network as a student."""
        first, last = network.layers[0], network.layers[-1]
        layers = (
            Layer(first.weight * self.input_scale, first.bias + first.weight @ self.input_center),
            *network.layers[1:-1],
            Layer(
                last.weight / self.output_scale[:, None],
                (last.bias - self.output_center) / self.output_scale,
            ),
        )
        if network.skip is None:
            return network.replace(layers=layers)
        weight = network.skip.weight * self.input_scale / self.output_scale[:, None]
        bias = (network.skip.bias + network.skip.weight @ self.input_center) / self.output_scale
        return network.replace(layers=layers, skip=Layer(weight, bias))
