"""Reduce any network to the neurons that its function needs."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.refit import remove_by_refit
from expand_and_cluster.reconstruction.spanned import remove_spanned
from expand_and_cluster.reconstruction.steps import Taken, simplify
from expand_and_cluster.reconstruction.unskip import Unskipped, unskip
from expand_and_cluster.symmetries.classify import checked, parts
from expand_and_cluster.symmetries.kinds import Sorting, sort_neurons
from expand_and_cluster.symmetries.terms import Sampled, Terms, rms
from expand_and_cluster.symmetries.tolerance import MARGIN


@dataclass(frozen=True)
class Step:
    """One rewriting that keeps the function.

    Attributes:
        width: Hidden neurons of the layer that are left.
        reason: Why the function does not need the others.
        error: Root mean squared difference from the first network, relative to the outputs'
            spread; in a network of several hidden layers, of what the layer adds to the next.
        neurons: The neurons that took part, as numbered in the first network.
        layer: Hidden layer, 0 for the first.
        network: What is left of the layer, with the one after it as output, on the inputs that
            reach it; its activation's symmetry is about zero.
    """

    width: int
    reason: str
    error: float
    neurons: tuple[int, ...] = ()
    layer: int = 0
    network: Network | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Reduction:
    """A reduced network and how it came about.

    Attributes:
        network: The smallest network found with the same function on the inputs.
        steps: What was done, in order.
        error: Root mean squared difference from the first network, relative to the outputs' spread.
        sign_choices: Where flipped neurons leave an affine map (even + linear activations): how
            many choices of signs make it vanish. 1: the signs are known. 0: none does, and the map
            stays in `network.skip`. More: any of them gives the same function, and the inputs do
            not tell which is the teacher's. None: signs leave no map, or there are too many
            combinations to try.
    """

    network: Network
    steps: tuple[Step, ...]
    error: float
    sign_choices: int | None = None

    def __str__(self) -> str:
        """A line for every step, and one for the result."""
        lines = ["layer left     error step"]
        lines += [
            f"{step.layer:5d} {step.width:4d} {step.error:9.1e} {step.reason}: "
            f"{', '.join(map(str, step.neurons))}"
            for step in self.steps
        ]
        widths = "-".join(map(str, self.network.widths))
        skip = "" if self.network.skip is None else " with a skip"
        return "\n".join([*lines, f"reduced to {widths}{skip}, error {self.error:.1e}"])


def reduce(network: Network, inputs: ArrayLike, *, error: float | None = None) -> Reduction:
    """The smallest network with the same function on these inputs.

    Every neuron is classified (see `classify`), then the steps of the paper's Fig. A.6 are taken:
    copies are merged, neurons that cancel removed, constants folded into the next bias, neurons
    beyond the data and linear groups folded into an affine map, opposite copies merged, and signs
    chosen such that the affine map vanishes. Where no choice does it, neurons beyond the data stay
    neurons; if that is not enough either, the map stays in `network.skip`.
    Last, neurons that the others span exactly on the inputs are removed; and, where the error is
    given, those that are to spare once the rest is fitted again to the network's own outputs,
    within that error. Trained students, whose copies are not quite copies, need this.

    Several hidden layers are reduced one after the other, the first one first. An affine map of a
    layer's inputs has no place in an ordinary network there: what would leave one stays.

    Args:
        network: A single network; a skip is taken into account.
        inputs: (samples, input_size) where the function matters; at least as many as neurons.
        error: Root mean squared error of the network, relative to the spread of its outputs, for
            example the square root of its training loss; 0 allows for rounding alone. None: it is
            read off the network, which holds copies that are as far apart as it is imprecise.

    Raises:
        InvalidInputError: The network is an ensemble, a mixture of activations or constant on the
            inputs, the inputs do not fit it, or the error is negative or not finite.

    Source: section 4, Fig. A.6.
    """
    rows = checked(network, inputs, error)
    outputs = network(rows)
    if np.ptp(outputs, axis=0).max() == 0.0:
        raise InvalidInputError("network is constant on the inputs; it needs no hidden neuron.")
    steps: list[Step] = []
    choices = None
    reduced = network.centred()
    for layer in range(len(network.layers) - 1):
        *_, (part, seen) = parts(reduced, rows, last=layer)
        made = _reduce_layer(part, seen, error, layer, alone=len(network.layers) == 2)
        steps += made.steps
        choices = made.choices
        layers = list(reduced.layers)
        layers[layer : layer + 2] = made.network.layers
        skip = made.network.skip if len(layers) == 2 else reduced.skip
        reduced = reduced.replace(layers=tuple(layers), skip=skip)
    reduced = reduced.uncentred(network.activation)
    spread = float(np.sqrt(np.mean(outputs.var(axis=0))))
    final = rms(reduced(rows) - outputs) / spread
    return Reduction(reduced, tuple(steps), final, choices)


@dataclass(frozen=True)
class _ReducedLayer:
    network: Network
    steps: tuple[Step, ...]
    choices: int | None


def _reduce_layer(
    part: Network,
    rows: Float[np.ndarray, "samples inputs"],
    error: float | None,
    layer: int,
    *,
    alone: bool,
) -> _ReducedLayer:
    sampled = Sampled.of(part.activation, rows)
    terms = Terms.of(part)
    sorting = sort_neurons(terms, sampled, error)
    taken, signed = _rewrite(terms, sampled, sorting, affine=True, lines=True)
    if part.skip is None and signed.terms.affine[:, :-1].any():
        # Neurons beyond the data may be the teacher's: as neurons they need no skip.
        kept = _rewrite(terms, sampled, sorting, affine=True, lines=False)
        if not kept[1].terms.affine[:, :-1].any():
            taken, signed = kept
        elif not alone:
            taken, signed = _rewrite(terms, sampled, sorting, affine=False, lines=False)
    steps = [
        Step(
            len(each.terms.vectors),
            each.reason,
            each.error / sorting.scale,
            each.neurons,
            layer,
            each.terms.network(part.activation),
        )
        for each in taken
    ]
    network = signed.terms.network(part.activation)
    return _ReducedLayer(network, tuple(steps), signed.choices if alone else None)


def _rewrite(
    terms: Terms, sampled: Sampled, sorting: Sorting, *, affine: bool, lines: bool
) -> tuple[list[Taken], Unskipped]:
    taken = list(simplify(terms, sampled, sorting, affine=affine, lines=lines))
    now = taken[-1] if taken else Taken("", (), terms, tuple(range(len(terms.vectors))), 0.0)
    wanted = sampled.outputs(terms)
    rule = sampled.activation.symmetry.flip
    may_be_affine = lines and (
        bool(terms.affine[:, :-1].any()) or (rule is not None and rule.linear != 0.0)
    )
    for each in remove_spanned(now, sampled, sorting, wanted, affine=may_be_affine):
        taken.append(each)
        now = each
    for each in remove_by_refit(now, sampled, sorting, wanted, affine=may_be_affine):
        taken.append(each)
        now = each
    if not len(now.terms.vectors):
        now = Taken("", (), _one_idle_neuron(now.terms), (0,), now.error)
    # The affine map has gathered the errors of all steps: it vanishes if it is no larger.
    signed = unskip(now.terms, sampled, max(sorting.tolerance.change, MARGIN * now.error))
    if signed.reason:
        flipped = tuple(now.names[place] for place in signed.flipped)
        error = rms(sampled.outputs(signed.terms) - wanted)
        taken.append(Taken(signed.reason, flipped, signed.terms, now.names, error))
    return taken, signed


def _one_idle_neuron(terms: Terms) -> Terms:
    """An affine function as a network: a hidden layer has at least one neuron."""
    count, size = terms.affine.shape
    return Terms(np.zeros((1, size)), np.zeros((1, count)), terms.affine)
