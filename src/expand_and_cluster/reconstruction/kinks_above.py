"""Whether kinks that no convolutional layer explains come from the dense layers above.

A neuron above sees an image through the features of the last convolutional layer alone. So at its
kinks the gradient does not jump along moves that leave these features as they are. A kink that
does jump there is of something that the architecture does not have, or of a channel that was not
found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.queries.jumps import measure_jumps, rounding_of_jumps
from expand_and_cluster.queries.kinks import Ask
from expand_and_cluster.reconstruction.below import Below
from expand_and_cluster.reconstruction.known_kinks import of_no_layer
from expand_and_cluster.reconstruction.sightings import OUTSIDE, Sighting

# Most kinks that are tested, spread evenly over all that were seen.
MOST_TESTED = 200
# Shares of the room around a kink in which it is tested, one after the other: another kink may lie
# within the step of the first.
ROOMS = (1.0, 0.3, 0.1)
# Length of a move, relative to the one that it is left of, that rounding makes of none.
NO_MOVE = 1e-6
# Largest share of a kink's jump that rounding may make.
ROUNDED = 0.01


@dataclass(frozen=True)
class AboveTest:
    """Kinks of no convolutional layer.

    Attributes:
        seen: Their number.
        tested: Of these, how many were asked about.
        strange: Of these, how many are not of the dense layers either.
        untestable: Kinks that were to be tested, where every move of the image changes features, or
            that bend the outputs hardly more than rounding does.
    """

    seen: int
    tested: int
    strange: int
    untestable: int


def judge_above(
    below: Below, sightings: Sequence[Sighting], ask: Ask, rng: np.random.Generator
) -> AboveTest:
    """Ask whether kinks jump along moves that the last features do not feel.

    Args:
        below: All convolutional layers.
        sightings: Kinks, of whatever layer.
        ask: Answers inputs with outputs.
        rng: Source of randomness.
    """
    others = of_no_layer(below, sightings)
    rows = np.linspace(0, len(others) - 1, min(MOST_TESTED, len(others))).astype(int)
    chosen = [others[row] for row in rows]
    if not chosen:
        return AboveTest(0, 0, 0, 0)
    size = float(np.abs(ask(np.array([one.point for one in chosen]))).max())
    rounding = rounding_of_jumps(size, np.array([one.room for one in chosen]))
    tested = []
    for one, wrong in zip(chosen, rounding, strict=True):
        move = None
        if wrong < ROUNDED * float(np.linalg.norm(one.jump)):
            move = _unfelt(below, one.point, rng)
        if move is not None:
            tested.append((one, move))
    strange = tested
    for share in ROOMS:
        strange = _that_jump(strange, share, size, ask)
    return AboveTest(len(others), len(tested), len(strange), len(chosen) - len(tested))


def _unfelt(
    below: Below, point: Float[np.ndarray, " inputs"], rng: np.random.Generator
) -> Float[np.ndarray, " inputs"] | None:
    """A random move, of length 1, that leaves the last features as they are; None without one."""
    size = below.architecture.input_size
    felt = below.tangents(point, np.eye(size)).reshape(size, -1)
    move = rng.standard_normal(size)
    left = move - felt @ np.linalg.lstsq(felt, move, rcond=None)[0]
    # Once more, for what rounding left.
    left = left - felt @ np.linalg.lstsq(felt, left, rcond=None)[0]
    length = float(np.linalg.norm(left))
    return left / length if length > NO_MOVE * float(np.linalg.norm(move)) else None


def _that_jump(
    pairs: list[tuple[Sighting, np.ndarray]], share: float, size: float, ask: Ask
) -> list[tuple[Sighting, np.ndarray]]:
    """Those kinks whose gradient jumps along their move."""
    if not pairs:
        return []
    points, ways = (np.array([getattr(one, name) for one, _ in pairs]) for name in ("point", "way"))
    room = share * np.array([one.room for one, _ in pairs])
    jumps = measure_jumps(ask, points, ways, room, [move[None] for _, move in pairs])
    least = OUTSIDE * np.array([np.linalg.norm(one.jump) for one, _ in pairs])
    least = np.maximum(least, rounding_of_jumps(size, room))
    return [
        pair
        for pair, jump, allowed in zip(pairs, jumps, least, strict=True)
        if np.linalg.norm(jump) > allowed
    ]
