"""The one entry: recover a network from its answers, room by room in the order of the paper."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from expand_and_cluster.core.activation import Activation, centred
from expand_and_cluster.core.activations import ActivationLike
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.errors import InterruptedRecoveryError
from expand_and_cluster.core.files import values_of_own
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.depth import recover_layers
from expand_and_cluster.depth_given import is_large, recover_many_weights
from expand_and_cluster.one_layer import recover_one_layer
from expand_and_cluster.one_layer_given import by_first_order, common_pairs, has_many_pairs
from expand_and_cluster.preparation import Job, prepare
from expand_and_cluster.queries.answers import Answers
from expand_and_cluster.queries.asking import ask_all
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.queries.reading import Reader
from expand_and_cluster.queries.samplers import Sampler, fingerprint
from expand_and_cluster.queries.validation import AUTO, Request, validate_request
from expand_and_cluster.recovery import ExpansionCurve, Recovery
from expand_and_cluster.students.expansion import expand
from expand_and_cluster.students.screening import screen
from expand_and_cluster.students.standardisation import LEAST_SPREAD, UNSTRETCHED
from expand_and_cluster.symmetries.mixtures import check_kinds
from expand_and_cluster.unknown_activation import recover_unknown

# Neurons of a student for every direction that the outputs depend on.
STUDENTS_PER_DIRECTION = 2
# The same for every neuron of the widest layer, where layers were read off.
STUDENTS_PER_NEURON = 2


def recover(
    source: QueryPairs | Callable[[np.ndarray], ArrayLike],
    *,
    inputs: Sampler | ArrayLike | None = None,
    activation: ActivationLike,
    hidden_layers: int = 1,
    width: int | None = None,
    students: int = 10,
    min_cluster_fraction: float | None = None,
    max_cluster_angle: float | None = None,
    outputs: str = "logits",
    noise: float | None = None,
    max_queries: int | None = None,
    seed: int = 0,
    fit: str | None = None,
    time_budget: float | None = None,
    progress: Reporter | None = None,
    checkpoint: str | PathLike[str] | None = None,
) -> Recovery:
    """Recover a network from pairs of inputs and outputs, or by asking it.

    Args:
        source: Answered pairs, or a callable from (rows, inputs) to (rows, outputs) to ask.
        inputs: Where questions come from (a sampler, or an array to draw from); for a callable.
        activation: Name of the catalogue, or an elementwise function written with `jax.numpy`;
            "auto" names it from the catalogue, for one hidden layer. Several names, as a sequence:
            each neuron of one hidden layer has one of these, and which is found.
        hidden_layers: Number of hidden layers; several are rebuilt one after the other.
        width: Hidden neurons of a student, in every hidden layer; None lets the expansion phase
            find it.
        students: Number of students (paper: N).
        min_cluster_fraction: Share of the students that a cluster must hold (paper: gamma);
            None means 0.5. None with several hidden layers, where two students are enough.
        max_cluster_angle: Largest median angle within a cluster in radians (paper: beta); None
            means pi / 12, and pi / 6 for one hidden layer from 20,000 given pairs or more whose
            students train by Adam.
        outputs: What the outputs are: "logits", "probabilities" (a softmax, or in one column the
            probability of one class of two) or "log_probabilities". Of probabilities, logits are
            recovered up to a number for each input that all share: output weights and biases sum
            to zero over the classes.
        noise: Standard deviation of independent noise in the outputs (in their logarithms, for
            probabilities), where it is known. None: decimals are recognised, and other noise is
            estimated from what the recovered network leaves.
        max_queries: Most rows that may be asked; needed for a callable.
        seed: Decides everything random: same seed, same machine, same result.
        fit: "levenberg_marquardt", "adam" or "gradient_flow"; None chooses by size. None with
            several hidden layers.
        time_budget: Seconds after which the best network so far is returned. Asking is not cut
            short, nor are what a step of a large network begins with and what ends a recovery
            from many pairs (weights of inputs that few of them show): a minute or two for 60,000
            images.
        progress: Called with a `Progress` while the work runs.
        checkpoint: Folder that keeps answers and trained students; the same call with the same
            folder goes on from there.

    Returns:
        The recovered network with a verdict, the evidence and everything that was chosen.

    Raises:
        InvalidInputError: An argument is refused before any work.
        OracleError: The callable failed; `partial` holds the pairs answered so far.
        QueryBudgetError: `max_queries` does not suffice for what has to be asked.
        InterruptedRecoveryError: Ctrl-C; the checkpoint resumes.

    Source: Martinelli et al., section 5 and appendix A.3.
    """
    began = time.monotonic()
    request = validate_request(
        source,
        inputs=inputs,
        activation=activation,
        hidden_layers=hidden_layers,
        width=width,
        students=students,
        min_cluster_fraction=min_cluster_fraction,
        max_cluster_angle=max_cluster_angle,
        outputs=outputs,
        noise=noise,
        max_queries=max_queries,
        seed=seed,
        fit=fit,
        time_budget=time_budget,
        progress=progress,
        checkpoint=checkpoint,
    )
    if request.activation is not None:
        check_kinds(request.activation.kinds)
    deadline = None if request.time_budget is None else began + request.time_budget
    reached: dict[str, Any] = {}
    try:
        return _recover(request, began, deadline, reached)
    except KeyboardInterrupt as stop:
        resume = "" if request.checkpoint is None else f"; {request.checkpoint} resumes it"
        raise InterruptedRecoveryError(f"recovery interrupted{resume}.", partial=reached) from stop


def _recover(
    request: Request, began: float, deadline: float | None, reached: dict[str, Any]
) -> Recovery:
    store = Checkpoint(request.checkpoint)
    _claim(store, request)
    reader = Reader(request.outputs, request.noise)
    answers = _answers(request, reader, reached)
    reached["pairs"] = answers.pairs if answers.common is None else answers.whole
    prepared = prepare(answers.pairs, request.seed, reader, _least_spread(request))
    job = Job(request, reader, answers, prepared, store, began, deadline, reached)
    if request.activation is not None:
        return _recover_named(job)

    def with_activation(activation: Activation, own: Checkpoint) -> Recovery:
        named = dataclasses.replace(request, activation=activation)
        return _recover_named(dataclasses.replace(job, request=named, store=own))

    ranked = partial(
        screen,
        prepared.training,
        prepared.held_out,
        seed=request.seed,
        width=_width(job),
        noise=prepared.noise,
        method=request.fit,
        report=request.progress,
        deadline=deadline,
    )
    return recover_unknown(ranked, with_activation, checkpoint=store, deadline=deadline)


def _least_spread(request: Request) -> float:
    """How little an input may vary before it is not stretched further."""
    first_order = request.pairs is not None and by_first_order(request)
    return UNSTRETCHED if first_order else LEAST_SPREAD


def _recover_named(job: Job) -> Recovery:
    expansion = None
    width = _width(job)
    if width is None:
        expansion = _expansion(job)
        width = expansion.chosen
    if job.request.hidden_layers > 1:
        inputs = job.prepared.training.inputs.shape[1]
        large = is_large(job.request.pairs, (inputs, *[width] * job.request.hidden_layers))
        return (recover_many_weights if large else recover_layers)(job, width, expansion)
    return recover_one_layer(job, width, expansion)


def _width(job: Job) -> int | None:
    """Width of the students, where no expansion has to find it."""
    if job.request.width is not None:
        return job.request.width
    draft, known, subspace = job.answers.draft, job.answers.first_layer, job.answers.subspace
    if job.request.hidden_layers > 1:
        if draft is not None:
            return STUDENTS_PER_NEURON * max(draft.hidden_widths)
        if known is not None:
            # Two layers that are as wide as the first are wide enough; more cost too much.
            spare = STUDENTS_PER_NEURON if job.request.hidden_layers == 2 else 1
            return spare * len(known)
    return None if subspace is None else STUDENTS_PER_DIRECTION * subspace.rank


def _claim(store: Checkpoint, request: Request) -> None:
    """Mark a checkpoint as this recovery's, or refuse one that holds another's students."""
    mine = {
        "activation": request.activation.name if request.activation else AUTO,
        "activation_values": values_of_own(request.activation),
        "hidden_layers": request.hidden_layers,
        "input_size": request.input_size,
        "width": request.width,
        "students": request.students,
        "seed": request.seed,
        "fit": request.fit,
        "outputs": request.outputs,
        "noise": request.noise,
        "max_queries": request.max_queries,
        "questions": None if request.sampler is None else fingerprint(request.sampler),
        "pairs": None if request.pairs is None else request.pairs.digest(),
    }
    if has_many_pairs(request):
        # Students of so many pairs are trained for a share of it.
        mine["time_budget"] = request.time_budget
    if request.hidden_layers > 1:
        # Students of a layer stand on what those below it were cut to.
        mine["max_cluster_angle"] = request.max_cluster_angle
    store.claim(mine)


def _answers(request: Request, reader: Reader, reached: dict[str, Any]) -> Answers:
    """All pairs, asked or given, their outputs read as logits."""
    if request.pairs is not None:
        pairs = reader.read_pairs(request.pairs)
        common = common_pairs(request, pairs)
        if common is None:
            return Answers(pairs, queries=len(pairs))
        return Answers(
            common.of(pairs),
            whole=pairs,
            queries=len(pairs),
            notes=common.describe(),
            common=common,
        )
    assert request.function is not None
    assert request.sampler is not None
    assert request.max_queries is not None
    folder = None if request.checkpoint is None else request.checkpoint / "queries"
    oracle = Oracle(
        request.function,
        request.input_size,
        request.max_queries,
        folder,
        report=request.progress,
    )
    try:
        return ask_all(
            oracle,
            request.sampler,
            np.random.default_rng((request.seed, 0)),
            max_queries=request.max_queries,
            activation=request.activation,
            reader=reader,
            # Within the subspace only networks of one activation are completed.
            find_subspace=not (request.activation and request.activation.kinds),
            hidden_layers=request.hidden_layers,
            report=request.progress,
        )
    except KeyboardInterrupt:
        reached["pairs"] = oracle.pairs() if oracle.answered else None
        raise


def _expansion(job: Job) -> ExpansionCurve:
    saved = job.store.load("expansion")
    if saved is not None:
        arrays, meta = saved
        return ExpansionCurve(arrays["widths"], arrays["losses"], **meta)
    request, prepared = job.request, job.prepared
    found = expand(
        prepared.training,
        prepared.held_out,
        centred(request.named),
        seed=request.seed,
        method=request.fit,
        noise=(job.reader.noise or 0.0) / float(np.mean(prepared.standard.output_scale)),
        hidden_layers=request.hidden_layers,
        report=request.progress,
        deadline=job.deadline,
    )
    arrays = {"widths": found.widths, "losses": found.losses}
    meta = {"criterion": found.criterion, "chosen": found.chosen}
    if job.deadline is None or time.monotonic() < job.deadline:
        job.store.save("expansion", arrays, meta)
    return ExpansionCurve(found.widths, found.losses, found.criterion, found.chosen)
