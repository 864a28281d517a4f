"""Pairs of neurons on a channel to infinity: together a neuron plus its derivative."""

import numpy as np

from expand_and_cluster.symmetries.groups import Group, aligned
from expand_and_cluster.symmetries.terms import Sampled, rms

# The two are a pair if what they add up to is at most this share of what each is alone, ...
CANCELLATION = 0.1
# ... and a neuron plus its derivative make up all but this share of it.
REMAINDER = 0.01


def find_channels(
    groups: list[Group], sampled: Sampled, change: float
) -> tuple[tuple[int, int], ...]:
    """Pairs of groups that act as a neuron plus its derivative.

    Their input vectors nearly coincide and their output weights are large and nearly opposite:
    while the vectors approach each other the weights diverge, and the function stays.

    Args:
        groups: Groups that act as a neuron each.
        sampled: Activation and inputs.
        change: Change of the outputs that counts as none.

    Returns:
        Places in `groups`, each in one pair at most.

    Source: *Flat Channels to Infinity in Neural Loss Landscapes*, arXiv 2506.14951.
    """
    if len(groups) < 2:
        return ()
    measured = sampled.measured(np.array([group.vector for group in groups]))
    lengths = np.linalg.norm(measured, axis=1)
    if sampled.activation.symmetry.scale_free:
        measured, lengths = measured / lengths[:, None], np.ones(len(groups))
    near = []
    for i in range(len(groups)):
        for j in range(i + 1, len(groups)):
            gap = np.linalg.norm(measured[i] - measured[j])
            if sampled.activation.symmetry.flip is not None:
                gap = min(gap, np.linalg.norm(measured[i] + measured[j]))
            if gap <= CANCELLATION * max(lengths[i], lengths[j]):
                near.append((gap, i, j))
    pairs: list[tuple[int, int]] = []
    taken: set[int] = set()
    for _, i, j in sorted(near):
        if not {i, j} & taken and _is_channel(groups[i], groups[j], sampled, change):
            pairs.append((i, j))
            taken |= {i, j}
    return tuple(pairs)


def _is_channel(one: Group, other: Group, sampled: Sampled, change: float) -> bool:
    _, vector, output = aligned(one, other, sampled)
    middle = 0.5 * (one.vector + vector)
    pre = sampled.pre_activations(np.stack([one.vector, vector, middle]))
    values = sampled.values(pre)
    parts = np.outer(values[:, 0], one.output), np.outer(values[:, 1], output)
    alone = min(rms(parts[0]), rms(parts[1]))
    if rms(parts[0] + parts[1]) > CANCELLATION * alone:
        return False
    slopes = sampled.slopes(pre[:, 2])
    derivative = np.outer((pre[:, 0] - pre[:, 2]) * slopes, one.output)
    derivative += np.outer((pre[:, 1] - pre[:, 2]) * slopes, output)
    rest = parts[0] + parts[1] - np.outer(values[:, 2], one.output + output) - derivative
    size = rms(derivative)
    return size > change and rms(rest) <= max(change, REMAINDER * size)
