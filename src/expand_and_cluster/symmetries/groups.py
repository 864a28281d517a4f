"""Which neurons share their input vector, up to what the activation hides."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.symmetries.terms import Sampled, Terms, rms, rms_along

# Neurons of one group differ by no more than this share of their pre-activation's size.
LARGEST_DISTANCE = 0.1
# Two output weights of opposite signs put their common input vector outside the two: by at most
# this multiple of their distance.
LARGEST_EXTRAPOLATION = 0.5


@dataclass(frozen=True)
class Group:
    """Neurons that act as one, up to an affine map where their signs differ.

    Attributes:
        members: Indices of its neurons, the first of them decides the group's sign and scale.
        signs: +1 where a member's input vector points along the group's, -1 where against it.
        vector: Common input vector.
        output: Output weights of the one neuron that they act as.
        error: Root mean squared change of the outputs if that one takes their place.
        distance: Largest root mean squared difference of pre-activations from the common one.
    """

    members: tuple[int, ...]
    signs: tuple[int, ...]
    vector: Float[np.ndarray, " inputs_and_bias"]
    output: Float[np.ndarray, " outputs"]
    error: float = 0.0
    distance: float = 0.0

    @property
    def mixed(self) -> bool:
        """Whether members point both ways."""
        return len(set(self.signs)) > 1


def single(terms: Terms, neuron: int) -> Group:
    """The group of one neuron."""
    return Group((neuron,), (1,), terms.vectors[neuron], terms.outputs[neuron])


def find_groups(
    terms: Terms,
    sampled: Sampled,
    allowed: dict[int, float],
    change: float,
) -> list[Group]:
    """Merge neurons, nearest first, for as long as the outputs do not change.

    Two neurons that move apart in opposite ways change the outputs only to second order, so that
    neurons up to the square root of the tolerance apart are tried.

    Args:
        terms: The network.
        sampled: Activation and inputs.
        allowed: Neurons that take part, each with the change of the outputs that its merging may
            make.
        change: Change of the outputs that counts as none.

    Returns:
        The groups in the order of their first members; most of them hold a single neuron.
    """
    groups = {neuron: single(terms, neuron) for neuron in allowed}
    most, home = dict(allowed), {neuron: neuron for neuron in allowed}
    for i, j in _near_pairs(terms, sampled, list(allowed), change):
        if home[i] == home[j]:
            continue
        first, second = sorted((home[i], home[j]))
        merged = merge(groups[first], groups[second], sampled)
        more = merged.error - max(groups[first].error, groups[second].error)
        if more > min(most[first], most[second]):
            continue
        groups[first], most[first] = merged, max(most[first], most[second])
        del groups[second]
        for member in merged.members:
            home[member] = first
    return [_measured(groups[first], terms, sampled) for first in sorted(groups)]


def _near_pairs(
    terms: Terms, sampled: Sampled, chosen: list[int], change: float
) -> list[tuple[int, int]]:
    measured = sampled.measured(terms.vectors)
    amounts = rms_along(terms.outputs, axis=1)
    lengths = np.linalg.norm(measured, axis=1)
    symmetry = sampled.activation.symmetry
    if symmetry.homogeneity is not None:
        safe = np.where(lengths > 0.0, lengths, 1.0)
        amounts = amounts * safe**symmetry.homogeneity
        measured, lengths = measured / safe[:, None], np.ones(len(lengths))
    index = np.array(chosen, dtype=int)
    found = []
    for place, i in enumerate(chosen[:-1]):
        others = index[place + 1 :]
        gaps = np.linalg.norm(measured[others] - measured[i], axis=1)
        if symmetry.flip is not None:
            gaps = np.minimum(gaps, np.linalg.norm(measured[others] + measured[i], axis=1))
        least = np.minimum(amounts[others], amounts[i])
        reach = 3.0 * np.sqrt(change / np.maximum(least, 1e-300))
        reach = np.minimum(reach, LARGEST_DISTANCE * np.maximum(lengths[others], lengths[i]))
        found += [(gaps[k], i, int(others[k])) for k in np.flatnonzero(gaps <= reach)]
    return [(i, j) for _, i, j in sorted(found)]


def aligned(
    first: Group, second: Group, sampled: Sampled
) -> tuple[int, Float[np.ndarray, " inputs_and_bias"], Float[np.ndarray, " outputs"]]:
    """The second group with the first one's sign and scale, as far as the activation hides them.

    Returns:
        The sign, the input vector and the output weights; the affine map that a change of sign
        leaves is not part of them.
    """
    symmetry = sampled.activation.symmetry
    ends = sampled.measured(np.stack([first.vector, second.vector]))
    lengths = np.linalg.norm(ends, axis=1)
    ratio = 1.0
    if symmetry.homogeneity is not None and lengths.all():
        ratio = float(lengths[0] / lengths[1])
    sign = 1
    apart = np.linalg.norm(ends[0] - ratio * ends[1])
    if symmetry.flip is not None and np.linalg.norm(ends[0] + ratio * ends[1]) < apart:
        sign = -1
    output = second.output / ratio ** (symmetry.homogeneity or 0.0)
    if sign < 0 and symmetry.flip is not None:
        output = symmetry.flip.sign * output
    return sign, sign * ratio * second.vector, output


def merge(first: Group, second: Group, sampled: Sampled) -> Group:
    """Both groups as one, with the input vector that changes the outputs least."""
    sign, vector, output = aligned(first, second, sampled)
    total = first.output + output
    share = _share(first.output, output, total)
    common = share * first.vector + (1.0 - share) * vector
    values = sampled.values(sampled.pre_activations(np.stack([first.vector, vector, common])))
    change = np.outer(values[:, 0] - values[:, 2], first.output)
    change += np.outer(values[:, 1] - values[:, 2], output)
    return Group(
        first.members + second.members,
        first.signs + tuple(sign * each for each in second.signs),
        common,
        total,
        rms(change) + max(first.error, second.error),
    )


def _share(one: np.ndarray, other: np.ndarray, total: np.ndarray) -> float:
    """Where between two input vectors the common one lies: the change is then of second order."""
    power = float(total @ total)
    if power > 0.0:
        share = float(one @ total) / power
        if -LARGEST_EXTRAPOLATION <= share <= 1.0 + LARGEST_EXTRAPOLATION:
            return share
    sizes = np.linalg.norm(one), np.linalg.norm(other)
    return float(sizes[0] / sum(sizes)) if sum(sizes) > 0.0 else 0.5


def _measured(group: Group, terms: Terms, sampled: Sampled) -> Group:
    """The group with its error and distance, against all its members at once."""
    if len(group.members) == 1:
        return group
    rule = sampled.activation.symmetry.flip
    signs = np.array(group.signs)
    vectors = signs[:, None] * terms.vectors[list(group.members)]
    outputs = terms.outputs[list(group.members)]
    if rule is not None:
        outputs = np.where(signs < 0, rule.sign, 1)[:, None] * outputs
    pre = sampled.pre_activations(np.vstack([vectors, group.vector]))
    values = sampled.values(pre)
    change = values[:, :-1] @ outputs - np.outer(values[:, -1], group.output)
    apart = pre[:, :-1] - pre[:, -1:]
    if sampled.activation.symmetry.scale_free:
        lengths = rms_along(pre, axis=0)
        apart = pre[:, :-1] * (lengths[-1] / np.where(lengths[:-1] > 0, lengths[:-1], 1.0))
        apart = apart - pre[:, -1:]
    return Group(
        group.members,
        group.signs,
        group.vector,
        group.output,
        rms(change),
        float(rms_along(apart, axis=0).max()),
    )
