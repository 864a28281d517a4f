"""The types that a hidden neuron can have, and which one a group of neurons is."""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.symmetry import Flip
from expand_and_cluster.symmetries.channels import find_channels
from expand_and_cluster.symmetries.groups import Group, find_groups, single
from expand_and_cluster.symmetries.terms import Sampled, Terms, flip_leftover, rms, rms_along
from expand_and_cluster.symmetries.tolerance import (
    Tolerance,
    affine_part,
    both_sides,
    find_tolerance,
)

# A neuron that adds no more than counts as none is of another type all the same, if what is left
# then is this much less.
CLEAR = 100.0


class NeuronType(StrEnum):
    """What a hidden neuron does (paper, Fig. 2 and A.5)."""

    SINGLE = "single"
    DUPLICATE = "duplicate"
    ZERO = "zero"
    CONSTANT = "constant"
    LINEAR_GROUP = "linear group"
    LINEAR_DUPLICATE_GROUP = "linear duplicate group"
    OFF_BOUND = "off-bound"
    CHANNEL_PAIR = "channel-to-infinity pair"


@dataclass(frozen=True)
class TypedGroup:
    """Neurons that belong together and what they do, with the numbers that decided it.

    Attributes:
        kind: Their type.
        group: Members, signs and the one neuron that they act as.
        side: For off-bound neurons +1 where all inputs lie on the positive side of the group's
            hyperplane, -1 for the negative side; else 0.
        remaining: Root mean squared contribution of the one neuron that they act as.
        bend: What of it is left beyond an affine map of its pre-activation.
        spread: Change of the outputs that their pre-activations' variation makes at most.
        partner: Other half of a channel pair.
    """

    kind: NeuronType
    group: Group
    side: int
    remaining: float
    bend: float
    spread: float
    partner: Group | None = None

    @property
    def members(self) -> tuple[int, ...]:
        """Indices of the neurons, both halves of a pair."""
        return self.group.members + (self.partner.members if self.partner else ())


@dataclass(frozen=True)
class Sorting:
    """All neurons of a layer in groups.

    Attributes:
        groups: In the order of their first members.
        tolerance: What counted as no change.
        scale: Spread of the outputs, to which errors are relative.
    """

    groups: tuple[TypedGroup, ...]
    tolerance: Tolerance
    scale: float


def sort_neurons(terms: Terms, sampled: Sampled, error: float | None) -> Sorting:
    """Put every neuron into its group and say what each group does.

    Args:
        terms: The network.
        sampled: Activation and inputs.
        error: Error of the outputs relative to their spread, None to read it off the network.
    """
    pre = sampled.pre_activations(terms.vectors)
    answers = sampled.values(pre) @ terms.outputs + sampled.inputs @ terms.affine.T
    spread = float(np.sqrt(np.mean(answers.var(axis=0))))
    scale = spread if spread > 0.0 else max(rms(answers), 1.0)
    tolerance = find_tolerance(terms, sampled, pre, scale, None if error is None else error * scale)
    change = tolerance.change
    reach = both_sides(sampled, pre)
    amounts = rms_along(terms.outputs, axis=1)
    varying = amounts * sampled.steepest * pre.std(axis=0)
    parts = amounts * reach
    most = np.where(parts > change, change, parts / CLEAR)
    constant = varying < most
    found = [
        TypedGroup(
            NeuronType.CONSTANT, single(terms, k), 0, float(parts[k]), 0.0, float(varying[k])
        )
        for k in np.flatnonzero(constant).tolist()
    ]
    allowed = {k: float(most[k]) for k in np.flatnonzero(~constant).tolist()}
    named = [_name(g, terms, sampled, change) for g in find_groups(terms, sampled, allowed, change)]
    groups = sorted(found + _pair_up(named, sampled, change), key=lambda each: min(each.members))
    return Sorting(tuple(groups), tolerance, scale)


def leftover(
    group: Group, terms: Terms, rule: Flip
) -> Float[np.ndarray, "outputs inputs_and_bias"]:
    """The affine map that stays when all members are turned to the group's sign."""
    total = np.zeros((len(group.output), len(group.vector)))
    for member, sign in zip(group.members, group.signs, strict=True):
        if sign < 0:
            total += flip_leftover(-terms.vectors[member], terms.outputs[member], rule)
    return total


def _name(group: Group, terms: Terms, sampled: Sampled, change: float) -> TypedGroup:
    pre = sampled.pre_activations(group.vector[None])
    values = sampled.values(pre)
    amount = rms(group.output)
    reach = float(both_sides(sampled, pre)[0])
    bend = amount * float(affine_part(pre, values)[2][0])
    side = 1 if pre.min() > 0.0 else -1 if pre.max() < 0.0 else 0
    rule = sampled.activation.symmetry.flip
    linear = rule is not None and rule.linear != 0.0
    several = len(group.members) > 1
    if amount * reach <= change:
        kind = NeuronType.ZERO
        if group.mixed and rule is not None:
            left = sampled.inputs @ leftover(group, terms, rule).T
            if rms(left) > change:
                kind = NeuronType.LINEAR_GROUP if linear else NeuronType.CONSTANT
    elif bend <= change:
        kind = NeuronType.OFF_BOUND if side else NeuronType.LINEAR_GROUP
    elif group.mixed and linear:
        kind = NeuronType.LINEAR_DUPLICATE_GROUP
    else:
        kind = NeuronType.DUPLICATE if several else NeuronType.SINGLE
    if kind != NeuronType.OFF_BOUND:
        side = 0
    spread = amount * sampled.steepest * float(pre.std())
    return TypedGroup(kind, group, side, amount * rms(values), bend, spread)


def _pair_up(named: list[TypedGroup], sampled: Sampled, change: float) -> list[TypedGroup]:
    acting = (NeuronType.SINGLE, NeuronType.DUPLICATE, NeuronType.LINEAR_DUPLICATE_GROUP)
    able = [each for each in named if each.kind in acting]
    pairs = find_channels([each.group for each in able], sampled, change)
    paired = {place for pair in pairs for place in pair}
    joined = [
        replace(able[i], kind=NeuronType.CHANNEL_PAIR, partner=able[j].group) for i, j in pairs
    ]
    alone = [each for place, each in enumerate(able) if place not in paired]
    return [each for each in named if each.kind not in acting] + alone + joined
