"""Where the outputs bend along lines: exact places of kinks of piecewise linear networks.

Along a line the outputs of a network of relu neurons are linear between kinks. Two stretches that
are known by value and slope meet at one point; where the answer there is the one both foretell,
the stretch holds exactly one kink and its place is known to rounding. Otherwise the stretch is
cut in two. Critical points of relu networks: Milli et al. (2019); Carlini, Jagielski & Mironov
(2020).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

Ask = Callable[[Float[np.ndarray, "rows inputs"]], Float[np.ndarray, "rows outputs"]]

# A slope is taken over this share of a stretch: long enough for precision, short enough to be free
# of kinks more often than not.
END = 1.0 / 32.0
# Deviation from a straight line, relative to the outputs' size, that rounding alone explains.
STRAIGHT = 1e-12
# Where a stretch is cut that shows no meeting point: no simple fraction, at which kinks may stand.
CUT = 0.47140452
# Shortest stretch, as a share of the line, that is cut once more.
SHORTEST = 1e-6
# Cuts at most: log2 of the above, and some.
CUTS = 24


@dataclass(frozen=True)
class Kinks:
    """Kinks found along lines.

    Attributes:
        line: Line of each kink.
        place: Where on it, 0 at its start and 1 at its end.
        room: Distance to the nearest end of the stretch that is known to hold no other kink.
        jump: Slope of the outputs after the kink less that before it, for a step of the whole line.
        unresolved: Stretches too short to cut in which several kinks remain.
    """

    line: Int[np.ndarray, " kinks"]
    place: Float[np.ndarray, " kinks"]
    room: Float[np.ndarray, " kinks"]
    jump: Float[np.ndarray, "kinks outputs"]
    unresolved: int


@dataclass(frozen=True)
class _Stretches:
    line: Int[np.ndarray, " stretches"]
    start: Float[np.ndarray, " stretches"]
    end: Float[np.ndarray, " stretches"]
    first: Float[np.ndarray, "stretches outputs"]
    last: Float[np.ndarray, "stretches outputs"]

    def take(self, rows: np.ndarray) -> "_Stretches":
        return _Stretches(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def find_kinks(
    ask: Ask, starts: Float[np.ndarray, "lines inputs"], ends: Float[np.ndarray, "lines inputs"]
) -> Kinks:
    """All kinks of the outputs along straight lines, all lines at once.

    Args:
        ask: Answers inputs with outputs of a piecewise linear function, in double precision.
        starts: Where each line begins.
        ends: Where it ends.

    Returns:
        The kinks, sorted by line and place. Costs some 10 queries for each.
    """
    lines = len(starts)
    first, last = ask(starts), ask(ends)
    size = max(float(np.abs(first).max()), float(np.abs(last).max()), np.finfo(float).tiny)
    left = _Stretches(np.arange(lines), np.zeros(lines), np.ones(lines), first, last)
    found: list[tuple[np.ndarray, ...]] = []
    ways = ends - starts
    unresolved = 0

    def at(line: np.ndarray, place: np.ndarray) -> np.ndarray:
        return ask(starts[line] + place[:, None] * ways[line])

    for _ in range(CUTS):
        if not len(left.line):
            break
        length = left.end - left.start
        count = len(left.line)
        near = at(np.tile(left.line, 2), np.concatenate(
            [left.start + END * length, left.end - END * length]
        ))  # fmt: skip
        before = (near[:count] - left.first) / (END * length)[:, None]
        after = (left.last - near[count:]) / (END * length)[:, None]
        jump = after - before
        rise = left.last - left.first
        straight = np.maximum(
            np.abs(rise - before * length[:, None]), np.abs(jump) * length[:, None]
        ).max(axis=1)
        bent = straight > STRAIGHT * size / END
        # Where the first and the last straight line come nearest to each other.
        gap = after * length[:, None] - rise
        share = np.sum(jump * gap, axis=1) / np.maximum(np.sum(jump**2, axis=1), 1e-300)
        inside = (share > END * length) & (share < (1.0 - END) * length)
        share = np.where(inside, share, CUT * length)
        bent_rows = np.flatnonzero(bent)
        left, share, before = left.take(bent_rows), share[bent_rows], before[bent_rows]
        after = after[bent_rows]
        inside, jump, length = inside[bent_rows], jump[bent_rows], length[bent_rows]
        if not len(left.line):
            break
        met = at(left.line, left.start + share)
        coming = left.first + before * share[:, None]
        going = left.last - after * (length - share)[:, None]
        off = np.maximum(np.abs(met - coming), np.abs(met - going)).max(axis=1)
        one = inside & (off <= STRAIGHT * size / END)
        room = np.minimum(share, length - share)
        # Two kinks of one neuron bend all outputs alike, so that the lines outside them may meet
        # elsewhere, on either: only a bend at the place itself is a kink there.
        near, aside = np.flatnonzero(one), END * room[one]
        count = len(near)
        if count:
            around = at(
                np.tile(left.line[near], 2),
                np.tile((left.start + share)[near], 2) + np.concatenate([-aside, aside]),
            )
            coming, going = coming[near], going[near]
            off = np.maximum(
                np.abs(around[:count] - (coming - aside[:, None] * before[near])),
                np.abs(around[count:] - (going + aside[:, None] * after[near])),
            ).max(axis=1)
            one[near] = off <= STRAIGHT * size / END
            # Another kink may stand just there, and a cut through it would hide it from both sides.
            others = ~one[near]
            share[near[others]] -= aside[others]
            met[near[others]] = around[:count][others]
        found.append((left.line[one], (left.start + share)[one], room[one], jump[one]))
        rest = np.flatnonzero(~one & (length > SHORTEST))
        unresolved += int(np.sum(~one & (length <= SHORTEST)))
        # The meeting point of a stretch with several kinks is as good a cut as any: its answer is
        # known already.
        cut, value = (left.start + share)[rest], met[rest]
        left = left.take(rest)
        left = _Stretches(
            np.tile(left.line, 2),
            np.concatenate([left.start, cut]),
            np.concatenate([cut, left.end]),
            np.concatenate([left.first, value]),
            np.concatenate([value, left.last]),
        )
    unresolved += len(left.line)
    if not found:
        nothing = np.zeros(0)
        jumps = np.zeros((0, first.shape[1]))
        return Kinks(np.zeros(0, dtype=np.int64), nothing, nothing, jumps, unresolved)
    line, place, room, jump = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((place, line))
    return Kinks(line[order], place[order], room[order], jump[order], unresolved)
