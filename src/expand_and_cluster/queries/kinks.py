"""Where the outputs bend along lines: exact places of kinks of piecewise linear networks.

Along a line the outputs of a network of relu neurons are linear between kinks. Two stretches that
are known by value and slope meet at one point; where the answer there is the one both foretell,
the stretch holds exactly one kink and its place is known to rounding. Otherwise the stretch is
cut in two. Critical points of relu networks: Milli et al. (2019); Carlini, Jagielski & Mironov
(2020).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

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
        near_line: Line of each stretch too short to cut in which several kinks remain.
        near_place: The middle of each.
    """

    line: Int[np.ndarray, " kinks"]
    place: Float[np.ndarray, " kinks"]
    room: Float[np.ndarray, " kinks"]
    jump: Float[np.ndarray, "kinks outputs"]
    near_line: Int[np.ndarray, " stretches"]
    near_place: Float[np.ndarray, " stretches"]

    @property
    def unresolved(self) -> int:
        """Number of stretches in which several kinks remain."""
        return len(self.near_line)


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
    lines = _Lines(ask, starts, ends)
    left = lines.whole
    found: list[tuple[np.ndarray, ...]] = [lines.none]
    near = [left.take(np.zeros(0, dtype=np.int64))]
    for _ in range(CUTS):
        if not len(left.line):
            break
        bent = lines.bent(left)
        if not len(bent.line):
            left = near[0]
            break
        meeting = lines.confirmed(bent, lines.meeting(bent))
        found.append(_at_meetings(bent, meeting))
        short = bent.length <= SHORTEST
        near.append(bent.take(~meeting.single & short))
        left = _cut(bent, meeting, ~meeting.single & ~short)
    return _sorted(found, [*near, left])


@dataclass(frozen=True)
class _Stretches:
    """Parts of lines, with the outputs at both ends; slopes there once they are asked."""

    line: Int[np.ndarray, " stretches"]
    start: Float[np.ndarray, " stretches"]
    end: Float[np.ndarray, " stretches"]
    first: Float[np.ndarray, "stretches outputs"]
    last: Float[np.ndarray, "stretches outputs"]
    before: Float[np.ndarray, "stretches outputs"]
    after: Float[np.ndarray, "stretches outputs"]

    @property
    def length(self) -> Float[np.ndarray, " stretches"]:
        return self.end - self.start

    def take(self, rows: np.ndarray) -> "_Stretches":
        return _Stretches(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class _Meeting:
    """Where the first and the last straight line of each stretch come nearest to each other.

    Attributes:
        share: Distance from the stretch's start; where they do not meet, of a place to cut.
        value: The outputs there.
        single: Whether there is one kink, and no other in the stretch.
    """

    share: Float[np.ndarray, " stretches"]
    value: Float[np.ndarray, "stretches outputs"]
    single: Bool[np.ndarray, " stretches"]


class _Lines:
    """Lines that can be asked at any place."""

    def __init__(self, ask: Ask, starts: np.ndarray, ends: np.ndarray) -> None:
        self._ask, self._starts, self._ways = ask, starts, ends - starts
        first, last = ask(starts), ask(ends)
        size = max(float(np.abs(first).max()), float(np.abs(last).max()), np.finfo(float).tiny)
        self._tolerance = STRAIGHT * size / END
        count = len(starts)
        slopes = np.zeros_like(first)
        self.whole = _Stretches(
            np.arange(count), np.zeros(count), np.ones(count), first, last, slopes, slopes
        )
        nothing = np.zeros(0)
        self.none = (np.zeros(0, dtype=np.int64), nothing, nothing, slopes[:0])

    def _at(self, line: np.ndarray, place: np.ndarray) -> np.ndarray:
        return self._ask(self._starts[line] + place[:, None] * self._ways[line])

    def bent(self, left: _Stretches) -> _Stretches:
        """The stretches that are not straight, with the slopes at both ends."""
        length, count = left.length, len(left.line)
        places = np.concatenate([left.start + END * length, left.end - END * length])
        near = self._at(np.tile(left.line, 2), places)
        before = (near[:count] - left.first) / (END * length)[:, None]
        after = (left.last - near[count:]) / (END * length)[:, None]
        rise = left.last - left.first
        off = np.maximum(
            np.abs(rise - before * length[:, None]), np.abs(after - before) * length[:, None]
        ).max(axis=1)
        return replace(left, before=before, after=after).take(off > self._tolerance)

    def meeting(self, bent: _Stretches) -> _Meeting:
        """Where the straight lines at both ends meet, and whether the answer there is theirs."""
        length, jump = bent.length, bent.after - bent.before
        gap = bent.after * length[:, None] - (bent.last - bent.first)
        share = np.sum(jump * gap, axis=1) / np.maximum(np.sum(jump**2, axis=1), 1e-300)
        inside = (share > END * length) & (share < (1.0 - END) * length)
        share = np.where(inside, share, CUT * length)
        value = self._at(bent.line, bent.start + share)
        coming, going = _foretold(bent, share)
        off = np.maximum(np.abs(value - coming), np.abs(value - going)).max(axis=1)
        return _Meeting(share, value, inside & (off <= self._tolerance))

    def confirmed(self, bent: _Stretches, meeting: _Meeting) -> _Meeting:
        """The meeting, `single` only where there is a bend at the place itself.

        Two kinks of one neuron bend all outputs alike, so that the lines outside them may meet
        elsewhere, on either.
        """
        rows = np.flatnonzero(meeting.single)
        if not len(rows):
            return meeting
        some, share, count = bent.take(rows), meeting.share[rows], len(rows)
        aside = END * np.minimum(share, some.length - share)
        places = np.concatenate([share - aside, share + aside]) + np.tile(some.start, 2)
        around = self._at(np.tile(some.line, 2), places)
        coming, going = _foretold(some, share)
        off = np.maximum(
            np.abs(around[:count] - (coming - aside[:, None] * some.before)),
            np.abs(around[count:] - (going + aside[:, None] * some.after)),
        ).max(axis=1)
        others = off > self._tolerance
        moved, value, single = meeting.share.copy(), meeting.value.copy(), meeting.single.copy()
        single[rows[others]] = False
        # Another kink may stand just there, and a cut through it would hide it from both sides.
        moved[rows[others]] -= aside[others]
        value[rows[others]] = around[:count][others]
        return _Meeting(moved, value, single)


def _foretold(bent: _Stretches, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the first and the last straight line say at a place."""
    coming = bent.first + bent.before * share[:, None]
    return coming, bent.last - bent.after * (bent.length - share)[:, None]


def _at_meetings(bent: _Stretches, meeting: _Meeting) -> tuple[np.ndarray, ...]:
    """Line, place, room and jump of the kinks that stand alone."""
    one, share = meeting.single, meeting.share
    room = np.minimum(share, bent.length - share)
    return bent.line[one], (bent.start + share)[one], room[one], (bent.after - bent.before)[one]


def _cut(bent: _Stretches, meeting: _Meeting, rows: Bool[np.ndarray, " stretches"]) -> _Stretches:
    """Both parts of stretches with several kinks.

    The meeting point is as good a cut as any: its answer is known already.
    """
    left, value = bent.take(rows), meeting.value[rows]
    place = left.start + meeting.share[rows]
    return _Stretches(
        np.tile(left.line, 2),
        np.concatenate([left.start, place]),
        np.concatenate([place, left.end]),
        np.concatenate([left.first, value]),
        np.concatenate([value, left.last]),
        np.tile(left.before, (2, 1)),
        np.tile(left.after, (2, 1)),
    )


def _sorted(found: list[tuple[np.ndarray, ...]], near: list[_Stretches]) -> Kinks:
    line, place, room, jump = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((place, line))
    near_line = np.concatenate([each.line for each in near])
    middle = np.concatenate([0.5 * (each.start + each.end) for each in near])
    return Kinks(line[order], place[order], room[order], jump[order], near_line, middle)
