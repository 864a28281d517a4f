"""Recover the convolutional layers of a network, by asking it or from given pairs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from jax import Array
from jax.typing import ArrayLike

from expand_and_cluster.convolutions_asked import recover_asked
from expand_and_cluster.convolutions_given import recover_given
from expand_and_cluster.core.activations import Activation, resolve
from expand_and_cluster.core.arguments import read_folder, read_progress, whole_number
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.conv_geometry import Convolutional
from expand_and_cluster.core.conv_layer import ConvLayer
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.errors import InterruptedRecoveryError, InvalidInputError
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.queries.samplers import Sampler
from expand_and_cluster.recovery import Verdict


@dataclass(frozen=True, eq=False)
class ConvRecovery:
    """Recovered convolutional layers.

    Attributes:
        layers: From the image on. Each kernel is known up to the order of the channels and, with
            relu, a positive scale, which is the layer above's; by asking, all have length 1.
        verdict: Whether these are all channels of all layers, how surely, and why.
        votes: For each layer and channel, by asking the kinks that it explains, from given pairs
            the students that have it.
        queries: Rows asked, or given.
        seconds: Time taken.
        settings: Everything given and chosen, as plain values.
        network: From given pairs, the whole network with its dense layers; else None.
    """

    layers: tuple[ConvLayer, ...]
    verdict: Verdict
    votes: tuple[tuple[int, ...], ...]
    queries: int
    seconds: float
    settings: dict[str, Any]
    network: ConvNetwork | None = None


def recover_convolutions(
    source: QueryPairs | Callable[[np.ndarray], ArrayLike],
    architecture: Convolutional,
    *,
    inputs: Sampler | ArrayLike | None = None,
    activation: str | Callable[[Array], Array] | Activation = "relu",
    max_queries: int | None = None,
    widths: Sequence[int] | None = None,
    hidden_layers: int | None = None,
    students: int | None = None,
    seed: int = 0,
    time_budget: float | None = None,
    progress: Reporter | None = None,
    checkpoint: str | PathLike[str] | None = None,
) -> ConvRecovery:
    """Recover kernels and biases of all convolutional layers; numbers of channels are not given.

    By asking, nothing is trained: relu and max-pooling make kinks in the outputs, whose places are
    exact, and the jumps of the gradient there are multiples of shifted kernels. Layer after layer,
    kinks are grouped by the proportion in which they bend the outputs, and each group is solved for
    its channel. Dense layers above are not rebuilt.

    From given pairs, students are trained by Muon, and what two of them share in every layer makes
    a network, dense layers included (`network`); then once more, with channels to spare around it.

    Args:
        source: Answered pairs; or a callable from (rows, inputs) to (rows, outputs), answers in
            double precision. One that has few outputs tells channels apart less well.
        architecture: Image and geometry; by asking, every layer with max-pooling of at least 2 x 2.
        inputs: For a callable, where questions come from: a sampler or an array to draw from. Lines
            of one pixel go beyond it.
        activation: By asking, one that is linear on either side of zero: "relu" or "leaky_relu".
        max_queries: For a callable, most rows that may be asked.
        widths: For pairs, channels of a student's convolutions and neurons of its dense hidden
            layers, more than there may be; None means 32 channels and 64 neurons.
        hidden_layers: For pairs, dense hidden layers; None means 1.
        students: For pairs, students of each round; None means 4.
        seed: Decides everything random.
        time_budget: For pairs, seconds after which the network so far is returned.
        progress: Called with a `Progress` while the work runs.
        checkpoint: Folder that keeps all answers, or all trained students; the same call with the
            same folder does nothing twice.

    Raises:
        InvalidInputError: An argument is refused before any work; or the first answers are not in
            double precision.
        QueryBudgetError: `max_queries` does not suffice; `partial` holds the layers found so
            far, the last of them with the channels found so far.
        OracleError: The callable failed; `partial` holds the pairs answered so far.
        EacError: All students diverged.
        InterruptedRecoveryError: Ctrl-C; the checkpoint resumes, `partial` holds what was reached.

    Source: Martinelli et al., appendix A.7, for channels in the place of neurons; Carlini,
        Jagielski & Mironov (2020) for reading relu networks off their kinks.
    """
    began = time.monotonic()
    named = resolve(activation)
    report, folder = read_progress(progress), read_folder(checkpoint)
    if not isinstance(architecture, Convolutional):
        raise InvalidInputError(
            f"architecture must be an eac.Convolutional, got {type(architecture).__name__}."
        )
    seed = whole_number("seed", seed, 0)
    settings: dict[str, Any] = {"activation": named.name, "seed": seed}
    reached: dict[str, Any] = {}
    try:
        if isinstance(source, QueryPairs):
            _refuse(
                "a callable that can be asked, and with QueryPairs nothing is asked",
                inputs=inputs, max_queries=max_queries,
            )  # fmt: skip
            given = recover_given(
                source, architecture, named,
                widths=widths, hidden_layers=hidden_layers, students=students, seed=seed,
                report=report, checkpoint=Checkpoint(folder), time_budget=time_budget,
                reached=reached,
            )  # fmt: skip
            return ConvRecovery(
                layers=given.network.convolutions,
                verdict=given.verdict,
                votes=given.votes,
                queries=len(source),
                seconds=time.monotonic() - began,
                settings=settings | given.settings,
                network=given.network,
            )
        _refuse(
            "QueryPairs, and by asking nothing is trained",
            widths=widths, hidden_layers=hidden_layers, students=students, time_budget=time_budget,
        )  # fmt: skip
        asked = recover_asked(
            source, architecture, named,
            inputs=inputs, max_queries=max_queries, seed=seed,
            report=report, folder=folder, reached=reached,
        )  # fmt: skip
    except KeyboardInterrupt as stop:
        resume = "" if folder is None else f"; {folder} resumes it"
        raise InterruptedRecoveryError(f"recovery interrupted{resume}.", partial=reached) from stop
    return ConvRecovery(
        layers=asked.layers,
        verdict=asked.verdict,
        votes=asked.votes,
        queries=asked.queries,
        seconds=time.monotonic() - began,
        settings=settings | asked.settings,
    )


def _refuse(meant_for: str, **arguments: Any) -> None:
    """Refuse arguments that a source of this kind has no use for."""
    for name, value in arguments.items():
        if value is not None:
            raise InvalidInputError(f"{name} is for {meant_for}: leave it out.")
