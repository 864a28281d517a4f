"""Recovered channels beside those of the teacher."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.conv_layer import ConvLayer
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.scoring.alignment import match
from expand_and_cluster.scoring.distance import paired_cosine_distances, unit

# Lengths are taken out before rows are matched, and signs are known: nothing else is hidden.
HIDES_NOTHING = catalogue["g"]


@dataclass(frozen=True, eq=False)
class ChannelComparison:
    """One convolutional layer of teacher and recovery.

    Attributes:
        teacher: The teacher's kernels with bias, in the recovery's scales of the channels below,
            one row for each channel.
        recovered: The matching recovered rows, of the teacher's length; zero where missing.
        partner: For each teacher channel its recovered one, -1 where it is missing.
        distances: Cosine distance of each teacher channel, 1 where it is missing.
        excess: Number of recovered channels without a partner.
    """

    teacher: Float[np.ndarray, "channels size"]
    recovered: Float[np.ndarray, "channels size"]
    partner: Int[np.ndarray, " channels"]
    distances: Float[np.ndarray, " channels"]
    excess: int

    @property
    def missing(self) -> int:
        """Number of teacher channels that were not found."""
        return int(np.sum(self.partner < 0))


def compare_channels(
    recovered: Sequence[ConvLayer], teacher: ConvNetwork
) -> tuple[ChannelComparison, ...]:
    """Compare kernels layer by layer, after permutation and scale of the channels below.

    A kernel's entries for a channel below that was not recovered are left out of the teacher's, and
    those for an excess channel below out of the recovered one's.

    Args:
        recovered: Layers from the image on, at most as many as the teacher has.
        teacher: The known network.

    Raises:
        InvalidInputError: There are more layers than the teacher has, or kernels of another size.
    """
    if len(recovered) > len(teacher.convolutions):
        raise InvalidInputError(
            f"{len(recovered)} layers were given, but the teacher has {len(teacher.convolutions)}."
        )
    found: list[ChannelComparison] = []
    channels = np.arange(teacher.image[0])
    partner, scale = channels, np.ones(len(channels))
    for layer, truth in zip(recovered, teacher.convolutions, strict=False):
        if layer.weight.shape[2:] != truth.weight.shape[2:]:
            raise InvalidInputError(
                f"kernels are {layer.weight.shape[2:]}, but the teacher's are "
                f"{truth.weight.shape[2:]}."
            )
        here = partner >= 0
        known = np.asarray(truth.weight)[:, here] * scale[here, None, None]
        seen = np.asarray(layer.weight)[:, partner[here]]
        rows = _rows(known, np.asarray(truth.bias))
        others = _rows(seen, np.asarray(layer.bias))
        matched = match(unit(rows), unit(others), HIDES_NOTHING, HIDES_NOTHING)
        found.append(_comparison(rows, others, matched.partner, len(matched.excess)))
        partner = matched.partner
        # What a teacher channel gives, in units of what its partner gives.
        long = np.linalg.norm(rows, axis=1)
        short = np.linalg.norm(_partners(others, partner), axis=1)
        scale = np.where(partner >= 0, long / np.where(short > 0, short, 1.0), 1.0)
    return tuple(found)


def _comparison(
    rows: np.ndarray, others: np.ndarray, partner: np.ndarray, excess: int
) -> ChannelComparison:
    mine = _partners(others, partner)
    length = np.linalg.norm(mine, axis=1, keepdims=True)
    factor = np.linalg.norm(rows, axis=1, keepdims=True) / np.where(length > 0, length, 1.0)
    distances = np.where(partner >= 0, paired_cosine_distances(rows, mine), 1.0)
    return ChannelComparison(rows, mine * factor, partner, distances, excess)


def _partners(others: np.ndarray, partner: np.ndarray) -> np.ndarray:
    """The row of each partner, zeros for none."""
    return np.concatenate([others, np.zeros((1, others.shape[1]))])[partner]


def _rows(weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    flat = weight.reshape(len(weight), math.prod(weight.shape[1:]))
    return np.concatenate([flat, np.asarray(bias)[:, None]], axis=1)
