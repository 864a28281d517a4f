"""Turn what a search found into the record a user receives."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.errors import EacError
from expand_and_cluster.core.held import hold
from expand_and_cluster.core.network import Network
from expand_and_cluster.fitting.result import Fit
from expand_and_cluster.queries.readout import Readout
from expand_and_cluster.reconstruction.completion import Completed
from expand_and_cluster.reconstruction.consensus import Consensus, Population
from expand_and_cluster.reconstruction.search import Outcome, Search
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.recovery import (
    Clustering,
    ExpansionCurve,
    LossCurves,
    NeuronRecord,
    Recovery,
    Rejection,
    Verdict,
)
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.verdict.conditioning import analyse_conditioning
from expand_and_cluster.verdict.judgement import Finding, Support, find_support, judge
from expand_and_cluster.verdict.noise import Explained, NoiseHypothesis
from expand_and_cluster.verdict.noisy_judgement import judge_noisy
from expand_and_cluster.verdict.other_kinds import judge_kinds

# Said of every recovery from a whole softmax.
SHARED = (
    "a softmax does not tell what is added to all logits of an input: output weights and biases "
    "are centred, to sum to zero over the classes"
)


def summarise(
    search: Search,
    completed: Completed | None,
    *,
    activation: Activation,
    readout: Readout,
    noisy: NoiseHypothesis,
    expansion: ExpansionCurve | None,
    queries: int,
    began: float,
    chosen: dict[str, Any],
) -> Recovery:
    """Judge the best network of a search and lay out all evidence.

    Args:
        search: A search that has run.
        completed: The network over all inputs, None where there is none.
        activation: The activation as the user gave it; the search ran with its centre at zero.
        readout: How answers were read.
        noisy: The hypothesis that noise explains what the network leaves of the answers.
        expansion: Curve of the expansion phase, if there was one.
        queries: Rows asked or given.
        began: `time.monotonic()` at the start of the recovery.
        chosen: Everything that was chosen, by name.

    Raises:
        EacError: No student ended with a finite loss.
    """
    outcome = search.outcome
    population = outcome.population
    if completed is None or outcome.rebuilt is None or population is None:
        raise EacError(
            "no student imitates the teacher: all diverged or stayed constant; check that the "
            "outputs are a function of the inputs, and give more pairs or a larger width.",
            partial=outcome,
        )
    own = outcome.rebuilt.network if completed.own is None else completed.own
    judged = _judge(completed, own, search, population, noisy)
    finding, center = judged.finding, judged.standard.input_center
    raw = judged.standard.restore(judged.network).at_rest().uncentred(activation)
    if raw.skip is None and finding.masked.any():
        raw = hold(raw, finding.masked, center)
    # Where noise explains the rest, standard errors say it of every weight.
    rare = completed.rare if judged.explained is None else None
    if rare is not None:
        rare = rare & ~finding.masked  # Masked inputs have no weights, small or not.
    reasons = finding.reasons + says_rare(rare) + ((SHARED,) if readout.shared else ())
    errors = judged.explained and judged.explained.errors.restored(judged.standard)
    return Recovery(
        network=readout.restore(raw),
        verdict=Verdict(finding.identified, finding.confidence, reasons),
        neurons=_neurons(raw, judged.support, finding, readout, rare),
        queries=queries,
        seconds=time.monotonic() - began,
        settings={**chosen, "found_by": outcome.source, **judged.settings},
        rejected=_rejected(outcome, judged.explained),
        masked_inputs=finding.masked,
        held_inputs=np.where(finding.masked, center, 0.0),
        curves=curves_of(outcome.rounds, search.held_out),
        expansion=expansion,
        clustering=clustering_of(outcome.population, outcome.consensus),
        standard_errors=errors
        and errors.mapped(readout.contrasts).replace(activation=raw.activation),
    )


@dataclass(frozen=True)
class _Judged:
    """The network that is given back, and what is held for and against it."""

    network: Network
    standard: Standardisation
    finding: Finding
    support: Support
    floor: float
    explained: Explained | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What was found about the answers' errors, in plain values."""
        found: dict[str, Any] = {"rounding_floor": self.floor}
        if self.explained is not None:
            found["noise_found"] = self.explained.noise
        return found


def _judge(
    completed: Completed,
    own: Network,
    search: Search,
    population: Population,
    noisy: NoiseHypothesis,
) -> _Judged:
    """Judge by rounding alone and, where that does not do, by noise.

    Args:
        completed: The network over all inputs.
        own: The network in the coordinates that students saw, its neurons in the same order.
        search: How it was found.
        population: Neurons of the students.
        noisy: The hypothesis that noise explains what is left.
    """
    rebuilt, bench, standard = completed.rebuilt, completed.bench, completed.standard
    network = rebuilt.network
    floor = float(np.sqrt(bench.floor(bench.as_candidate(network))))
    support = find_support(own, population, search.activation)
    finding = judge(
        network,
        analyse_conditioning(
            network, bench.training, differences=completed.differences, report=bench.report
        ),
        held_out=float(np.sqrt(completed.held_out)),
        seen=completed.rare if completed.seen else None,
        floor=floor,
        gain=completed.rounding_gain,
        support=support,
        skip_left=rebuilt.skip_left,
        fitted=rebuilt.exact,
        spare=completed.spare,
    )
    finding = judge_kinds(finding, network, bench, noisy=None)
    if not finding.identified and noisy.found is None:
        noisy.accepts(standard.restore(network).at_rest())
    explained = noisy.found
    if finding.identified or explained is None:
        return _Judged(network, standard, finding, support, floor)
    if own.input_size == explained.network.input_size:
        # In the coordinates of the students, whose inputs may be stretched otherwise.
        there = explained.standard.restore(explained.network).at_rest()
        support = find_support(standard.enter(there), population, search.activation)
    elif explained.network.hidden_widths != own.hidden_widths:
        return _Judged(network, standard, finding, support, floor)
    by_noise = judge_kinds(
        judge_noisy(explained, support),
        explained.network,
        Workbench(explained.bench.training, search.activation, deadline=bench.deadline),
        noisy=explained.loss,
    )
    return _Judged(explained.network, explained.standard, by_noise, support, floor, explained)


def open_inputs(masked: np.ndarray, rare: np.ndarray | None = None) -> tuple[str, ...]:
    """What a record says of inputs whose weights the pairs do not tell.

    Args:
        masked: Inputs that tell nothing.
        rare: Inputs that too few pairs show; None where nobody asked.
    """
    untold = {"": masked, " (shown by too few pairs)": rare}
    return tuple(
        f"inputs {', '.join(map(str, np.flatnonzero(inputs)))}{why}"
        for why, inputs in untold.items()
        if inputs is not None and inputs.any()
    )


def says_rare(rare: np.ndarray | None) -> tuple[str, ...]:
    """What a verdict says of inputs that too few pairs show."""
    if rare is None or not rare.any():
        return ()
    return (
        f"{np.sum(rare)} inputs are shown by too few pairs to tell their weights: they have small "
        "ones that explain the pairs, or none",
    )


def _neurons(
    network: Network,
    support: Support,
    finding: Finding,
    readout: Readout,
    rare: np.ndarray | None,
) -> tuple[NeuronRecord, ...]:
    shared = ("mean output weight",) if readout.shared else ()
    untold = open_inputs(finding.masked, rare)
    kind = "teacher neuron" if finding.identified else "candidate"
    return tuple(
        NeuronRecord(
            layer=0,
            index=k,
            students=tuple(int(s) for s in support.students[k]),
            agreement=float(support.agreement[k]),
            type=kind,
            unidentifiable=network.activation.of(k).symmetry.describe() + shared + untold,
        )
        for k in range(network.hidden_widths[0])
    )


def _rejected(outcome: Outcome, explained: Explained | None) -> tuple[Rejection, ...]:
    rejected: list[Rejection] = []
    population, rebuilt = outcome.population, outcome.rebuilt
    assert population is not None
    assert rebuilt is not None
    for student in np.flatnonzero(~population.imitating):
        reason = (
            f"its error, {np.sqrt(population.losses[student]):.1e} of the outputs' spread, is too "
            "large for its neurons to be evidence"
        )
        rejected.append(Rejection("student", f"student {student}", reason))
    for student in np.flatnonzero(population.idle.any(axis=1)):
        idle = np.flatnonzero(population.idle[student])
        name = f"neurons {', '.join(map(str, idle))} of student {student}"
        reason = f"contribute less than {population.least_contribution:.2g} of the outputs' spread"
        rejected.append(Rejection("neuron", name, reason))
    if outcome.consensus is not None:
        for index, cluster in enumerate(outcome.consensus.selection.rejected):
            rejected.append(Rejection("cluster", f"cluster {index}", cluster.reason))
    for removal in rebuilt.removals + (() if explained is None else explained.removals):
        name = f"candidate removed at width {removal.width + 1}"
        rejected.append(Rejection("neuron", name, removal.reason))
    return tuple(rejected)


def curves_of(fits: Sequence[Fit], pairs: TrainingData) -> LossCurves:
    """Losses of all students of several fits, one after the other."""
    if not fits:
        return LossCurves(np.zeros(0, np.int64), np.zeros((0, 0)), np.zeros(0), ())
    steps = np.unique(np.concatenate([fit.steps for fit in fits]))
    losses = np.full((sum(len(fit.losses) for fit in fits), len(steps)), np.nan)
    row = 0
    for fit in fits:
        columns = np.searchsorted(steps, fit.steps)
        losses[row : row + len(fit.losses), columns] = np.sqrt(fit.curves)
        row += len(fit.losses)
    held_out = np.concatenate([_errors(fit.students, pairs) for fit in fits])
    codes = tuple(str(stop) for fit in fits for stop in fit.stops)
    return LossCurves(steps, losses, held_out, codes)


def _errors(students: Network, pairs: TrainingData) -> np.ndarray:
    answers = students(pairs.inputs)
    return np.sqrt(np.mean((answers - pairs.targets) ** 2, axis=(1, 2)))


def clustering_of(population: Population | None, consensus: Consensus | None) -> Clustering | None:
    """Everything needed to cut the tree again; None where nothing was clustered."""
    if population is None or consensus is None:
        return None
    return Clustering(
        vectors=population.vectors,
        students=population.students,
        tree=consensus.tree,
        height=consensus.height,
        labels=consensus.selection.labels,
        angles=consensus.selection.angles,
    )
