"""Recover one hidden layer: the search, its completion over all inputs, and the record of it."""

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np

from expand_and_cluster.core.activation import centred
from expand_and_cluster.core.network import Network
from expand_and_cluster.one_layer_given import (
    bench_of,
    extended,
    has_many_pairs,
    search_deadline,
    search_noise,
    with_rare_inputs,
)
from expand_and_cluster.preparation import (
    MAX_CLUSTER_ANGLE,
    MIN_CLUSTER_FRACTION,
    ROUNDS,
    Job,
    Prepared,
    prepare,
    split,
)
from expand_and_cluster.queries.subspace import Subspace
from expand_and_cluster.reconstruction.completion import Completed, Differences, complete
from expand_and_cluster.reconstruction.search import Search
from expand_and_cluster.reconstruction.starts import WIDE, SearchSettings
from expand_and_cluster.recovery import ExpansionCurve, Recovery
from expand_and_cluster.students.initial import LENGTH
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData, default_fit
from expand_and_cluster.summary import summarise
from expand_and_cluster.verdict.conditioning import is_held
from expand_and_cluster.verdict.noise import NoiseHypothesis

# Adam's steps and learning rate where students see only the directions that matter. Measured for
# eight activations on 784-64-10.
STEPS_PER_DIRECTION = 300
STEPS_WITHIN = (15_000, 60_000)
RATE_WITHIN = 1e-2
# Adam's learning rate and batches on many given pairs, and its steps, or the share of the time left
# that the students get where there is an end to it, and then the student that is merged of them: on
# 784-64-10 it then holds nearly all neurons (benchmarks/given_students.py).
RATE_GIVEN, BATCH_GIVEN = 1e-3, 80
STEPS_GIVEN, SHARE_GIVEN = 240_000, 0.3
# Length of the first input vectors there, and decay of weights. Given inputs hardly vary along most
# directions: what a student begins with there stays, or grows, and explains pairs that it has seen
# and no others, unless weights that nothing asks for decay (benchmarks/given_students.py).
LENGTH_GIVEN, DECAY_GIVEN = 1.0, 0.25
# Equations for every weight off the subspace beyond which gradients' questions are not needed: they
# determine weights, but only to the rounding of differences.
WELL_DETERMINED = 1.2
# How much more a gradient's questions then count than as many random ones: these few only disturb
# what differences alone determine, one direction at a time.
DIFFERENCES_FIRST = 10.0


def recover_one_layer(job: Job, width: int, expansion: ExpansionCurve | None) -> Recovery:
    """Search, complete, judge, and lay out all evidence.

    Args:
        job: The recovery.
        width: Hidden neurons of the students.
        expansion: How the width was found, if it was.

    Raises:
        EacError: No student imitates the teacher.
    """
    request, answers, prepared = job.request, job.answers, job.prepared
    draft, subspace = answers.draft, answers.subspace
    settings, noisy = _settings(job, width), _hypothesis(job)
    search = Search(
        prepared.training,
        prepared.held_out,
        centred(request.named),
        settings,
        checkpoint=job.store,
        report=request.progress,
        held=partial(
            is_held,
            least_width=0 if subspace is None else subspace.rank,
            report=request.progress,
        ),
        draft=None if draft is None else prepared.standard.enter(draft).at_rest(),
        accepts=None if answers.whole is not None else _accepts(noisy, prepared.standard),
        deadline=search_deadline(job),
    )
    job.reached["search"] = search.outcome
    search.run()
    return summarise(
        search,
        _completed(search, job),
        activation=request.named,
        readout=job.reader.readout,
        noisy=noisy,
        expansion=expansion,
        queries=answers.queries,
        began=job.began,
        chosen={
            **job.describe(),
            **dataclasses.asdict(settings),
            "rounds_used": len(search.outcome.rounds),
            "answers_written_in": job.reader.resolution.name,
        },
    )


def _settings(job: Job, width: int) -> SearchSettings:
    request, prepared = job.request, job.prepared
    inputs = prepared.training.inputs.shape[1]
    # Common pairs come first for students by Adam alone, however few inputs they show.
    by_size = "adam" if job.answers.common is not None else default_fit(inputs, width)
    method = request.fit or by_size
    steps = rate = batch = share = None
    length, decay = LENGTH, 0.0
    given = has_many_pairs(request) and method == "adam"
    if job.answers.subspace is not None and method == "adam":
        steps = int(np.clip(STEPS_PER_DIRECTION * inputs, *STEPS_WITHIN))
        rate = RATE_WITHIN
    elif given:
        rate, batch = RATE_GIVEN, BATCH_GIVEN
        length, decay = LENGTH_GIVEN, DECAY_GIVEN
        steps, share = STEPS_GIVEN, None if job.deadline is None else SHARE_GIVEN
    return SearchSettings(
        width=width,
        students=request.students,
        seed=request.seed,
        min_cluster_fraction=request.min_cluster_fraction or MIN_CLUSTER_FRACTION,
        max_cluster_angle=request.max_cluster_angle or (WIDE if given else MAX_CLUSTER_ANGLE),
        method=method,
        rounds=ROUNDS,
        noise=search_noise(job),
        steps=steps,
        share=share,
        learning_rate=rate,
        batch_size=batch,
        weight_decay=decay,
        initial_length=length,
        given=given,
    )


def _completed(search: Search, job: Job) -> Completed | None:
    """The network over all inputs; None where no student imitates the teacher."""
    request, answers, prepared = job.request, job.answers, job.prepared
    rebuilt = search.outcome.rebuilt
    if rebuilt is None:
        return None
    if answers.common is not None:
        return extended(rebuilt, job)
    if answers.subspace is None or answers.whole is None:
        bench, held_out = search.judging_bench(), search.outcome.held_out
        found = Completed(rebuilt, bench, held_out, prepared.standard)
        if search.settings.given and not rebuilt.exact:
            return with_rare_inputs(found, prepared, job)
        return found
    spare = rebuilt.exact and not search.is_held(rebuilt.network, search.judging_bench())
    whole = prepare(answers.whole, request.seed, job.reader)
    bench = bench_of(whole, rebuilt, job)
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
        deadline=job.deadline,
    )


def _differences(subspace: Subspace, whole: Prepared) -> Differences | None:
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


def _hypothesis(job: Job) -> NoiseHypothesis:
    """What would have to hold if all that the network leaves of the answers is noise."""
    answers, request = job.answers, job.request
    pairs = answers.pairs if answers.whole is None else answers.whole
    training, held_out, _ = split(pairs, request.seed, job.reader)
    return NoiseHypothesis(
        training,
        held_out,
        known=job.reader.noise,
        seed=request.seed,
        deadline=job.deadline,
        report=request.progress,
    )


def _accepts(noisy: NoiseHypothesis, standard: Standardisation) -> Callable[[Network], bool]:
    return lambda network: noisy.accepts(standard.restore(network).at_rest())
