"""The one entry: recover a network from its answers, room by room in the order of the paper."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
from jax import Array
from jax.typing import ArrayLike

from expand_and_cluster.core.activations import Activation, centred
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.errors import InterruptedRecoveryError, InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.depth import recover_layers
from expand_and_cluster.queries.asking import Answers, ask_all
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.pairs import QueryPairs, check_informative
from expand_and_cluster.queries.reading import Reader
from expand_and_cluster.queries.samplers import Sampler
from expand_and_cluster.queries.subspace import Subspace
from expand_and_cluster.queries.validation import AUTO, Request, validate_request
from expand_and_cluster.reconstruction.candidate import Workbench
from expand_and_cluster.reconstruction.completion import Completed, Differences, complete
from expand_and_cluster.reconstruction.layerwise import LayerwiseSettings
from expand_and_cluster.reconstruction.search import Search, SearchSettings
from expand_and_cluster.recovery import ExpansionCurve, Recovery
from expand_and_cluster.students.expansion import expand
from expand_and_cluster.students.holding import find_holding
from expand_and_cluster.students.screening import screen
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData, default_fit
from expand_and_cluster.summary import summarise
from expand_and_cluster.unknown_activation import recover_unknown
from expand_and_cluster.verdict.conditioning import is_held
from expand_and_cluster.verdict.noise import NoiseHypothesis

HELD_OUT = 0.1
MIN_CLUSTER_FRACTION = 0.5
MAX_CLUSTER_ANGLE = np.pi / 12
ROUNDS = 6
# Where students see only the directions that matter: their width for every direction, and Adam's
# steps and learning rate. Measured for eight activations on 784-64-10 and on 784-256-10.
STUDENTS_PER_DIRECTION = 2
STEPS_PER_DIRECTION = 300
STEPS_WITHIN = (15_000, 60_000)
RATE_WITHIN = 1e-2
# Equations for every weight off the subspace beyond which gradients' questions are not needed: they
# determine weights, but only to the rounding of differences.
WELL_DETERMINED = 1.2
# How much more a gradient's questions then count than as many random ones: these few only disturb
# what differences alone determine, one direction at a time.
DIFFERENCES_FIRST = 10.0


def recover(
    source: QueryPairs | Callable[[np.ndarray], ArrayLike],
    *,
    inputs: Sampler | ArrayLike | None = None,
    activation: str | Callable[[Array], Array] | Activation,
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
            "auto" names it from the catalogue, for one hidden layer.
        hidden_layers: Number of hidden layers; several are rebuilt one after the other.
        width: Hidden neurons of a student, in every hidden layer; None lets the expansion phase
            find it.
        students: Number of students (paper: N).
        min_cluster_fraction: Share of the students that a cluster must hold (paper: gamma);
            None means 0.5.
        max_cluster_angle: Largest median angle within a cluster in radians (paper: beta); None
            means pi / 12.
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
        time_budget: Seconds after which the best network so far is returned.
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
    answers = _answers(request, reader)
    reached["pairs"] = answers.pairs
    prepared = _prepare(answers.pairs, request.seed, reader)
    if request.activation is not None:
        return _recover_named(request, reader, answers, prepared, store, began, deadline, reached)

    def with_activation(activation: Activation, own: Checkpoint) -> Recovery:
        named = dataclasses.replace(request, activation=activation)
        return _recover_named(named, reader, answers, prepared, own, began, deadline, reached)

    ranked = partial(
        screen,
        prepared.training,
        prepared.held_out,
        seed=request.seed,
        width=_width(request, answers),
        noise=prepared.noise,
        method=request.fit,
        report=request.progress,
        deadline=deadline,
    )
    return recover_unknown(ranked, with_activation, checkpoint=store, deadline=deadline)


def _width(request: Request, answers: Answers) -> int | None:
    """Width of the students, where no expansion has to find it."""
    if request.width is None and answers.subspace is not None:
        return STUDENTS_PER_DIRECTION * answers.subspace.rank
    return request.width


def _recover_named(
    request: Request,
    reader: Reader,
    answers: Answers,
    prepared: "_Prepared",
    store: Checkpoint,
    began: float,
    deadline: float | None,
    reached: dict[str, Any],
) -> Recovery:
    data, unseen = prepared.training, prepared.held_out
    expansion = None
    width = _width(request, answers)
    if width is None:
        expansion = _expansion(request, prepared, reader, store, deadline)
        width = expansion.chosen
    if request.hidden_layers > 1:
        return recover_layers(
            data,
            unseen,
            prepared.standard,
            LayerwiseSettings(
                hidden_layers=request.hidden_layers,
                width=width,
                students=request.students,
                seed=request.seed,
                max_cluster_angle=request.max_cluster_angle or MAX_CLUSTER_ANGLE,
                rounds=ROUNDS,
                noise=prepared.noise,
            ),
            activation=request.named,
            expansion=expansion,
            queries=answers.queries,
            began=began,
            chosen={**_describe(request, answers.notes), "rows_set_aside": prepared.set_aside},
            checkpoint=store,
            report=request.progress,
            reached=reached,
            deadline=deadline,
        )
    settings = _settings(request, answers, width, prepared)
    noisy = _hypothesis(answers, request, reader, deadline)
    least = 0 if answers.subspace is None else answers.subspace.rank
    search = Search(
        data,
        unseen,
        centred(request.named),
        settings,
        checkpoint=store,
        report=request.progress,
        held=partial(is_held, least_width=least),
        draft=_entered(answers.draft, prepared),
        accepts=None if answers.whole is not None else _accepts(noisy, prepared.standard),
        deadline=deadline,
    )
    reached["search"] = search.outcome
    search.run()
    return summarise(
        search,
        _completed(search, prepared, answers, request, reader, deadline),
        activation=request.named,
        readout=reader.readout,
        noisy=noisy,
        expansion=expansion,
        queries=answers.queries,
        seconds=time.monotonic() - began,
        chosen={
            **_describe(request, answers.notes),
            **dataclasses.asdict(settings),
            "rounds_used": len(search.outcome.rounds),
            "rows_set_aside": prepared.set_aside,
            "answers_written_in": reader.resolution.name,
        },
    )


def _entered(draft: Network | None, prepared: "_Prepared") -> Network | None:
    """A draft in the coordinates of the students."""
    return None if draft is None else prepared.standard.enter(draft).at_rest()


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """Pairs as students see them, and how many rows were set aside."""

    standard: Standardisation
    training: TrainingData
    held_out: TrainingData
    noise: float
    set_aside: int


def _prepare(pairs: QueryPairs, seed: int, reader: Reader) -> _Prepared:
    training, held_out, set_aside = _split(pairs, seed, reader)
    standard = Standardisation.fit(training.inputs, training.outputs)
    rounding = reader.errors(training.outputs) / standard.output_scale
    return _Prepared(
        standard,
        TrainingData(standard.inputs(training.inputs), standard.targets(training.outputs)),
        TrainingData(standard.inputs(held_out.inputs), standard.targets(held_out.outputs)),
        float(np.sqrt(np.mean(rounding**2))),
        set_aside,
    )


def _split(pairs: QueryPairs, seed: int, reader: Reader) -> tuple[QueryPairs, QueryPairs, int]:
    """Training and held-out pairs in random order, and how many rows were set aside."""
    usable = reader.keep_usable(pairs)
    if len(usable) < len(pairs):
        check_informative(usable, name="the answers that are not saturated")
    shuffled = usable.take(np.random.default_rng((seed, 1)).permutation(len(usable)))
    holding = find_holding(shuffled.inputs)
    kept = shuffled.take(np.flatnonzero(holding.covers(shuffled.inputs)))
    training, held_out = kept.split(HELD_OUT, seed)
    return training, held_out, len(pairs) - len(kept)


def _settings(
    request: Request, answers: Answers, width: int, prepared: _Prepared
) -> SearchSettings:
    inputs = prepared.training.inputs.shape[1]
    method = request.fit or default_fit(inputs, width)
    steps = rate = None
    if answers.subspace is not None and method == "adam":
        steps = int(np.clip(STEPS_PER_DIRECTION * inputs, *STEPS_WITHIN))
        rate = RATE_WITHIN
    return SearchSettings(
        width=width,
        students=request.students,
        seed=request.seed,
        min_cluster_fraction=request.min_cluster_fraction or MIN_CLUSTER_FRACTION,
        max_cluster_angle=request.max_cluster_angle or MAX_CLUSTER_ANGLE,
        method=method,
        rounds=ROUNDS,
        noise=prepared.noise,
        steps=steps,
        learning_rate=rate,
    )


def _completed(
    search: Search,
    prepared: _Prepared,
    answers: Answers,
    request: Request,
    reader: Reader,
    deadline: float | None,
) -> Completed | None:
    """The network over all inputs; None where no student imitates the teacher."""
    rebuilt = search.outcome.rebuilt
    if rebuilt is None:
        return None
    if answers.subspace is None or answers.whole is None:
        bench = search.judging_bench()
        return Completed(rebuilt, bench, search.outcome.held_out, prepared.standard)
    spare = rebuilt.exact and not search.is_held(rebuilt.network, search.judging_bench())
    whole = _prepare(answers.whole, request.seed, reader)
    bench = Workbench(
        whole.training,
        centred(request.named),
        skip=rebuilt.network.skip is not None,
        noise=whole.noise,
        deadline=deadline,
        report=request.progress,
    )
    within = prepared.standard.restore(rebuilt.network).at_rest()
    return complete(
        answers.subspace.lift(within),
        rebuilt,
        bench,
        whole.held_out,
        whole.standard,
        known=answers.subspace.root,
        spare=spare,
        differences=_differences(answers.subspace, whole),
        report=request.progress,
        deadline=deadline,
    )


def _differences(subspace: Subspace, whole: _Prepared) -> Differences | None:
    """What was asked for the gradients, where random questions alone leave weights open."""
    size = len(subspace.center)
    unknown = subspace.rank * (size - subspace.rank)
    if len(whole.training.inputs) * subspace.outputs >= WELL_DETERMINED * unknown:
        return None
    standard, pairs = whole.standard, subspace.differences
    rows = TrainingData(standard.inputs(pairs.inputs), standard.targets(pairs.outputs))
    # Per unit of a difference, what the outputs change over the length of a question.
    length = float(np.sqrt(size) * np.median(standard.input_scale)) / subspace.step
    return Differences(rows, size + 1, DIFFERENCES_FIRST * length, length)


def _claim(store: Checkpoint, request: Request) -> None:
    """Mark a checkpoint as this recovery's, or refuse one that holds another's students."""
    mine = {
        "activation": request.activation.name if request.activation else AUTO,
        "hidden_layers": request.hidden_layers,
        "input_size": request.input_size,
        "width": request.width,
        "students": request.students,
        "seed": request.seed,
        "fit": request.fit,
        "outputs": request.outputs,
        "noise": request.noise,
        "max_queries": request.max_queries,
        "questions": repr(request.sampler),
        "pairs": None if request.pairs is None else request.pairs.digest(),
    }
    saved = store.load("request")
    if saved is None:
        store.save("request", {}, mine)
        return
    for name, value in mine.items():
        if saved[1].get(name) != value:
            raise InvalidInputError(
                f"checkpoint={store.folder} holds a recovery with {name}={saved[1].get(name)!r}, "
                f"not {value!r}; give another folder, or the same arguments to resume."
            )


def _answers(request: Request, reader: Reader) -> Answers:
    """All pairs, asked or given, their outputs read as logits."""
    if request.pairs is not None:
        return Answers(reader.read_pairs(request.pairs), queries=len(request.pairs))
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
    return ask_all(
        oracle,
        request.sampler,
        np.random.default_rng((request.seed, 0)),
        max_queries=request.max_queries,
        activation=request.activation,
        reader=reader,
        # Within the subspace only networks with one hidden layer are completed.
        find_subspace=request.hidden_layers == 1,
        report=request.progress,
    )


def _hypothesis(
    answers: Answers, request: Request, reader: Reader, deadline: float | None
) -> NoiseHypothesis:
    """What would have to hold if all that the network leaves of the answers is noise."""
    pairs = answers.pairs if answers.whole is None else answers.whole
    training, held_out, _ = _split(pairs, request.seed, reader)
    return NoiseHypothesis(
        training,
        held_out,
        known=reader.noise,
        seed=request.seed,
        deadline=deadline,
        report=request.progress,
    )


def _accepts(noisy: NoiseHypothesis, standard: Standardisation) -> Callable[[Network], bool]:
    return lambda network: noisy.accepts(standard.restore(network).at_rest())


def _expansion(
    request: Request,
    prepared: _Prepared,
    reader: Reader,
    store: Checkpoint,
    deadline: float | None,
) -> ExpansionCurve:
    saved = store.load("expansion")
    if saved is not None:
        arrays, meta = saved
        return ExpansionCurve(arrays["widths"], arrays["losses"], **meta)
    found = expand(
        prepared.training,
        prepared.held_out,
        centred(request.named),
        seed=request.seed,
        method=request.fit,
        noise=(reader.noise or 0.0) / float(np.mean(prepared.standard.output_scale)),
        hidden_layers=request.hidden_layers,
        report=request.progress,
        deadline=deadline,
    )
    arrays = {"widths": found.widths, "losses": found.losses}
    meta = {"criterion": found.criterion, "chosen": found.chosen}
    if deadline is None or time.monotonic() < deadline:
        store.save("expansion", arrays, meta)
    return ExpansionCurve(found.widths, found.losses, found.criterion, found.chosen)


def _describe(request: Request, notes: dict[str, Any]) -> dict[str, Any]:
    return {
        "activation": request.named.name,
        "hidden_layers": request.hidden_layers,
        "outputs": request.outputs,
        "noise_given": request.noise,
        "max_queries": request.max_queries,
        "held_out_fraction": HELD_OUT,
        **notes,
    }
