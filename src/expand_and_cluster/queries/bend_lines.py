"""Lines with the kinks on them, and whether a neuron that is thought of bends where it says so."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.queries.bend_equations import Neuron
from expand_and_cluster.queries.pieces import ON, Pieces

# Changes of a pre-activation's sign along lines that decide, and the share that must be kinks: less
# where a weight was not seen, for then some lie elsewhere.
DECIDE, CONFIRMED, CONFIRMED_IN_PART = 5, 0.75, 0.5


@dataclass(frozen=True)
class Line:
    """A line with all kinks that were found on it.

    Attributes:
        start: Where it begins.
        way: From there to its end.
        places: Kinks, 0 at the start and 1 at the end, in order.
        flat: Whether outputs are constant along each straight stretch, so that nothing that bends
            there would be seen.
    """

    start: Float[np.ndarray, " inputs"]
    way: Float[np.ndarray, " inputs"]
    places: Float[np.ndarray, " kinks"]
    flat: Bool[np.ndarray, " stretches"]

    def between(self) -> Float[np.ndarray, "stretches inputs"]:
        """A point within every straight stretch."""
        ends = np.concatenate([[0.0], self.places, [1.0]])
        return self.start + 0.5 * (ends[1:] + ends[:-1])[:, None] * self.way

    def kinks(self) -> Float[np.ndarray, "kinks inputs"]:
        """The kinks."""
        return self.start + self.places[:, None] * self.way


class Crossings:
    """What known layers make of lines: at every kink, and before and after it.

    Args:
        pieces: The known layers.
        size: Of the inputs.
    """

    def __init__(self, pieces: Pieces, size: float) -> None:
        """No line is known yet."""
        width = pieces.features(np.zeros((1, pieces.inputs))).shape[1]
        self.pieces, self._size, self._lines = pieces, size, 0
        self._sides = np.zeros((0, 2, width))
        self._features = np.zeros((0, width))
        self._tangents = np.zeros((0, width, pieces.inputs))
        self._hidden = np.zeros(0, dtype=bool)

    def extend(self, lines: Sequence[Line]) -> None:
        """Take in the lines that have come since; `lines` are all of them."""
        sides, features, tangents = [self._sides], [self._features], [self._tangents]
        hidden = [self._hidden]
        for line in lines[self._lines :]:
            if not len(line.places):
                continue
            middle = self.pieces.features(line.between())
            places = [self.pieces.at(point) for point in line.kinks()]
            sides.append(np.stack([middle[:-1], middle[1:]], axis=1))
            features.append(np.array([place.features for place in places]))
            tangents.append(np.array([place.tangents for place in places]))
            hidden.append(line.flat[1:] | line.flat[:-1])
        self._lines = len(lines)
        self._sides, self._features = np.concatenate(sides), np.concatenate(features)
        self._tangents, self._hidden = np.concatenate(tangents), np.concatenate(hidden)

    def confirm(self, neuron: Neuron) -> bool:
        """Whether there is a kink where this neuron's pre-activation changes its sign."""
        changes, right = self._counted(neuron)
        return changes >= DECIDE and right >= _least(neuron) * changes

    def refute(self, neuron: Neuron) -> bool:
        """Whether there is none.

        One of a layer above may pass for a neuron of this one on the first few lines.
        """
        changes, right = self._counted(neuron)
        return changes >= DECIDE and right < _least(neuron) * changes

    def _counted(self, neuron: Neuron) -> tuple[int, int]:
        """Changes of a neuron's sign that would be seen, and those at which there is a kink."""
        weight, bias = neuron.vector[:-1], float(neuron.vector[-1])
        sides = self._sides @ weight + bias
        turned = sides[:, 0] * sides[:, 1] < 0.0
        steep = np.linalg.norm(np.einsum("f,kfi->ki", weight, self._tangents[turned]), axis=1)
        there = np.abs(self._features[turned] @ weight + bias) < ON * self._size * steep
        # Within a stretch on which outputs are constant it might bend unseen.
        return int(np.sum(there | ~self._hidden[turned])), int(there.sum())


def _least(neuron: Neuron) -> float:
    """Share of the changes of a neuron's sign that have to be kinks."""
    return CONFIRMED_IN_PART if neuron.unseen.any() else CONFIRMED
