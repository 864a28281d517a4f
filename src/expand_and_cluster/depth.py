"""Recover several hidden layers: the search, its verdict, and the record a user receives."""

import dataclasses
import time

import numpy as np

from expand_and_cluster.core.activation import centred
from expand_and_cluster.core.errors import EacError
from expand_and_cluster.core.held import hold
from expand_and_cluster.core.network import Network
from expand_and_cluster.preparation import MAX_CLUSTER_ANGLE, ROUNDS, Job, prepare
from expand_and_cluster.reconstruction.deep_completion import CompletedLayers, complete_layers
from expand_and_cluster.reconstruction.deep_consensus import IMITATES
from expand_and_cluster.reconstruction.layerwise import LayerwiseSearch
from expand_and_cluster.reconstruction.layerwise_outcome import (
    LayerwiseOutcome,
    LayerwiseSettings,
)
from expand_and_cluster.recovery import (
    ExpansionCurve,
    NeuronRecord,
    Recovery,
    Rejection,
    Verdict,
)
from expand_and_cluster.summary import clustering_of, curves_of, open_inputs
from expand_and_cluster.verdict.deep_conditioning import Analyst
from expand_and_cluster.verdict.deep_judgement import (
    find_layer_support,
    judge_layers,
    judge_over_all_inputs,
    loose_neurons,
)
from expand_and_cluster.verdict.judgement import Finding, Support


def recover_layers(job: Job, width: int, expansion: ExpansionCurve | None) -> Recovery:
    """Search, judge, and lay out all evidence.

    Args:
        job: The recovery.
        width: Neurons of every hidden layer of a student.
        expansion: How the width was found, if it was.

    Raises:
        EacError: No student imitates the teacher.
    """
    request, prepared = job.request, job.prepared
    standard, held_out = prepared.standard, prepared.held_out
    settings = LayerwiseSettings(
        hidden_layers=request.hidden_layers,
        width=width,
        students=request.students,
        seed=request.seed,
        max_cluster_angle=request.max_cluster_angle or MAX_CLUSTER_ANGLE,
        rounds=ROUNDS,
        noise=prepared.noise,
    )
    analyst = Analyst()
    search = LayerwiseSearch(
        prepared.training,
        held_out,
        centred(request.named),
        settings,
        checkpoint=job.store,
        report=request.progress,
        held=analyst.all_held,
        first_layer=None
        if job.answers.first_layer is None
        else standard.enter_vectors(job.answers.first_layer),
        draft=None if job.answers.draft is None else standard.enter(job.answers.draft).at_rest(),
        deadline=job.deadline,
    )
    job.reached["search"] = search.outcome
    outcome = search.run()
    if outcome.best is None:
        raise EacError(
            "no student imitates the teacher: all diverged or stayed constant; check that the "
            "outputs are a function of the inputs, and give more pairs or a larger width.",
            partial=outcome,
        )
    network = outcome.best.network
    floor = float(np.sqrt(search.bench.floor(network)))
    error = float(np.sqrt(outcome.held_out))
    conditioning = analyst.analyse(network, search.bench.training)
    support = find_layer_support(network, outcome.imitating(), held_out.inputs)
    finding = judge_layers(
        network,
        conditioning,
        held_out=error,
        floor=floor,
        support=support,
        fitted=outcome.exact,
    )
    raw, center = standard.restore(network).at_rest(), standard.input_center
    completed = _completed(raw, job)
    if completed is not None:
        raw, finding = completed.network, judge_over_all_inputs(finding, completed)
        center = np.zeros(len(finding.masked))
    raw = raw.uncentred(request.named)
    if finding.masked.any():
        raw = hold(raw, finding.masked, center)
    doubtful = () if finding.identified else loose_neurons(network, conditioning, floor)
    first = next((stage for stage in outcome.stages if stage.layer == 0), None)
    return Recovery(
        network=raw,
        verdict=Verdict(finding.identified, finding.confidence, finding.reasons),
        neurons=_neurons(raw, support, finding),
        queries=job.answers.queries,
        seconds=time.monotonic() - job.began,
        settings={
            **job.describe(),
            **dataclasses.asdict(settings),
            "rounds_used": outcome.rounds,
            "found_by": outcome.source,
            "rounding_floor": floor,
        },
        rejected=_rejected(outcome, network, support, doubtful),
        masked_inputs=finding.masked,
        held_inputs=np.where(finding.masked, center, 0.0),
        curves=curves_of([stage.fit for stage in outcome.stages], held_out),
        expansion=expansion,
        clustering=None if first is None else clustering_of(first.population, first.consensus),
    )


def _completed(within: Network, job: Job) -> CompletedLayers | None:
    """The network over all inputs, where it was looked for within a subspace of them."""
    answers = job.answers
    if answers.subspace is None or answers.whole is None:
        return None
    whole = prepare(answers.whole, job.request.seed, job.reader)
    return complete_layers(
        answers.subspace.lift(within),
        whole.training,
        whole.held_out,
        whole.standard,
        known=answers.subspace.root,
        noise=whole.noise,
        report=job.request.progress,
    )


def _neurons(
    network: Network, support: tuple[Support, ...], finding: Finding
) -> tuple[NeuronRecord, ...]:
    symmetry = network.activation.symmetry
    # A flip that leaves an affine map has no place for it in an ordinary network of this depth.
    affine = symmetry.flip is not None and symmetry.flip.linear != 0.0
    hidden = tuple(what for what in symmetry.describe() if what != "sign" or not affine)
    untold = open_inputs(finding.masked)
    kind = "teacher neuron" if finding.identified else "candidate"
    return tuple(
        NeuronRecord(
            layer=layer,
            index=index,
            students=tuple(int(student) for student in students),
            agreement=float(each.agreement[index]),
            type=kind,
            unidentifiable=hidden + (untold if layer == 0 else ()),
        )
        for layer, each in enumerate(support)
        for index, students in enumerate(each.students)
    )


def _rejected(
    outcome: LayerwiseOutcome,
    network: Network,
    support: tuple[Support, ...],
    doubtful: tuple[np.ndarray, ...],
) -> tuple[Rejection, ...]:
    rejected: list[Rejection] = []
    number = 0
    for stage in outcome.stages:
        for loss in stage.fit.losses:
            if loss > IMITATES:
                reason = (
                    f"its error, {np.sqrt(loss):.1e} of the outputs' spread, is too large for its "
                    "neurons to be evidence"
                )
                rejected.append(Rejection("student", f"student {number}", reason))
            number += 1
    for removal in outcome.removals:
        name = f"candidate of layer {removal.layer + 1} removed at width {removal.width + 1}"
        rejected.append(Rejection("neuron", name, removal.reason))
    for layer, rows in enumerate(doubtful[: len(network.layers) - 1]):
        for index in rows:
            held_by = len(support[layer].students[index])
            reason = f"in doubt: the pairs do not hold its weights; {held_by} students have it"
            rejected.append(Rejection("neuron", f"layer {layer + 1}, neuron {index}", reason))
    return tuple(rejected)
