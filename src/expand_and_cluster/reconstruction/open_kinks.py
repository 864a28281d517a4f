"""Kinks of one layer that none of its known channels explains."""

from collections.abc import Iterable

import numpy as np

from expand_and_cluster.reconstruction.below import Below
from expand_and_cluster.reconstruction.known_kinks import PIECE, channels_at
from expand_and_cluster.reconstruction.layer_geometry import Place
from expand_and_cluster.reconstruction.sightings import Sighting


class OpenKinks:
    """Kinks around the unit that lines go through at present, and those of earlier units.

    Args:
        below: The layers below that of the kinks.

    Attributes:
        here: Around the present unit.
        behind: Of earlier units.
    """

    def __init__(self, below: Below) -> None:
        """Begin without a kink."""
        self.below = below
        self.here: list[Sighting] = []
        self.behind: list[Sighting] = []

    @property
    def all(self) -> list[Sighting]:
        """Both kinds."""
        return self.here + self.behind

    def move_on(self) -> None:
        """Go to another unit, where kinks bend the outputs in other proportions."""
        self.behind, self.here = self.all, []

    def come_back(self, place: Place) -> None:
        """Go to the unit of an earlier place again; what was found there joins what will be."""
        self.move_on()
        self.here = [one for one in self.behind if one.place is place]
        self.behind = [one for one in self.behind if one.place is not place]

    def drop(self, sightings: Iterable[Sighting]) -> None:
        """Forget some."""
        gone = set(map(id, sightings))
        self.here = [one for one in self.here if id(one) not in gone]
        self.behind = [one for one in self.behind if id(one) not in gone]

    def explained_by(self, vector: np.ndarray) -> int:
        """Forget those that a channel explains; their number.

        Args:
            vector: Its kernel, bias last.
        """
        everything, gone = self.all, []
        for start in range(0, len(everything), PIECE):
            piece = everything[start : start + PIECE]
            hits = channels_at(self.below, vector[None], np.array([one.point for one in piece]))
            gone += [one for one, hit in zip(piece, hits[:, 0], strict=True) if hit]
        self.drop(gone)
        return len(gone)
