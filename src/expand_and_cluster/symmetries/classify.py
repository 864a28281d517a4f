"""Say of every hidden neuron what it does."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.queries.arrays import read_rows
from expand_and_cluster.symmetries.groups import aligned
from expand_and_cluster.symmetries.kinds import NeuronType, Sorting, TypedGroup, sort_neurons
from expand_and_cluster.symmetries.terms import Sampled, Terms, rms_along


@dataclass(frozen=True)
class ClassifiedNeuron:
    """One hidden neuron, what it does and the numbers that decided it.

    All numbers are changes of the outputs, root mean squared over samples and outputs and relative
    to the outputs' spread: a number up to `Classification.tolerance` counts as zero.

    Attributes:
        layer: Hidden layer, 0 for the first.
        index: Place in its layer.
        type: What it does.
        group: Number of the group that it belongs to, counted over all layers; a neuron that acts
            alone has a group of its own.
        sign: -1 if its input vector points against that of the group's first member, else +1.
        side: For off-bound neurons +1 where all inputs lie on the positive side of its hyperplane,
            -1 where on the negative; 0 for all others.
        contribution: What it adds to the outputs.
        variation: What its pre-activation's variation can change; zero for a constant neuron.
        merging: What changes if one neuron takes the place of its group.
        remaining: What that one neuron adds; zero where output weights cancel.
        bend: What of that is not affine in the inputs; zero for an off-bound neuron.
    """

    layer: int
    index: int
    type: NeuronType
    group: int
    sign: int
    side: int
    contribution: float
    variation: float
    merging: float
    remaining: float
    bend: float


@dataclass(frozen=True)
class Classification:
    """All hidden neurons of a network; printing it gives a table.

    Attributes:
        neurons: One record for each, layer by layer.
        error: The network's own error that the tolerance follows from, for each hidden layer,
            relative to the spread of the layer's outputs.
        tolerance: For each hidden layer, the change of its outputs that counts as none, relative
            to their spread.
        source: For each hidden layer, where its error comes from: "given", "copies" (how far its
            own copies are apart), "bend" (of neurons beyond the data), or "rounding".
    """

    neurons: tuple[ClassifiedNeuron, ...] = field(repr=False)
    error: tuple[float, ...]
    tolerance: tuple[float, ...]
    source: tuple[str, ...]

    @property
    def groups(self) -> dict[int, tuple[ClassifiedNeuron, ...]]:
        """Neurons by the number of their group."""
        found: dict[int, tuple[ClassifiedNeuron, ...]] = {}
        for neuron in self.neurons:
            found[neuron.group] = (*found.get(neuron.group, ()), neuron)
        return found

    def __str__(self) -> str:
        """A line for every neuron."""
        lines = ["layer neuron group sign type"]
        for n in self.neurons:
            side = "" if not n.side else ", positive side" if n.side > 0 else ", negative side"
            lines.append(f"{n.layer:5d} {n.index:6d} {n.group:5d} {n.sign:+4d} {n.type}{side}")
        return "\n".join(lines)


def classify(network: Network, inputs: ArrayLike, *, error: float | None = None) -> Classification:
    """Say of every hidden neuron what it does, and with which others.

    Copies of a neuron, neurons that cancel, that add a constant or a linear map, that lie beyond
    the data, and pairs that act as a neuron plus its derivative (paper, Fig. 2 and A.5). Each
    hidden layer is looked at on what the layers below it make of the inputs, and by what it adds
    to the pre-activations of the next.

    Args:
        network: A single network of any depth, with or without a skip.
        inputs: (samples, input_size) where the function matters; more samples than neurons.
        error: Root mean squared error of the network, relative to the spread of its outputs, for
            example the square root of its training loss; 0 allows for rounding alone. None: it is
            read off the network, which holds copies that are as far apart as it is imprecise.

    Returns:
        A record for every hidden neuron.

    Raises:
        InvalidInputError: The network is an ensemble or a mixture of activations, the inputs do
            not fit it, or the error is negative or not finite.
    """
    rows = checked(network, inputs, error)
    neurons: list[ClassifiedNeuron] = []
    sortings: list[Sorting] = []
    groups = 0
    for layer, (part, seen) in enumerate(parts(network, rows)):
        sampled = Sampled.of(part.activation, seen)
        terms = Terms.of(part)
        sorting = sort_neurons(terms, sampled, error)
        neurons += _records(layer, sorting, terms, sampled, groups)
        groups += len(sorting.groups)
        sortings.append(sorting)
    return Classification(
        tuple(neurons),
        tuple(each.tolerance.error / each.scale for each in sortings),
        tuple(each.tolerance.change / each.scale for each in sortings),
        tuple(each.tolerance.source for each in sortings),
    )


def checked(
    network: Network, inputs: ArrayLike, error: float | None
) -> Float[np.ndarray, "samples inputs"]:
    """The inputs as rows of numbers, once all arguments are found to fit.

    Raises:
        InvalidInputError: The network is an ensemble or a mixture of activations, the inputs do
            not fit it, or the error is negative or not finite.
    """
    if not isinstance(network, Network):
        raise InvalidInputError(f"network must be a Network, not {type(network).__name__}.")
    if network.students is not None:
        raise InvalidInputError(
            f"network is an ensemble of {network.students} networks; give one of them, for example "
            "network.student(0)."
        )
    if network.activation.kinds:
        raise InvalidInputError(
            "network has neurons of several activations "
            f"({', '.join(kind.name for kind in network.activation.each)}); its neurons' types are "
            "known for one activation only."
        )
    rows = read_rows("inputs", inputs)
    if rows.shape[1] != network.input_size:
        raise InvalidInputError(
            f"inputs must be (samples, {network.input_size}), got {rows.shape}."
        )
    if error is not None and not (np.isfinite(error) and error >= 0.0):
        raise InvalidInputError(
            f"error must be a number of at least 0, relative to the outputs' spread, got {error}."
        )
    return rows


def parts(
    network: Network, rows: Float[np.ndarray, "samples inputs"], *, last: int | None = None
) -> Iterator[tuple[Network, Float[np.ndarray, "samples inputs"]]]:
    """Each hidden layer as a network of its own, its activation's symmetry about zero.

    Args:
        network: A single network.
        rows: Inputs.
        last: Hidden layer to end with, None for the last.

    Yields:
        The layer with the one after it, and the inputs that reach it.
    """
    central = network.centred()
    seen = rows
    hidden = len(central.layers) - 1
    end = hidden - 1 if last is None else last
    for layer in range(end + 1):
        pair = central.layers[layer : layer + 2]
        skip = central.skip if hidden == 1 else None
        yield Network(tuple(pair), central.activation, skip), seen
        if layer < end:
            sampled = Sampled.of(central.activation, seen)
            vectors = np.column_stack([pair[0].weight, pair[0].bias])
            seen = sampled.values(sampled.pre_activations(vectors))


def _records(
    layer: int, sorting: Sorting, terms: Terms, sampled: Sampled, groups: int
) -> list[ClassifiedNeuron]:
    alone = rms_along(terms.outputs, axis=1) * rms_along(
        sampled.values(sampled.pre_activations(terms.vectors)), axis=0
    )
    found = {}
    for number, typed in enumerate(sorting.groups):
        for member, sign in _signs(typed, sampled):
            found[member] = ClassifiedNeuron(
                layer=layer,
                index=member,
                type=typed.kind,
                group=groups + number,
                sign=sign,
                side=typed.side * sign,
                contribution=float(alone[member]) / sorting.scale,
                variation=typed.spread / sorting.scale,
                merging=typed.group.error / sorting.scale,
                remaining=typed.remaining / sorting.scale,
                bend=typed.bend / sorting.scale,
            )
    return [found[member] for member in sorted(found)]


def _signs(typed: TypedGroup, sampled: Sampled) -> list[tuple[int, int]]:
    signs = list(zip(typed.group.members, typed.group.signs, strict=True))
    if typed.partner is not None:
        turn = aligned(typed.group, typed.partner, sampled)[0]
        for member, sign in zip(typed.partner.members, typed.partner.signs, strict=True):
            signs.append((member, turn * sign))
    return signs
