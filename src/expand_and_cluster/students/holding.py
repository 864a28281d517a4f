"""Inputs that hardly ever vary: what the pairs cannot tell about, set aside at the start."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

# An input has one weight into every hidden neuron; a row in which it varies gives as many
# equations as there are outputs. An input that varies in fewer rows than this is held.
LEAST_ROWS = 8
LEAST_SHARE = 0.01
# Rows are only set aside while this share of them is left.
KEPT_SHARE = 0.8


@dataclass(frozen=True)
class Holding:
    """Inputs held at one value, because the pairs hardly show another.

    Attributes:
        masked: Which inputs are held.
        values: The value of each, 0 for inputs that are not held.
    """

    masked: Bool[np.ndarray, " inputs"]
    values: Float[np.ndarray, " inputs"]

    def covers(self, inputs: Float[np.ndarray, "samples inputs"]) -> Bool[np.ndarray, " samples"]:
        """Rows in which every held input has its value."""
        return (inputs[:, self.masked] == self.values[self.masked]).all(axis=1)


def find_holding(inputs: Float[np.ndarray, "samples inputs"]) -> Holding:
    """Inputs whose most common value all but a few rows share.

    Setting aside the rows in which one such input varies can leave another with too few, so it is
    repeated until nothing changes.

    Args:
        inputs: Raw training inputs.

    Returns:
        Held inputs. Where holding the rare ones would set too many rows aside, only the inputs
        that never vary are held.
    """
    usual = np.median(inputs, axis=0)
    varies = inputs != usual
    least = max(LEAST_ROWS, int(np.ceil(LEAST_SHARE * len(inputs))))
    rows = np.ones(len(inputs), bool)
    while True:
        rare = varies[rows].sum(axis=0) < least
        left = rows & ~varies[:, rare].any(axis=1)
        if left.sum() < KEPT_SHARE * len(inputs):
            rare = ~varies.any(axis=0)
            break
        if np.array_equal(left, rows):
            break
        rows = left
    return Holding(rare, np.where(rare, usual, 0.0))
