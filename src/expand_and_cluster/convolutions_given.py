"""Recover a whole convolutional network from given pairs: students, what they share, a verdict."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.arguments import positive_number, whole_number
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.conv_geometry import Convolutional
from expand_and_cluster.core.conv_layer import ConvLayer
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.errors import EacError, InvalidInputError
from expand_and_cluster.core.files import values_of_own
from expand_and_cluster.core.network import Layer
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.fitting.muon import MuonSettings
from expand_and_cluster.preparation import HELD_OUT, MAX_CLUSTER_ANGLE
from expand_and_cluster.queries.pairs import QueryPairs, check_informative
from expand_and_cluster.reconstruction.shared_search import (
    SharedOutcome,
    SharedSearch,
    SharedSettings,
)
from expand_and_cluster.recovery import Verdict
from expand_and_cluster.students.grown import random_student
from expand_and_cluster.students.training import TrainingData

# Channels of a student's convolutions and neurons of its dense layers, dense hidden layers, and
# students of a round, where none are given.
CHANNELS, NEURONS, HIDDEN_LAYERS, STUDENTS = 32, 64, 1, 4
# Measured on 28 x 28 images and two layers of 16 channels (benchmarks/given_layers.py).
BATCH = 64
FIRST = MuonSettings(learning_rate=5e-3, batch_size=BATCH, steps=15_000)
MERGED = MuonSettings(learning_rate=3e-3, batch_size=BATCH, steps=8_000)
LATER = MuonSettings(learning_rate=3e-3, batch_size=BATCH, steps=12_000)


@dataclass(frozen=True)
class GivenConvolutions:
    """What was found from pairs.

    Attributes:
        network: The whole network, over raw inputs.
        verdict: Whether it is the teacher's, how surely, and why.
        votes: For each convolution and channel, the students that have it, of the round that the
            network was made in.
        settings: What was chosen, as plain values.
    """

    network: ConvNetwork
    verdict: Verdict
    votes: tuple[tuple[int, ...], ...]
    settings: dict[str, Any]


@dataclass(frozen=True)
class ConvStandard:
    """How raw pairs map to what students see: one scale for all pixels, for kernels are shared.

    Attributes:
        input_scale: What every input is divided by.
        output_center: Mean of each output.
        output_scale: Spread of each output.
    """

    input_scale: float
    output_center: Float[np.ndarray, " outputs"]
    output_scale: Float[np.ndarray, " outputs"]

    @staticmethod
    def fit(pairs: QueryPairs) -> "ConvStandard":
        """The typical size of a pixel, and the outputs' means and spreads."""
        spread = pairs.outputs.std(axis=0)
        return ConvStandard(
            float(np.sqrt(np.mean(pairs.inputs**2))),
            pairs.outputs.mean(axis=0),
            np.where(spread > 0.0, spread, 1.0),
        )

    def enter(self, pairs: QueryPairs) -> TrainingData:
        """Pairs as students see them."""
        return TrainingData(pairs.inputs / self.input_scale, self.targets(pairs.outputs))

    def targets(self, raw: Float[np.ndarray, "samples outputs"]) -> np.ndarray:
        """Outputs as students are to give them."""
        return (raw - self.output_center) / self.output_scale

    def restore(self, network: ConvNetwork) -> ConvNetwork:
        """The same function of raw inputs, in raw outputs."""
        first, last = network.convolutions[0], network.dense[-1]
        kernels = ConvLayer(first.weight / self.input_scale, first.bias, first.geometry)
        outputs = Layer(
            last.weight * self.output_scale[:, None],
            last.bias * self.output_scale + self.output_center,
        )
        return network.replace(
            convolutions=(kernels, *network.convolutions[1:]), dense=(*network.dense[:-1], outputs)
        )


def recover_given(
    pairs: QueryPairs,
    architecture: Convolutional,
    activation: Activation,
    *,
    widths: Sequence[int] | None,
    hidden_layers: int | None,
    students: int | None,
    seed: int,
    report: Reporter,
    checkpoint: Checkpoint,
    time_budget: float | None,
    reached: dict[str, Any],
) -> GivenConvolutions:
    """Train students, keep what they share, and judge.

    Args:
        pairs: All that is known.
        architecture: Image and geometry.
        activation: Of all hidden layers.
        widths: Channels of a student's convolutions, then neurons of its dense hidden layers; None
            chooses.
        hidden_layers: Dense hidden layers; None for one.
        students: Students of a round; None chooses.
        seed: Decides everything random.
        report: Receives progress.
        checkpoint: Keeps every trained student.
        time_budget: Seconds after which to stop.
        reached: Receives the search, which holds what it has found.

    Raises:
        InvalidInputError: An argument is refused before any work.
        EacError: All students diverged.
    """
    began, seconds = time.monotonic(), positive_number("time_budget", time_budget)
    hidden = HIDDEN_LAYERS if hidden_layers is None else hidden_layers
    hidden = whole_number("hidden_layers", hidden, 0)
    count = whole_number("students", STUDENTS if students is None else students, 2)
    sizes = _check(pairs, architecture, widths, hidden)
    chosen = {"widths": list(sizes), "hidden_layers": hidden, "students": count}
    claimed = {
        "architecture": repr(architecture),
        "activation": activation.name,
        "activation_values": values_of_own(activation),
        "seed": seed,
        "pairs": pairs.digest(),
    }
    checkpoint.claim(claimed | chosen)
    order = np.random.default_rng((seed, 1)).permutation(len(pairs))
    training, held_out = pairs.take(order).split(HELD_OUT, seed)
    standard = ConvStandard.fit(training)
    like = _student_like(architecture, activation, sizes, pairs.output_size)
    search = SharedSearch(
        standard.enter(training),
        lambda rng: random_student(like, sizes, rng),
        SharedSettings(count, seed, MAX_CLUSTER_ANGLE, FIRST, MERGED, LATER),
        checkpoint=checkpoint,
        report=report,
        deadline=None if seconds is None else began + seconds,
    )
    reached["search"] = search.outcome
    outcome = search.run()
    if outcome.network is None:
        raise EacError(
            "no student imitates the network: all diverged; check that the outputs are a function "
            "of the inputs.",
            partial=outcome,
        )
    network = standard.restore(outcome.network)
    votes = votes_of(outcome, outcome.network.channels)
    verdict = _judge(outcome.network, votes, standard, held_out, count)
    return GivenConvolutions(network, verdict, votes, chosen)


def _student_like(
    architecture: Convolutional, activation: Activation, sizes: tuple[int, ...], outputs: int
) -> ConvNetwork:
    """A student of zeros."""
    kernels, below = [], architecture.image[0]
    count = len(architecture.layers)
    for layer, channels in zip(architecture.layers, sizes, strict=False):
        kernels.append(
            (np.zeros((channels, below, layer.kernel, layer.kernel)), np.zeros(channels))
        )
        below = channels
    dense, size = [], below * architecture.sides[-1] ** 2
    for width in (*sizes[count:], outputs):
        dense.append((np.zeros((width, size)), np.zeros(width)))
        size = width
    return ConvNetwork.from_arrays(architecture, kernels, dense, activation)


def votes_of(
    outcome: SharedOutcome[ConvNetwork], channels: tuple[int, ...]
) -> tuple[tuple[int, ...], ...]:
    """For each convolution and channel of what was found, the students that have it."""
    if outcome.shared is None:
        return tuple((1,) * count for count in channels)
    shared = [consensus.selection.clusters for consensus in outcome.shared.consensus]
    # Channels that the best student alone has come after those that students share.
    return tuple(
        tuple(len(one.students) for one in clusters) + (1,) * (count - len(clusters))
        for clusters, count in zip(shared, channels, strict=False)
    )


def _judge(
    network: ConvNetwork,
    votes: tuple[tuple[int, ...], ...],
    standard: ConvStandard,
    held_out: QueryPairs,
    students: int,
) -> Verdict:
    """Abstain: what images leave of the error is no rounding, and says how near it is."""
    unseen = standard.enter(held_out)
    error = float(np.sqrt(np.mean((network(unseen.inputs) - unseen.targets) ** 2)))
    reasons = [
        f"the error on held-out pairs is {error:.1e} of the outputs' spread, above what rounding "
        "explains: channels are known to about that, and whether these are all is not certain"
    ]
    reasons += [
        f"layer {depth}: {len(each)} channels, each of which {min(each)} to {max(each)} of "
        f"{students} students have"
        for depth, each in enumerate(votes, start=1)
    ]
    return Verdict(False, 0.4 if error < 0.01 else 0.1, tuple(reasons))


def _check(
    pairs: QueryPairs, architecture: Convolutional, widths: Any, hidden_layers: int
) -> tuple[int, ...]:
    """Sizes of a student's hidden layers."""
    if pairs.input_size != architecture.input_size:
        raise InvalidInputError(
            f"the pairs have {pairs.input_size} inputs, but the architecture takes "
            f"{architecture.input_size}."
        )
    check_informative(pairs)
    count = len(architecture.layers)
    if widths is None:
        return (CHANNELS,) * count + (NEURONS,) * hidden_layers
    sizes = tuple(widths) if isinstance(widths, Sequence) else ()
    if len(sizes) != count + hidden_layers:
        raise InvalidInputError(
            f"widths must hold {count} numbers of channels and {hidden_layers} of neurons, got "
            f"{widths!r}."
        )
    return tuple(whole_number("widths", size, 1) for size in sizes)
