"""Recover the convolutional layers of a network, by asking it or from given pairs."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from jax import Array
from jax.typing import ArrayLike

from expand_and_cluster.convolutions_given import recover_given
from expand_and_cluster.convolutions_verdict import judge_channels, judge_the_rest
from expand_and_cluster.core.activations import Activation, resolve
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.conv_geometry import Convolutional
from expand_and_cluster.core.conv_layer import ConvLayer
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.errors import InvalidInputError, QueryBudgetError
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.core.whole_number import whole_number
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.queries.pieces import has_kink
from expand_and_cluster.queries.samplers import Gaussian, Sampler, as_sampler
from expand_and_cluster.queries.validation import read_folder, read_progress
from expand_and_cluster.reconstruction.below import Below
from expand_and_cluster.reconstruction.channels import ChannelSearch, FoundLayer
from expand_and_cluster.recovery import Verdict

# Standard deviation of the questions where the sampler leaves it open.
SCALE = 1.0


@dataclass(frozen=True, eq=False)
class ConvRecovery:
    """Recovered convolutional layers.

    Attributes:
        layers: From the image on. Kernels have length 1 and each is known up to a positive scale
            and the order of the channels: the scale is the layer above's.
        verdict: Whether these are all channels of all layers, how surely, and why.
        votes: For each layer and channel, kinks that it explains.
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
    hidden_layers: int = 1,
    students: int = 4,
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
        hidden_layers: For pairs, dense hidden layers.
        students: For pairs, students of each round.
        seed: Decides everything random.
        time_budget: For pairs, seconds after which the network so far is returned.
        progress: Called with a `Progress` while the work runs.
        checkpoint: Folder that keeps all answers, or all trained students; the same call with the
            same folder does nothing twice.

    Raises:
        InvalidInputError: An argument is refused before any work.
        QueryBudgetError: `max_queries` does not suffice; `partial` holds the layers found so
            far, the last of them with the channels found so far.
        OracleError: The callable failed; `partial` holds the pairs answered so far.
        EacError: All students diverged.

    Source: Martinelli et al., appendix A.7, for channels in the place of neurons; Carlini,
        Jagielski & Mironov (2020) for reading relu networks off their kinks.
    """
    began = time.monotonic()
    named = resolve(activation)
    report, folder = read_progress(progress), read_folder(checkpoint)
    if isinstance(source, QueryPairs):
        return _from_pairs(
            source, architecture, named, inputs, max_queries,
            widths=widths, hidden_layers=hidden_layers, students=students, seed=seed,
            report=report, checkpoint=Checkpoint(folder), time_budget=time_budget,
        )  # fmt: skip
    sampler = _check(source, architecture, inputs, named, max_queries, seed)
    assert max_queries is not None
    oracle = Oracle(source, architecture.input_size, max_queries, folder, report=report)
    rng = np.random.default_rng((seed, 0))
    found: list[FoundLayer] = []
    for _ in architecture.layers:
        below = Below(architecture, [one.layer for one in found], named)
        search = ChannelSearch(
            below, oracle.ask, lambda count: sampler.draw(count, rng), rng, report
        )
        try:
            found.append(search.run())
        except QueryBudgetError as error:
            raise _spent(max_queries, architecture, found, search) from error
        if not len(found[-1].votes):
            break
    below = Below(architecture, [one.layer for one in found], named)
    verdict = judge_channels(below, found)
    if verdict.identified:
        verdict = judge_the_rest(verdict, below, found, oracle, rng)
    return ConvRecovery(
        layers=tuple(one.layer for one in found),
        verdict=verdict,
        votes=tuple(one.votes for one in found),
        queries=oracle.asked,
        seconds=time.monotonic() - began,
        settings={
            "activation": named.name,
            "max_queries": max_queries,
            "seed": seed,
            "questions": repr(sampler),
            "rounds": [one.rounds for one in found],
        },
    )


def _from_pairs(
    pairs: QueryPairs,
    architecture: Convolutional,
    activation: Activation,
    inputs: Any,
    max_queries: Any,
    **how: Any,
) -> ConvRecovery:
    began = time.monotonic()
    if inputs is not None or max_queries is not None:
        raise InvalidInputError(
            "inputs and max_queries are for a callable that can be asked; with QueryPairs nothing "
            "is asked: leave them out."
        )
    _check_architecture(architecture)
    found = recover_given(pairs, architecture, activation, **how)
    return ConvRecovery(
        layers=found.network.convolutions,
        verdict=found.verdict,
        votes=found.votes,
        queries=len(pairs),
        seconds=time.monotonic() - began,
        settings={
            "activation": activation.name,
            "seed": how["seed"],
            "students": how["students"],
            "widths": None if how["widths"] is None else list(how["widths"]),
            "hidden_layers": how["hidden_layers"],
        },
        network=found.network,
    )


def _check_architecture(architecture: Any) -> None:
    if not isinstance(architecture, Convolutional):
        raise InvalidInputError(
            f"architecture must be an eac.Convolutional, got {type(architecture).__name__}."
        )


def _spent(
    max_queries: int, architecture: Convolutional, found: list[FoundLayer], search: ChannelSearch
) -> QueryBudgetError:
    """The budget's end, with all channels that were found by then."""
    count = len(search.vectors)
    layers = [one.layer for one in found] + ([search.layer()] if count else [])
    return QueryBudgetError(
        f"max_queries={max_queries} was spent on layer {len(found) + 1} of "
        f"{len(architecture.layers)}, of which {count} channels were found.",
        partial=tuple(layers),
    )


def _check(
    source: Any,
    architecture: Any,
    inputs: Any,
    activation: Activation,
    max_queries: Any,
    seed: Any,
) -> Sampler:
    if isinstance(source, type) or not callable(source):
        raise InvalidInputError(
            "source must be an eac.QueryPairs, or a callable from (rows, inputs) to "
            f"(rows, outputs) arrays, got {type(source).__name__}."
        )
    _check_architecture(architecture)
    if not has_kink(activation):
        raise InvalidInputError(
            f"activation {activation.name!r} has no kink to read channels off; convolutions need "
            '"relu" or "leaky_relu" in this version.'
        )
    for number, layer in enumerate(architecture.layers, start=1):
        if layer.pool != "max" or layer.pool_size < 2:
            raise InvalidInputError(
                f"layer {number} has pool={layer.pool!r} with pool_size={layer.pool_size}, but "
                "only max-pooling of at least 2 x 2 shows the signs of kernels in this version."
            )
    if inputs is None or max_queries is None:
        raise InvalidInputError(
            "a callable needs inputs=, where questions come from, and max_queries=."
        )
    whole_number("max_queries", max_queries, 1)
    whole_number("seed", seed, 0)
    sampler = as_sampler(inputs)
    if isinstance(sampler, Gaussian) and sampler.scale is None:
        sampler = sampler.with_scale(SCALE)
    if sampler.size != architecture.input_size:
        raise InvalidInputError(
            f"inputs gives questions of {sampler.size} numbers, but the architecture takes "
            f"{architecture.input_size}."
        )
    return sampler
