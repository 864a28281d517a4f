"""How the outputs' gradient jumps at a kink: a multiple of one unit's gradient."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from expand_and_cluster.queries.kinks import Ask

# Distance from the kink on both sides, as a share of the room around it.
ASIDE = 0.25
# Step of a difference, as a share of the distance to the kink: the gradient's other entries must
# not bring it back to the kink.
STEP = 0.05
# Rounding of an answer, relative to the answers' size.
ROUNDED = 32.0 * np.finfo(np.float64).eps


def measure_jumps(
    ask: Ask,
    points: Float[np.ndarray, "kinks inputs"],
    ways: Float[np.ndarray, "kinks inputs"],
    room: Float[np.ndarray, " kinks"],
    moves: Sequence[Float[np.ndarray, "_ inputs"]],
) -> list[Float[np.ndarray, "_ outputs"]]:
    """Derivatives along moves after a kink, less those before it.

    Args:
        ask: Answers inputs with outputs.
        points: The kinks.
        ways: Direction of the line on which each was found, of length 1.
        room: Distance on that line to the next kink, or less.
        moves: For each kink the directions to measure, of length 1.

    Returns:
        For each kink one row for each move. Costs two questions for each row, and two.
    """
    rows, steps = [], []
    for point, way, free, directions in zip(points, ways, room, moves, strict=True):
        aside = ASIDE * free
        steps.append(STEP * aside)
        for side in (point - aside * way, point + aside * way):
            rows += [side[None], side + steps[-1] * directions]
    if not rows:
        return []
    answers = ask(np.concatenate(rows))
    found, start = [], 0
    for directions, step in zip(moves, steps, strict=True):
        count = len(directions) + 1
        before, after = answers[start : start + 2 * count].reshape(2, count, -1)
        start += 2 * count
        found.append(((after[1:] - after[:1]) - (before[1:] - before[:1])) / step)
    return found


def rounding_of_jumps(
    size: float, room: Float[np.ndarray, " kinks"]
) -> Float[np.ndarray, " kinks"]:
    """How large a jump rounding alone makes.

    Args:
        size: Of the answers.
        room: Distance to the next kink, or less, as given to `measure_jumps`.
    """
    return ROUNDED * size / (STEP * ASIDE * room)
