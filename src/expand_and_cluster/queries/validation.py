"""Everything that is asked of `recover`, checked before any work."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from expand_and_cluster.core.activation import Activation, mixture
from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.arguments import (
    positive_number,
    read_folder,
    read_progress,
    whole_number,
)
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.queries.pairs import QueryPairs, check_informative
from expand_and_cluster.queries.readout import KINDS, Readout
from expand_and_cluster.queries.samplers import Pool, Sampler, as_sampler

AUTO = "auto"
FITS = ("levenberg_marquardt", "adam", "gradient_flow")


@dataclass(frozen=True, eq=False)
class Request:
    """Checked arguments of a recovery. None leaves a choice to the library.

    Either `pairs` is set, or `function`, `sampler` and `max_queries` are.

    Attributes:
        pairs: Answered questions, when nothing more can be asked.
        function: Teacher to ask.
        sampler: Where questions to it are drawn from.
        max_queries: Most rows that may be asked.
        activation: Activation of the hidden neurons, or the mixture of those that they may have;
            None if it is to be named.
        hidden_layers: Number of hidden layers.
        width: Hidden neurons of a student; None lets the expansion phase find it.
        students: Number of students.
        min_cluster_fraction: Share of the students that a cluster needs, 0 to 1.
        max_cluster_angle: Largest median angle within a cluster, in radians.
        outputs: What the teacher's outputs are.
        noise: Standard deviation of the noise in what is read of the outputs; None if unknown.
        seed: Decides everything random.
        fit: How students are trained.
        time_budget: Seconds.
        progress: Told what is going on.
        checkpoint: Folder to resume from and write to.
    """

    pairs: QueryPairs | None
    function: Callable[[np.ndarray], Any] | None
    sampler: Sampler | None
    max_queries: int | None
    activation: Activation | None
    hidden_layers: int
    width: int | None
    students: int
    min_cluster_fraction: float | None
    max_cluster_angle: float | None
    outputs: str
    noise: float | None
    seed: int
    fit: str | None
    time_budget: float | None
    progress: Reporter
    checkpoint: Path | None

    @property
    def named(self) -> Activation:
        """The activation, once it is known."""
        assert self.activation is not None
        return self.activation

    @property
    def input_size(self) -> int:
        """Number of inputs of the teacher."""
        if self.pairs is not None:
            return self.pairs.input_size
        assert self.sampler is not None
        return self.sampler.size


def validate_request(
    source: Any,
    *,
    inputs: Any = None,
    activation: Any,
    hidden_layers: Any = 1,
    width: Any = None,
    students: Any = 10,
    min_cluster_fraction: Any = None,
    max_cluster_angle: Any = None,
    outputs: Any = "logits",
    noise: Any = None,
    max_queries: Any = None,
    seed: Any = 0,
    fit: Any = None,
    time_budget: Any = None,
    progress: Any = None,
    checkpoint: Any = None,
) -> Request:
    """Check all arguments of `recover`.

    Args:
        source: `QueryPairs`, or a callable teacher.
        inputs: Sampler or array to draw questions from; needed with a teacher only.
        activation: Name of the catalogue, `Activation`, `jax.numpy` function, "auto", or several
            names; the last two for one hidden layer.
        hidden_layers: At least 1; more than 1 only for logits without noise.
        width: At least 1, or None.
        students: At least 2.
        min_cluster_fraction: Above 0, at most 1, or None; None with several hidden layers.
        max_cluster_angle: Radians, above 0, at most pi / 2, or None.
        outputs: One of `readout.KINDS`.
        noise: Above 0, or None.
        max_queries: At least 1; needed with a teacher only.
        seed: At least 0.
        fit: One of `FITS`, or None; None with several hidden layers.
        time_budget: Seconds, above 0, or None.
        progress: Callable, or None.
        checkpoint: Folder, which need not exist yet, or None.

    Returns:
        The arguments in their final types.

    Raises:
        InvalidInputError: Says in one sentence which argument, what came and what was expected.
    """
    settings: dict[str, Any] = {
        "hidden_layers": whole_number("hidden_layers", hidden_layers, 1),
        "width": None if width is None else whole_number("width", width, 1),
        "students": whole_number(
            "students", students, 2, why="clusters are what students agree on"
        ),
        "min_cluster_fraction": positive_number(
            "min_cluster_fraction", min_cluster_fraction, 1.0, "1"
        ),
        "max_cluster_angle": positive_number(
            "max_cluster_angle", max_cluster_angle, math.pi / 2, "pi / 2 (radians)"
        ),
        "outputs": _outputs(outputs),
        "noise": positive_number("noise", noise),
        "seed": whole_number("seed", seed, 0),
        "fit": _fit(fit),
        "time_budget": positive_number("time_budget", time_budget),
        "progress": read_progress(progress),
        "checkpoint": read_folder(checkpoint),
        "activation": _activation(activation),
    }
    if settings["hidden_layers"] > 1:
        _check_deep(settings)
    if isinstance(source, QueryPairs):
        _refuse_with_pairs(inputs, max_queries)
        check_informative(source)
        Readout(settings["outputs"], source.output_size).check(source.outputs, "pairs")
        return Request(pairs=source, function=None, sampler=None, max_queries=None, **settings)
    _check_teacher(source)
    sampler = _sampler(source, inputs)
    budget = _budget(max_queries, sampler)
    return Request(pairs=None, function=source, sampler=sampler, max_queries=budget, **settings)


def _check_deep(settings: Mapping[str, Any]) -> None:
    """Refuse what is only built for one hidden layer."""
    if settings["fit"] is not None:
        raise InvalidInputError(
            f"fit={settings['fit']!r} is for one hidden layer; students of several train by Adam "
            "and then Levenberg-Marquardt: leave fit out."
        )
    for name, shown, refused in (
        ("activation", AUTO, settings["activation"] is None),
        ("activation", *_shown_mixture(settings["activation"])),
        ("outputs", settings["outputs"], settings["outputs"] != "logits"),
        ("noise", settings["noise"], settings["noise"] is not None),
        (
            "min_cluster_fraction",
            settings["min_cluster_fraction"],
            settings["min_cluster_fraction"] is not None,
        ),
    ):
        if refused:
            raise InvalidInputError(
                f"{name}={shown!r} is for one hidden layer in this version, and hidden_layers="
                f"{settings['hidden_layers']}; name one activation, give logits without noise, and "
                "leave out what clusters need (two students are enough)."
            )


def _refuse_with_pairs(inputs: Any, max_queries: Any) -> None:
    for name, value in (("inputs", inputs), ("max_queries", max_queries)):
        if value is not None:
            raise InvalidInputError(
                f"{name} is for a teacher that can be asked, but QueryPairs were given, which are "
                f"already answered; leave {name} out or give a callable teacher."
            )


def _check_teacher(source: Any) -> None:
    if isinstance(source, tuple | list | Mapping):
        raise InvalidInputError(
            f"source is a {type(source).__name__}; wrap arrays of inputs and outputs as "
            "eac.QueryPairs(inputs, outputs)."
        )
    if isinstance(source, type) or not callable(source):
        shown = source.__name__ if isinstance(source, type) else type(source).__name__
        raise InvalidInputError(
            f"source must be eac.QueryPairs(inputs, outputs) or a callable from (n, d_in) to "
            f"(n, d_out) arrays, got {shown}."
        )
    if isinstance(source, Network) and source.students is not None:
        raise InvalidInputError(
            f"source is an ensemble of {source.students} networks; give one of them, "
            "network.student(0) for example."
        )


def _sampler(source: Any, inputs: Any) -> Sampler:
    if inputs is None:
        raise InvalidInputError(
            "inputs is missing: a callable teacher needs a sampler or an array to draw questions "
            "from, for example inputs=eac.Gaussian(784)."
        )
    sampler = as_sampler(inputs)
    if isinstance(source, Network) and source.input_size != sampler.size:
        raise InvalidInputError(
            f"inputs gives questions of {sampler.size} numbers, but the teacher takes "
            f"{source.input_size}."
        )
    return sampler


def _budget(max_queries: Any, sampler: Sampler) -> int:
    if max_queries is None:
        raise InvalidInputError(
            "max_queries is missing: say how many rows a callable teacher may be asked at most, "
            "for example max_queries=65_536."
        )
    budget = whole_number("max_queries", max_queries, 1)
    _check_enough("max_queries", budget)
    if isinstance(sampler, Pool):
        _check_enough("inputs", sampler.available)
    return budget


def _check_enough(name: str, rows: int) -> None:
    # However many outputs there are, two rows leave a neuron's output weights and biases alone
    # undetermined. What follows from the number of outputs is checked on the first answers.
    if rows < 3:
        raise InvalidInputError(
            f"{name} allows {rows} questions, but a single hidden neuron needs the answers to at "
            "least 3."
        )


def _activation(value: Any) -> Activation | None:
    if isinstance(value, str) and value == AUTO:
        return None
    found = resolve(value)
    # Of a mixture only the kinds are meant: which neuron has which is to be found.
    return mixture(found.each) if found.kinds else found


def _shown_mixture(activation: Activation | None) -> tuple[str, bool]:
    mixed = activation is not None and bool(activation.kinds)
    return (activation.name if activation else "", mixed)


def _outputs(value: Any) -> str:
    kinds = " or ".join(f'"{kind}"' for kind in KINDS)
    if not isinstance(value, str):
        kind = "an array" if hasattr(value, "__array__") else repr(value)
        raise InvalidInputError(
            f"outputs must be {kinds}, got {kind}; answers belong in eac.QueryPairs(inputs, "
            "outputs)."
        )
    if value not in KINDS:
        raise InvalidInputError(f"outputs must be {kinds}, got {value!r}.")
    return value


def _fit(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value in FITS):
        return value
    raise InvalidInputError(f"fit must be None or one of {', '.join(FITS)}, got {value!r}.")
