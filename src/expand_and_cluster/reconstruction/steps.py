"""The steps of Fig. A.6: each takes neurons out of a layer and keeps its function."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.symmetries.kinds import NeuronType, Sorting, TypedGroup
from expand_and_cluster.symmetries.terms import Sampled, Terms, flip_leftover, rms
from expand_and_cluster.symmetries.tolerance import affine_part

MERGE = "merge duplicates"
ZERO = "remove neurons whose output weights cancel"
CONSTANT = "fold a constant into the bias"
OFF_BOUND = "fold an off-bound neuron into an affine map"
LINEAR = "fold a linear group into an affine map"
OPPOSITE = "merge opposite duplicates"
SPANNED = "the others give the same outputs without it"

ACTING = (NeuronType.DUPLICATE, NeuronType.LINEAR_DUPLICATE_GROUP, NeuronType.CHANNEL_PAIR)


@dataclass(frozen=True)
class Taken:
    """One step.

    Attributes:
        reason: Why the function does not need the neurons that are gone.
        neurons: Which neurons took part, as numbered in the first network.
        terms: What is left.
        names: The numbers of the neurons that are left.
        error: Root mean squared difference from the first network's outputs.
    """

    reason: str
    neurons: tuple[int, ...]
    terms: Terms
    names: tuple[int, ...]
    error: float


class Remaining:
    """The neurons that are left, by their number in the first network.

    Args:
        terms: The first network.
        sampled: Activation and inputs.
    """

    def __init__(self, terms: Terms, sampled: Sampled) -> None:
        """Start with all neurons."""
        self.sampled = sampled
        self.vectors = dict(enumerate(terms.vectors))
        self.outputs = dict(enumerate(terms.outputs))
        self.affine = terms.affine.copy()
        # Activations are kept, so that a step costs what it changes.
        self.values = dict(enumerate(sampled.values(sampled.pre_activations(terms.vectors)).T))
        self.wanted = self._answers()

    def _answers(self) -> np.ndarray:
        total = self.sampled.inputs @ self.affine.T
        if self.values:
            names = list(self.values)
            values = np.stack([self.values[name] for name in names])
            total += values.T @ np.stack([self.outputs[name] for name in names])
        return total

    def taken(self, reason: str, neurons: tuple[int, ...]) -> Taken:
        """What is left after a step."""
        names = tuple(sorted(self.vectors))
        size, count = self.affine.shape[1], self.affine.shape[0]
        terms = Terms(
            np.array([self.vectors[name] for name in names]).reshape(-1, size),
            np.array([self.outputs[name] for name in names]).reshape(-1, count),
            self.affine.copy(),
        )
        return Taken(reason, neurons, terms, names, rms(self._answers() - self.wanted))

    def merge(
        self, members: list[int], vector: Float[np.ndarray, " inputs_and_bias"]
    ) -> tuple[int, ...]:
        """Let the first member take the place of all, with a common input vector.

        Members whose input vectors point against it are flipped, which may leave an affine map;
        lengths are brought to its length where the activation hides them.
        """
        symmetry = self.sampled.activation.symmetry
        lengths = np.linalg.norm(
            self.sampled.measured(np.stack([vector, *(self.vectors[i] for i in members)])), axis=1
        )
        total = np.zeros(len(self.affine))
        for member, length in zip(members, lengths[1:], strict=True):
            own, output = self.vectors.pop(member), self.outputs.pop(member)
            if symmetry.flip is not None and self._against(own, vector):
                self.affine += flip_leftover(own, output, symmetry.flip)
                output = symmetry.flip.sign * output
            if symmetry.homogeneity is not None and length > 0.0 and lengths[0] > 0.0:
                output = output * (length / lengths[0]) ** symmetry.homogeneity
            total += output
            del self.values[member]
        pre = self.sampled.pre_activations(vector[None])
        self.values[members[0]] = self.sampled.values(pre)[:, 0]
        self.vectors[members[0]], self.outputs[members[0]] = vector, total
        return tuple(members)

    def _against(self, own: np.ndarray, vector: np.ndarray) -> bool:
        one, other = self.sampled.measured(np.stack([own, vector]))
        return bool(one @ other < 0.0)

    def drop(self, neuron: int) -> None:
        """Remove a neuron that adds nothing."""
        del self.vectors[neuron], self.outputs[neuron], self.values[neuron]

    def fold(self, neuron: int, *, constant: bool = False) -> None:
        """Remove a neuron that acts as an affine map of the inputs, or as a constant."""
        vector, output = self.vectors.pop(neuron), self.outputs.pop(neuron)
        pre = self.sampled.pre_activations(vector[None])
        values = self.values.pop(neuron)[:, None]
        if constant:
            self.affine[:, -1] += output * float(values.mean())
            return
        slope, intercept, _ = affine_part(pre, values)
        line = float(slope[0]) * vector
        line[-1] += float(intercept[0])
        self.affine += np.outer(output, line)


def simplify(
    terms: Terms, sampled: Sampled, sorting: Sorting, *, affine: bool, lines: bool
) -> Iterator[Taken]:
    """Take out what the function does not need, in the order of Fig. A.6.

    Args:
        terms: The network.
        sampled: Activation and inputs.
        sorting: Its neurons by group.
        affine: Whether an affine map of the inputs may be left over. If not, what would leave
            one stays.
        lines: Whether off-bound neurons may leave one.

    Yields:
        What is left after each step.
    """
    left = Remaining(terms, sampled)
    rule = sampled.activation.symmetry.flip
    hides_opposites = rule is not None and rule.linear == 0.0
    for typed in sorting.groups:
        for members, vector in _copies(typed, hides_opposites):
            yield left.taken(MERGE, left.merge(members, vector))
    present = [(each, [i for i in each.members if i in left.vectors]) for each in sorting.groups]
    for typed, members in present:
        if typed.kind == NeuronType.ZERO:
            for neuron in members:
                left.drop(neuron)
            yield left.taken(ZERO, tuple(members))
    for typed, members in present:
        if typed.kind == NeuronType.CONSTANT:
            for neuron in members:
                left.fold(neuron, constant=True)
            yield left.taken(CONSTANT, tuple(members))
    for typed, members in present:
        if typed.kind == NeuronType.OFF_BOUND and (lines or _flat(left, members, sorting)):
            for neuron in members:
                left.fold(neuron, constant=not lines)
            yield left.taken(OFF_BOUND, tuple(members))
    if not affine:
        return
    for typed, members in present:
        if typed.kind == NeuronType.LINEAR_GROUP:
            if len(members) > 1:
                left.merge(members, typed.group.vector)
            left.fold(members[0])
            yield left.taken(LINEAR, tuple(members))
    for typed in sorting.groups:
        if typed.kind in ACTING:
            for half in (typed.group, typed.partner):
                both = [] if half is None else [i for i in half.members if i in left.vectors]
                if half is not None and len(both) > 1:
                    yield left.taken(OPPOSITE, left.merge(both, half.vector))


def _copies(
    typed: TypedGroup, hides_opposites: bool
) -> Iterator[tuple[list[int], Float[np.ndarray, " inputs_and_bias"]]]:
    """Members that point the same way, or either way if their sign leaves only a constant."""
    for group in (typed.group, typed.partner):
        if group is None:
            continue
        if hides_opposites or not group.mixed:
            if len(group.members) > 1:
                yield list(group.members), group.vector
            continue
        for way in (1, -1):
            same = [i for i, sign in zip(group.members, group.signs, strict=True) if sign == way]
            if len(same) > 1:
                yield same, way * group.vector


def _flat(left: Remaining, members: list[int], sorting: Sorting) -> bool:
    """Whether these neurons are constant on the inputs."""
    for neuron in members:
        varies = float(left.values[neuron].std())
        if varies * float(np.sqrt(np.mean(left.outputs[neuron] ** 2))) > sorting.tolerance.change:
            return False
    return True
