"""What stands between two layers: one activation for all neurons, or one for each of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from expand_and_cluster.core.elementwise import elementwise
from expand_and_cluster.core.symmetry import Symmetry

Elementwise = Callable[[Array], Array]


class Flips(NamedTuple):
    """How every neuron of a layer answers the opposite pre-activation: `Flip`, neuron by neuron.

    Attributes:
        possible: Which neurons have a sign symmetry; the others have sign 1 and no left-over.
        sign: +1 or -1.
        linear: Slope of the left-over.
        constant: Constant of the left-over.
    """

    possible: Bool[np.ndarray, " neurons"]
    sign: Float[np.ndarray, " neurons"]
    linear: Float[np.ndarray, " neurons"]
    constant: Float[np.ndarray, " neurons"]


@dataclass(frozen=True)
class Activation:
    """An elementwise nonlinearity with its derivative and its symmetries, or a mixture of some.

    Two activations are equal when name and function are; the object can be hashed, so a compiled
    program is reused for all networks that share it.

    A mixture gives the neurons of a layer the activations `kinds` by turns: with as many kinds as
    neurons each has its own, with two every second neuron has the first. One object so serves
    layers of every width. It acts along the last axis, where a layer's neurons lie; see `by_rows`.

    Attributes:
        name: Catalogue name, or the name of the user's function; of a mixture, the names of its
            kinds with commas between them.
        function: Maps pre-activations to activations, elementwise, written with `jax.numpy`.
        derivative: Its first derivative, elementwise.
        symmetry: What it hides about a neuron; nothing for a mixture, whose neurons differ: see
            `of`, `flips` and `degrees`.
        kinds: Activations of a mixture, else empty.
    """

    name: str
    function: Elementwise
    derivative: Elementwise = field(compare=False)
    symmetry: Symmetry = field(compare=False)
    kinds: tuple["Activation", ...] = field(default=(), compare=False)

    def __call__(self, pre_activations: Array) -> Array:
        """Apply the function."""
        return self.function(pre_activations)

    def values(self, pre_activations: np.ndarray) -> np.ndarray:
        """The function of NumPy numbers of any shape, in double precision."""
        return self._by_kinds(pre_activations, lambda kind: kind.function)

    def slopes(self, pre_activations: np.ndarray) -> np.ndarray:
        """The derivative at NumPy numbers of any shape, in double precision."""
        return self._by_kinds(pre_activations, lambda kind: kind.derivative)

    def _by_kinds(
        self, numbers: np.ndarray, chosen: Callable[["Activation"], Elementwise]
    ) -> np.ndarray:
        if not self.kinds:
            return elementwise(chosen(self), numbers)
        found = np.empty(numbers.shape)
        for kind in self.each:
            mine = [k for k in range(numbers.shape[-1]) if self.of(k) == kind]
            found[..., mine] = elementwise(chosen(kind), numbers[..., mine])
        return found

    def of(self, neuron: int | np.integer) -> "Activation":
        """The activation of one neuron of a layer."""
        return self.kinds[neuron % len(self.kinds)] if self.kinds else self

    def only(self, neurons: Sequence[int] | np.ndarray) -> "Activation":
        """The activation of a layer that consists of these neurons of a layer with this one."""
        return mixture([self.of(k) for k in neurons]) if self.kinds else self

    def by_rows(self) -> "Activation":
        """The same for arrays whose neurons lie along the last axis but one."""
        return _by_turns(self.kinds, axis=-2) if self.kinds else self

    def places(self, kinds: Sequence["Activation"]) -> Int[np.ndarray, " neurons"]:
        """The first places of a layer with this activation that hold neurons of these kinds.

        Args:
            kinds: Activation of each neuron; of the kinds of this one.
        """
        turns = self.kinds or (self,)
        own = {kind: [k for k, each in enumerate(turns) if each == kind] for kind in self.each}
        seen: Counter[Activation] = Counter()
        found = []
        for kind in kinds:
            rounds, place = divmod(seen[kind], len(own[kind]))
            found.append(rounds * len(turns) + own[kind][place])
            seen[kind] += 1
        return np.array(found, dtype=int)

    @property
    def each(self) -> tuple["Activation", ...]:
        """The different activations that neurons have."""
        return tuple(dict.fromkeys(self.kinds)) or (self,)

    @property
    def leaves_line(self) -> bool:
        """Whether neurons exist whose flip leaves an affine map (even with a linear part)."""
        flips = [kind.symmetry.flip for kind in self.each]
        return any(flip is not None and flip.linear != 0.0 for flip in flips)

    def flips(self, width: int) -> Flips:
        """The sign symmetry of every neuron of a layer."""
        rules = [self.of(k).symmetry.flip for k in range(width)]
        return Flips(
            np.array([rule is not None for rule in rules], dtype=bool),
            np.array([1.0 if rule is None else rule.sign for rule in rules]),
            np.array([0.0 if rule is None else rule.linear for rule in rules]),
            np.array([0.0 if rule is None else rule.constant for rule in rules]),
        )

    def degrees(self, width: int) -> Float[np.ndarray, " neurons"]:
        """The degree of every neuron of a layer that is homogeneous; NaN for one that is not."""
        degrees = [self.of(k).symmetry.homogeneity for k in range(width)]
        return np.array([np.nan if each is None else each for each in degrees])


@dataclass(frozen=True)
class _ByTurns:
    """A function of arrays whose neurons, along one axis, take functions of their own by turns.

    Attributes:
        functions: Neuron k takes function k, counted round.
        axis: Where the neurons lie, counted from the end: -1 or -2.
    """

    functions: tuple[Elementwise, ...]
    axis: int

    def __call__(self, z: Array) -> Array:
        turns = np.arange(z.shape[self.axis]) % len(self.functions)
        turns = turns.reshape(-1, *(1,) * (-1 - self.axis))
        values = jnp.zeros_like(z)
        for function in dict.fromkeys(self.functions):
            mine = [k for k, each in enumerate(self.functions) if each is function]
            values = jnp.where(np.isin(turns, mine), function(z), values)
        return values


def mixture(kinds: Sequence[Activation]) -> Activation:
    """The activation of a layer whose neurons have these by turns; the one itself if all are.

    Args:
        kinds: At least one; none a mixture, each with a symmetry about zero.
    """
    return kinds[0] if len(set(kinds)) == 1 else _by_turns(tuple(kinds), axis=-1)


def _by_turns(kinds: tuple[Activation, ...], axis: int) -> Activation:
    return Activation(
        ",".join(kind.name for kind in kinds),
        _ByTurns(tuple(kind.function for kind in kinds), axis),
        _ByTurns(tuple(kind.derivative for kind in kinds), axis),
        Symmetry(),
        kinds,
    )


@lru_cache(maxsize=64)
def centred(activation: Activation) -> Activation:
    """The activation with the centre of its symmetry moved to zero.

    Args:
        activation: Any activation; one that is symmetric about zero is returned as it is.
    """
    symmetry = activation.symmetry
    center = symmetry.center
    if center == 0.0:
        return activation
    return Activation(
        activation.name,
        lambda z: activation.function(z + center),
        lambda z: activation.derivative(z + center),
        replace(symmetry, center=0.0),
    )
