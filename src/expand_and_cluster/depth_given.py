"""Recover several hidden layers of a large network from given pairs, and judge what came out."""

import time

import numpy as np

from expand_and_cluster.core.activation import centred
from expand_and_cluster.core.errors import EacError
from expand_and_cluster.core.held import hold
from expand_and_cluster.core.network import Network
from expand_and_cluster.fitting.deep_descent import hidden_weights
from expand_and_cluster.preparation import MAX_CLUSTER_ANGLE, Job
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.reconstruction.deep_bench import DeepBench
from expand_and_cluster.reconstruction.given_layers import GivenLayers, GivenOutcome
from expand_and_cluster.reconstruction.refinement import Refined
from expand_and_cluster.recovery import (
    ExpansionCurve,
    NeuronRecord,
    Recovery,
    Rejection,
    Verdict,
)
from expand_and_cluster.students.by_muon import as_fit
from expand_and_cluster.summary import clustering_of, curves_of, open_inputs, says_rare
from expand_and_cluster.verdict.deep_judgement import find_layer_support
from expand_and_cluster.verdict.judgement import Support

# From so many given pairs, and so many weights of a student's hidden layers, Levenberg-Marquardt on
# all weights is out of reach, and Muon is not.
MANY_PAIRS, MANY_WEIGHTS = 20_000, 10_000
# Root mean squared error on held-out pairs up to which neurons are worth something.
CLOSE = 1e-2


def is_large(pairs: QueryPairs | None, hidden: tuple[int, ...]) -> bool:
    """Whether a recovery is one for this way.

    Args:
        pairs: What is given; None where questions can be asked.
        hidden: Inputs, then neurons of every hidden layer of a student.
    """
    many = pairs is not None and len(pairs) >= MANY_PAIRS
    return many and hidden_weights((*hidden, 1)) >= MANY_WEIGHTS


def recover_many_weights(job: Job, width: int, expansion: ExpansionCurve | None) -> Recovery:
    """Search, judge, and lay out all evidence.

    Args:
        job: The recovery.
        width: Neurons of every hidden layer of a student.
        expansion: How the width was found, if it was.

    Raises:
        EacError: All students diverged.
    """
    request, prepared = job.request, job.prepared
    standard, held_out = prepared.standard, prepared.held_out
    search = GivenLayers(
        prepared.training,
        centred(request.named),
        (width,) * request.hidden_layers,
        students=request.students,
        seed=request.seed,
        max_angle=request.max_cluster_angle or MAX_CLUSTER_ANGLE,
        checkpoint=job.store,
        report=request.progress,
        deadline=job.deadline,
    )
    job.reached["search"] = search.outcome
    outcome = search.run()
    refined = outcome.refined
    if refined is None:
        raise EacError(
            "no student imitates the teacher: all diverged; check that the outputs are a function "
            "of the inputs.",
            partial=outcome,
        )
    missed = refined.network(held_out.inputs) - held_out.targets
    error = float(np.sqrt(np.mean(missed**2)))
    everything = prepared.training.joined(held_out)
    search.finish(everything)
    network = refined.network
    floor = float(np.sqrt(DeepBench(prepared.training.first(4096)).floor(network)))
    students = [
        each.network
        for one in outcome.shared.rounds
        for each in one.students
        if isinstance(each.network, Network) and np.isfinite(each.loss)
    ]
    support = find_layer_support(network, students, held_out.inputs)
    # What never varies tells nothing about its weights; they are held at zero.
    masked = np.ptp(everything.inputs, axis=0) == 0.0
    raw = standard.restore(network).at_rest().uncentred(request.named)
    if masked.any():
        raw = hold(raw, masked, standard.input_center)
    first = next((one.shared for one in outcome.shared.rounds if one.shared is not None), None)
    return Recovery(
        network=raw,
        verdict=_verdict(refined, error, floor, support),
        neurons=_neurons(raw, support, open_inputs(masked, refined.rare)),
        queries=job.answers.queries,
        seconds=time.monotonic() - job.began,
        settings={
            **job.describe(),
            "width": width,
            "students": request.students,
            "seed": request.seed,
            "max_cluster_angle": request.max_cluster_angle or MAX_CLUSTER_ANGLE,
            "rounds_used": len(outcome.shared.rounds),
            "rounding_floor": floor,
            "layers_of_neurons_told_from_the_error": [layer + 1 for layer in refined.missing],
        },
        rejected=_rejected(outcome, refined),
        masked_inputs=masked,
        held_inputs=np.where(masked, standard.input_center, 0.0),
        curves=curves_of([as_fit(one.students) for one in outcome.shared.rounds], held_out),
        expansion=expansion,
        clustering=None
        if first is None
        else clustering_of(first.populations[0], first.consensus[0]),
    )


def _verdict(refined: Refined, error: float, floor: float, support: tuple[Support, ...]) -> Verdict:
    """Abstain: which of so many weights the pairs hold has not been analysed."""
    trained = float(np.sqrt(refined.loss))
    widths = "-".join(str(len(each.students)) for each in support)
    alone = sum(len(students) < 2 for each in support for students in each.students)
    reasons = (
        f"the error is {trained:.1e} of the outputs' spread on the pairs, and was {error:.1e} on "
        f"held-out ones before the last steps saw these too; rounding explains {floor:.1e}",
        f"hidden widths {widths}; {alone} of these neurons are held by fewer than two students",
        "whether the pairs hold all weights was not analysed: there are too many for that",
    )
    return Verdict(False, 0.4 if error <= CLOSE else 0.1, reasons + says_rare(refined.rare))


def _neurons(
    network: Network, support: tuple[Support, ...], untold: tuple[str, ...]
) -> tuple[NeuronRecord, ...]:
    hidden = network.activation.symmetry.describe()
    return tuple(
        NeuronRecord(
            layer=layer,
            index=index,
            students=tuple(int(student) for student in students),
            agreement=float(each.agreement[index]),
            type="candidate",
            unidentifiable=hidden + (untold if layer == 0 else ()),
        )
        for layer, each in enumerate(support)
        for index, students in enumerate(each.students)
    )


def _rejected(outcome: GivenOutcome, refined: Refined) -> tuple[Rejection, ...]:
    rejected: list[Rejection] = []
    for number, one in enumerate(outcome.shared.rounds, start=1):
        if one.shared is None:
            if number == 1:
                reason = "students of the first round share nothing in some layer"
                rejected.append(Rejection("round", "round 1", reason))
            continue
        for layer, consensus in enumerate(one.shared.consensus, start=1):
            for index, cluster in enumerate(consensus.selection.rejected):
                name = f"round {number}, layer {layer}, cluster {index}"
                rejected.append(Rejection("cluster", name, cluster.reason))
    for removal in refined.removals:
        name = f"candidate of layer {removal.layer + 1} removed at width {removal.width + 1}"
        rejected.append(Rejection("neuron", name, removal.reason))
    return tuple(rejected)
