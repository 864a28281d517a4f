"""Activations that are straight lines far from zero: these lines, and what is between them.

Far out a network of such neurons is one of relu neurons: what is soft about a kink takes up a few
units of a pre-activation, however far out the question lies.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.symmetry import Symmetry

# Pre-activations at which lines are taken, and how straight values must be there, relative to their
# size.
FAR, STRAIGHT = (200.0, 300.0, 400.0), 1e-13
# What is left of the softness where it has ended, and pre-activations among which that is looked
# for.
ENDED, REACH = 1e-14, np.linspace(-200.0, 200.0, 4001)
# Difference of the slopes, relative to the greater, that makes a kink, and softness that makes it
# soft.
KINKED, SOFT = 1e-3, 1e-3


@dataclass(frozen=True)
class Asymptotes:
    """What an activation is far from zero.

    Attributes:
        activation: The activation.
        slopes: Its slope far below and far above zero.
        meeting: Pre-activation at which the two lines meet.
        value: Where they meet.
        reach: How far from the meeting the activation is not on its lines.
    """

    activation: Activation
    slopes: tuple[float, float]
    meeting: float
    value: float
    reach: float

    @property
    def bend(self) -> float:
        """How much steeper the upper line is."""
        return self.slopes[1] - self.slopes[0]

    def hard(self) -> Activation:
        """The same slopes with a kink at zero: what a network of such neurons is far out."""
        return _hard(*self.slopes)

    def lines(self, beyond: Float[np.ndarray, " values"]) -> Float[np.ndarray, " values"]:
        """The lines at pre-activations counted from where they meet."""
        return self.value + np.where(beyond > 0.0, self.slopes[1], self.slopes[0]) * beyond

    def softness(self, beyond: Float[np.ndarray, " values"]) -> Float[np.ndarray, " values"]:
        """What the activation has more than its lines there."""
        # Far out it would be the rounding of two large numbers.
        near = np.clip(beyond, -self.reach, self.reach)
        more = self.activation.values(self.meeting + near) - self.lines(near)
        return np.where(np.abs(beyond) < self.reach, more, 0.0)


@lru_cache(maxsize=64)
def _hard(down: float, up: float) -> Activation:
    return Activation(
        f"slopes {down:.3g} and {up:.3g}",
        lambda z: jnp.where(z > 0.0, up * z, down * z),
        lambda z: jnp.where(z > 0.0, up, down),
        Symmetry(),
    )


def asymptotes_of(activation: Activation) -> Asymptotes | None:
    """The lines; None where it has none, or the same on both sides, or nothing soft between them.

    Args:
        activation: Any but a mixture.
    """
    with np.errstate(all="ignore"):
        sides = [activation.values(side * np.array(FAR)) for side in (-1.0, 1.0)]
    if activation.kinds or not all(np.all(np.isfinite(values)) for values in sides):
        return None
    slopes, constants = [], []
    for side, values in zip((-1.0, 1.0), sides, strict=True):
        slope = float(values[2] - values[0]) / (side * (FAR[2] - FAR[0]))
        constant = float(values[0]) - slope * side * FAR[0]
        off = abs(float(values[1]) - slope * side * FAR[1] - constant)
        if off > STRAIGHT * max(FAR[2], float(np.abs(values).max())):
            return None
        slopes.append(slope if abs(slope) > STRAIGHT else 0.0)
        constants.append(constant)
    if abs(slopes[1] - slopes[0]) < KINKED * max(map(abs, slopes)) or slopes[0] == slopes[1]:
        return None
    meeting = (constants[0] - constants[1]) / (slopes[1] - slopes[0])
    value = constants[0] + slopes[0] * meeting
    wide = Asymptotes(activation, (slopes[0], slopes[1]), meeting, value, FAR[0])
    soft = np.abs(wide.softness(REACH))
    if soft.max() < SOFT:
        return None
    reach = float(np.abs(REACH[soft > ENDED * FAR[0]]).max())
    return replace(wide, reach=reach)
