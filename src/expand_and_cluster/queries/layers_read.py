"""What can be read off a network of several hidden layers without a student.

Relu networks are read at their kinks, networks that are such far out there, and of networks that
saturate the first layer.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.errors import OracleError
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.queries.asymptotes import Asymptotes, asymptotes_of
from expand_and_cluster.queries.bend_domain import Domain
from expand_and_cluster.queries.bend_layers import read_layers
from expand_and_cluster.queries.bend_lengths import with_lengths
from expand_and_cluster.queries.kinks import Ask, find_kinks
from expand_and_cluster.queries.limit import Limit, SpentError
from expand_and_cluster.queries.pieces import has_kink
from expand_and_cluster.queries.reading import Reader
from expand_and_cluster.queries.samplers import Gaussian, Sampler
from expand_and_cluster.queries.saturation import FirstLayer, saturates

# Questions that show how precise answers are.
FEW = 64
# Inputs of a wider domain that a network which was read far out is polished on besides.
WIDE = 2048
# How many times further out than questions soft kinks are read: what is soft about them is lost in
# rounding there.
FAR = 1e11
# Lines on which kinks are counted, factor from one scale to the next, their number, and the share
# of the most kinks that the chosen scale shows.
KINK_LINES, WIDENED, WIDENINGS, MOST_SEEN = 4, 2.0, 8, 0.9


@dataclass(frozen=True)
class LayersRead:
    """What was read off.

    Attributes:
        note: What happened, in words.
        sampler: Where other questions come from.
        network: The whole network.
        first_layer: Or its first layer, biases last.
        places: Inputs at which its neurons bend.
        complete: Whether the network explains nearly all answers.
    """

    note: str
    sampler: Sampler
    network: Network | None = None
    first_layer: Float[np.ndarray, "neurons inputs_and_bias"] | None = None
    places: Float[np.ndarray, "rows inputs"] | None = None
    complete: bool = False


def far_out(ask: Ask, center: Float[np.ndarray, " inputs"]) -> Ask:
    """The same outputs seen from far away, where activations are straight lines but for kinks."""
    return lambda rows: ask(center + FAR * (rows - center)) / FAR


def soft_kinks(
    budget: Limit,
    sampler: Sampler,
    activation: Activation | None,
    rng: np.random.Generator,
    reader: Reader,
) -> Asymptotes | None:
    """What the activation is far from zero, where far out can be asked in double precision."""
    found = None if activation is None else asymptotes_of(activation)
    if found is None or not isinstance(sampler, Gaussian) or budget.left < FEW:
        return None
    try:
        values = far_out(budget.ask, sampler.center)(sampler.draw(FEW, rng))
    except OracleError:
        # It overflows, or does not take such questions.
        return None
    return found if reader.precision(values) == np.float64 else None


def read_off(
    limit: Limit,
    sampler: Sampler,
    activation: Activation | None,
    soft: Asymptotes | None,
    hidden_layers: int,
    rng: np.random.Generator,
    reader: Reader,
    report: Reporter,
    *,
    scaled: bool,
    least: int,
) -> LayersRead:
    """Read off what can be.

    Args:
        limit: Answers inputs, or coordinates of a subspace of them, as long as it lasts.
        sampler: Where questions come from.
        activation: Activation of the hidden neurons; None if it is not known.
        soft: What it is far from zero, where that can be asked.
        hidden_layers: Layers of the teacher.
        rng: Source of randomness.
        reader: How answers are read.
        report: Told about every step.
        scaled: Whether the user gave the scale of questions; else that of relu networks is widened.
        least: Neurons that the first layer has at least.
    """
    kinked = activation is not None and has_kink(activation)
    bounded = activation is not None and saturates(activation)
    if activation is None or not (kinked or bounded or soft is not None):
        return LayersRead("", sampler)
    if bounded and not isinstance(sampler, Gaussian):
        return LayersRead("questions may not lie far out, where neurons step one by one", sampler)
    try:
        if reader.precision(limit.ask(sampler.draw(FEW, rng))) != np.float64:
            return LayersRead("answers are too coarse to read layers off", sampler)
        if soft is not None:
            return _read_softly(limit, sampler, soft, hidden_layers, rng, report, least=least)
        if bounded:
            return _read_first(limit, sampler, activation, rng, report)
        if isinstance(sampler, Gaussian) and not scaled:
            sampler = _widened(limit, sampler, rng)
    except SpentError:
        return LayersRead("too few questions to read layers off", sampler)
    read = read_layers(
        limit.ask,
        lambda count: sampler.draw(count, rng),
        activation,
        hidden_layers,
        rng,
        max_queries=limit.left,
        least=least,
        report=report,
    )
    return LayersRead(read.note, sampler, read.network, places=read.places, complete=read.complete)


def _read_softly(
    limit: Limit,
    sampler: Sampler,
    soft: Asymptotes,
    hidden_layers: int,
    rng: np.random.Generator,
    report: Reporter,
    *,
    least: int,
) -> LayersRead:
    """All layers of a network whose kinks are soft, far out first, then in their lengths.

    Raises:
        SpentError: The questions do not suffice.
    """
    center = np.asarray(getattr(sampler, "center", np.zeros(sampler.size)))

    def ask(rows: np.ndarray) -> np.ndarray:
        return limit.ask(center + rows)

    def draw(count: int) -> np.ndarray:
        return sampler.draw(count, rng) - center

    read = read_layers(
        far_out(ask, np.zeros(sampler.size)),
        draw,
        soft.hard(),
        hidden_layers,
        rng,
        max_queries=limit.left,
        least=least,
        report=report,
    )
    if read.network is None:
        return LayersRead(f"far out, {read.note}", sampler)
    domain = Domain.of(draw, rng)
    network, note = with_lengths(ask, read.network, soft, domain)
    if network is None:
        return LayersRead(f"far out, {read.note}; {note}", sampler)
    first, *others = network.layers
    moved = Layer(first.weight, first.bias - first.weight @ center)
    network = network.replace(layers=(moved, *others))
    # Where questions come from neurons of upper layers may be as good as linear.
    places = center + domain.wide(WIDE)
    return LayersRead(
        f"far out, {read.note}", sampler, network, places=places, complete=read.complete
    )


def _read_first(
    limit: Limit,
    sampler: Sampler,
    activation: Activation,
    rng: np.random.Generator,
    report: Reporter,
) -> LayersRead:
    """The first layer of a network that saturates, where questions may lie anywhere.

    Raises:
        SpentError: The questions do not suffice.
    """
    domain = Domain.of(lambda count: sampler.draw(count, rng), rng)
    try:
        vectors = FirstLayer(limit.ask, domain, activation, report).read()
    except OracleError:
        # One that is broken for good fails again at the next question.
        return LayersRead(
            "the oracle does not answer far out, where neurons step one by one", sampler
        )
    if not len(vectors):
        return LayersRead("no neuron of the first layer steps far out", sampler)
    note = f"{len(vectors)} neurons of the first layer were read off steps"
    return LayersRead(note, sampler, first_layer=vectors)


def _widened(limit: Limit, sampler: Gaussian, rng: np.random.Generator) -> Gaussian:
    """A scale at which lines between questions come upon most kinks.

    Piecewise linear outputs look alike at every scale but for their kinks: far out lines cross them
    all, near the center hardly any.

    Raises:
        SpentError: The questions do not suffice.
    """
    unit, center = sampler.with_scale(1.0), np.asarray(sampler.center)
    starts, ends = (unit.draw(KINK_LINES, rng) - center for _ in range(2))
    assert sampler.scale is not None
    scales = sampler.scale * WIDENED ** np.arange(WIDENINGS)
    kinks = [
        len(find_kinks(limit.ask, center + scale * starts, center + scale * ends).line)
        for scale in scales
    ]
    enough = np.flatnonzero(np.array(kinks) >= MOST_SEEN * max(kinks))
    return sampler.with_scale(float(scales[enough[0]]))
