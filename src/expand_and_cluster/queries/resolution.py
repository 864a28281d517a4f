"""How finely answers are written: in double or single precision, or to a number of decimals."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# Numbers that are looked at, and the fewest that tell decimals from chance.
MOST_LOOKED_AT, FEWEST = 4096, 8
# Distance to the nearest multiple, in steps, that the numbers' own rounding may explain; beyond it
# any number would pass for a multiple.
NEAR = 0.02


@dataclass(frozen=True)
class Resolution:
    """Rounding that answers came with.

    Attributes:
        single: Whether all are float32 numbers.
        decimals: Decimals to which all are rounded, None where they are not.
    """

    single: bool
    decimals: int | None = None

    @staticmethod
    def of(answers: Float[np.ndarray, "rows outputs"]) -> "Resolution":
        """What these answers look like."""
        single = bool(np.array_equal(answers, answers.astype(np.float32)))
        looked_at = answers.ravel()
        if len(looked_at) > MOST_LOOKED_AT:
            # From everywhere: the first ones may be all alike, zeros of an idle network.
            rng = np.random.default_rng(0)
            looked_at = looked_at[rng.integers(len(looked_at), size=MOST_LOOKED_AT)]
        return Resolution(single, _decimals(looked_at, _unit(single)))

    def finest(self, other: "Resolution | None") -> "Resolution":
        """The finer of two, each of a part of the answers."""
        if other is None:
            return self
        both = self.decimals is not None and other.decimals is not None
        decimals = max(self.decimals or 0, other.decimals or 0) if both else None
        return Resolution(self.single and other.single, decimals)

    @property
    def unit(self) -> float:
        """Largest relative rounding error."""
        return _unit(self.single)

    @property
    def smallest(self) -> float:
        """Smallest positive number that can be written."""
        if self.decimals is not None:
            return 10.0**-self.decimals
        return float(np.finfo(np.float32 if self.single else np.float64).smallest_subnormal)

    def errors(self, answers: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Standard deviation of the rounding error of each answer, rather too large than small."""
        least = self.smallest if self.decimals is None else self.smallest / np.sqrt(12.0)
        return np.hypot(self.unit * np.abs(answers), least)

    @property
    def name(self) -> str:
        """In words."""
        if self.decimals is not None:
            return f"{self.decimals} decimals"
        return "float32" if self.single else "float64"


def _unit(single: bool) -> float:
    return float(np.finfo(np.float32 if single else np.float64).eps) / 2.0


def _decimals(values: Float[np.ndarray, " values"], unit: float) -> int | None:
    """Fewest decimals that write all values; None if none do, or if there are too few to tell."""
    if len(values) < FEWEST:
        return None
    size = float(np.abs(values).max())
    if size == 0.0:
        return None
    decimals = 0
    while 4.0 * unit * size * 10.0**decimals <= NEAR:
        scaled = values * 10.0**decimals
        if np.all(np.abs(scaled - np.round(scaled)) <= 4.0 * unit * np.abs(scaled)):
            return decimals
        if decimals == 20:  # values so small that no multiple is met
            return None
        decimals += 1
    return None
