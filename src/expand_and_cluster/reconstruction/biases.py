"""The bias of a channel that is always on where questions come from.

Such a channel shows itself only where the largest value of a pooling window passes from one
position to another. That tells its kernel, but not its bias, which all positions share. So a unit
is turned off on purpose: with the kernel known, the image is changed until all values of the
window have fallen by so much that the largest reaches zero, whatever the bias. The kink is there.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from expand_and_cluster.queries.jumps import measure_jumps
from expand_and_cluster.reconstruction.below import Below
from expand_and_cluster.reconstruction.kink_lines import KinkLines
from expand_and_cluster.reconstruction.layer_geometry import Position
from expand_and_cluster.reconstruction.sightings import IMPURE, Sighting

# Pieces of the way, and how far the values fall on each, in standard deviations of the layer's.
PIECES, FALL = 24, 0.5
# How much faster the last position falls than the first: values that are equal must not stay so, or
# two positions reach zero at once.
FASTER = 1.5
# Directions in which a kink must bend the outputs as the kernel says.
CHECKS = 3

Kernel = Float[np.ndarray, " size"]
Gradients = Float[np.ndarray, "positions inputs"]


def bias_of(
    kernel: Kernel, sighting: Sighting, below: Below, lines: KinkLines, rng: np.random.Generator
) -> float | None:
    """The bias, in units of the kernel; None if no kink on the way is of this channel.

    Args:
        kernel: With its sign.
        sighting: A kink between two positions of one unit of this channel, with equations.
        below: The layers below the channel's.
        lines: Asks along lines.
        rng: Source of randomness.
    """
    assert sighting.equations is not None
    step = below.architecture.layers[below.depth].step
    row, column = (at // step for at in sighting.equations.positions[0])
    unit = _Unit(kernel, (row, column), below, lines)
    path = unit.way_down(sighting.point)
    if len(path) < 2:
        return None
    kinks = lines.along(path[:-1], path[1:])[0]
    own = next(
        (kink for kink, bent in zip(kinks, unit.bends(kinks, rng), strict=True) if bent), None
    )
    return None if own is None else -float(unit.values(own.point).max())


class _Unit:
    """One unit of a channel whose bias is not known."""

    def __init__(self, kernel: Kernel, unit: Position, below: Below, lines: KinkLines) -> None:
        self.kernel, self.below, self.lines = kernel, below, lines
        self.places = lines.geometry.positions_of(unit)
        self.pixels = lines.geometry.unit_pixels(unit)
        self.moves = np.eye(below.architecture.input_size)[self.pixels]

    def values(self, point: Float[np.ndarray, " inputs"]) -> Float[np.ndarray, " positions"]:
        """What the kernel gives at each position of the unit."""
        features = self.below.features(point[None])
        window = self.lines.geometry.window
        return np.array([window(features, at)[0] @ self.kernel for at in self.places])

    def gradients(self, point: Float[np.ndarray, " inputs"]) -> Gradients:
        """How these change with the image."""
        tangents = self.below.tangents(point, self.moves)
        window = self.lines.geometry.window
        found = np.zeros((len(self.places), len(point)))
        found[:, self.pixels] = [window(tangents, at) @ self.kernel for at in self.places]
        return found

    def way_down(self, point: Float[np.ndarray, " inputs"]) -> Float[np.ndarray, "points inputs"]:
        """Images along which the values of all positions fall."""
        layer = self.below.architecture.layers[self.below.depth]
        fall = FALL * float(np.std(self.below.windows(point[None], layer)[0] @ self.kernel))
        rates = -fall * np.linspace(1.0, FASTER, len(self.places))
        path = [point]
        for _ in range(PIECES):
            slopes = self.gradients(path[-1])
            move = np.linalg.lstsq(slopes, rates, rcond=1e-6)[0]
            if not np.any(move):
                break
            path.append(path[-1] + move)
        return np.array(path)

    def bends(self, kinks: Sequence[Sighting], rng: np.random.Generator) -> list[bool]:
        """Whether the gradient jumps at each kink as where this unit turns off."""
        slopes, moves = [], []
        for kink in kinks:
            slopes.append(self.gradients(kink.point)[int(self.values(kink.point).argmax())])
            some = np.zeros((CHECKS, len(kink.point)))
            some[:, self.pixels] = rng.standard_normal((CHECKS, len(self.pixels)))
            moves.append(some / np.linalg.norm(some, axis=1, keepdims=True))
        points, ways = (np.array([getattr(k, name) for k in kinks]) for name in ("point", "way"))
        room = np.array([kink.room for kink in kinks])
        jumps = measure_jumps(self.lines.ask, points, ways, room, moves)
        found = []
        for kink, slope, some, jump in zip(kinks, slopes, moves, jumps, strict=True):
            # The jump along the line tells by which multiple of the slope outputs bend.
            off = jump * (slope @ kink.way) - np.outer(some @ slope, kink.jump)
            size = np.linalg.norm(some @ slope) * np.linalg.norm(kink.jump)
            found.append(bool(np.linalg.norm(off) <= IMPURE * size))
        return found
