"""What the students agree on where neurons have activations of their own: each kind apart."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from expand_and_cluster.clusters.cut_rules import CutRule, plateau_height
from expand_and_cluster.clusters.selection import Selection
from expand_and_cluster.core.activation import Activation, mixture
from expand_and_cluster.reconstruction.consensus import Consensus, Population, find_consensus


def consensus_by_kind(
    population: Population,
    activation: Activation,
    *,
    min_cluster_fraction: float,
    max_cluster_angle: float,
    rule: CutRule = plateau_height,
) -> Consensus | None:
    """Cluster the neurons of each kind as its symmetry asks, and join the clusters.

    Of several kinds, heights of the joint tree are in units of the height at which each kind was
    cut, so that one cut serves all; its last merges join the kinds.

    Args:
        population: Neurons of the students.
        activation: Activation of the students.
        min_cluster_fraction: Share of the imitating students a cluster needs (paper: gamma).
        max_cluster_angle: Largest median angle within a cluster, in radians (paper: beta).
        rule: How the height of each cut is chosen.

    Returns:
        None where no kind has two neurons that take part.
    """

    def clustered(part: Population, kind: Activation) -> Consensus | None:
        return find_consensus(
            part,
            min_cluster_fraction=min_cluster_fraction,
            max_cluster_angle=max_cluster_angle,
            sign_free=kind.symmetry.flip is not None,
            scale_free=kind.symmetry.scale_free,
            rule=rule,
        )

    if not activation.kinds:
        return clustered(population, activation)
    parts: list[Consensus] = []
    rows: list[np.ndarray] = []
    kinds: list[Activation] = []
    for kind in activation.each:
        own = np.array([activation.of(place) == kind for place in population.places], dtype=bool)
        one = clustered(population.part(own), kind)
        if one is not None:
            parts.append(one)
            rows.append(np.flatnonzero(own))
            kinds += [kind] * len(one.candidates)
    if not parts:
        return None
    return Consensus(
        np.concatenate([one.candidates for one in parts]),
        _joined_tree(parts, rows, len(population.vectors)),
        1.0,
        _joined_selection([one.selection for one in parts], rows, len(population.vectors)),
        mixture(kinds) if kinds else None,
    )


def _joined_tree(
    parts: Sequence[Consensus], rows: Sequence[Int[np.ndarray, " _"]], count: int
) -> np.ndarray:
    """One linkage over all neurons, in SciPy's form; a neuron in no part joins last."""
    merges, tops, sizes = [], [], []
    for part, own in zip(parts, rows, strict=True):
        tree = part.tree.copy()
        inner = count + len(merges) + np.arange(len(tree))
        tree[:, :2] = np.concatenate([own, inner])[tree[:, :2].astype(int)]
        tree[:, 2] /= part.height if part.height > 0.0 else 1.0
        merges += list(tree)
        tops.append(int(inner[-1]))
        sizes.append(len(own))
    lonely = np.setdiff1d(np.arange(count), np.concatenate(rows))
    tops, sizes = [*tops, *map(int, lonely)], [*sizes, *[1] * len(lonely)]
    highest = 1.1 * max(1.0, *(merge[2] for merge in merges))
    top, size = tops[0], sizes[0]
    for other, more in zip(tops[1:], sizes[1:], strict=True):
        size += more
        merges.append(np.array([top, other, highest, size]))
        top = count + len(merges) - 1
    order = np.argsort([merge[2] for merge in merges], kind="stable")
    # Rising heights, as a linkage has them; merges are renumbered to match.
    place = np.empty(len(order), dtype=int)
    place[order] = np.arange(len(order))
    tree = np.array(merges)[order]
    ends = tree[:, :2].astype(int)
    inner = ends >= count
    ends[inner] = count + place[ends[inner] - count]
    tree[:, :2] = ends
    return tree


def _joined_selection(
    parts: Sequence[Selection], rows: Sequence[Int[np.ndarray, " _"]], count: int
) -> Selection:
    labels = np.full(count, -1, dtype=np.int64)
    clusters, rejected = [], []
    for part, own in zip(parts, rows, strict=True):
        kept = part.labels >= 0
        labels[own[kept]] = len(clusters) + part.labels[kept]
        clusters += [replace(each, members=own[each.members]) for each in part.clusters]
        rejected += [replace(each, members=own[each.members]) for each in part.rejected]
    return Selection(tuple(clusters), labels, tuple(rejected))
