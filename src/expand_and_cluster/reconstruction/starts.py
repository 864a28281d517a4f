"""Neurons that a rebuilding may start from, in the order in which they are tried."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.clusters.cut_rules import CutRule, paper_height, plateau_height
from expand_and_cluster.core.activation import Activation
from expand_and_cluster.fitting.result import Fit, StopReason
from expand_and_cluster.reconstruction.consensus import Consensus, Population
from expand_and_cluster.reconstruction.consensus_by_kind import consensus_by_kind
from expand_and_cluster.reconstruction.filling import filled_up
from expand_and_cluster.students.initial import LENGTH

# Students that are rebuilt on their own where they do not agree.
ALONE = 3
# Largest median angle within a cluster where the paper's cut is made.
WIDE = np.pi / 6
# Angle to the nearest known neuron from which one of a student fills up.
CLOSE = np.pi / 36


@dataclass(frozen=True)
class SearchSettings:
    """What a search may do.

    Attributes:
        width: Hidden neurons of the students of the first round.
        students: Students of every round.
        seed: Seed of all rounds.
        min_cluster_fraction: Share of the students a cluster needs.
        max_cluster_angle: Largest median angle within a cluster, in radians.
        method: Way of fitting.
        rounds: Most ensembles.
        noise: Rounding of the answers, in standardised units.
        steps: Most steps of a student; None for the default of the way of fitting.
        share: Share of the time left that each first-order fit takes in place of steps; None for
            steps.
        learning_rate: For first-order fits; None for their default.
        batch_size: For first-order fits; None for their default.
        weight_decay: For first-order fits (see `AdamSettings`).
        initial_length: Length of the input vectors that students begin with.
        given: Whether many pairs are given, not asked: fitting them is slow, and students are
            merged into one, which is trained on before it is rebuilt.
    """

    width: int
    students: int
    seed: int
    min_cluster_fraction: float
    max_cluster_angle: float
    method: str
    rounds: int
    noise: float = 0.0
    steps: int | None = None
    share: float | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    weight_decay: float = 0.0
    initial_length: float = LENGTH
    given: bool = False


@dataclass(frozen=True)
class Start:
    """Neurons to begin with.

    Attributes:
        source: How they were found.
        consensus: Their clusters, if they are from any.
        vectors: Their input vectors.
        activation: Activation of a layer of them; None for that of the students.
        filled: Whether neurons of single students fill them up, more than are needed.
    """

    source: str
    consensus: Consensus | None
    vectors: Float[np.ndarray, "neurons inputs_and_bias"]
    activation: Activation | None = None
    filled: bool = False


def starts(
    population: Population,
    fit: Fit,
    activation: Activation,
    settings: SearchSettings,
    *,
    equations: int,
) -> Iterator[Start]:
    """What a round of students offers to start from.

    Args:
        population: Neurons of the students that take part.
        fit: The students.
        activation: Their activation.
        settings: What the search may do.
        equations: Numbers that the pairs hold: candidates with more weights are passed over.
    """
    if fit.stops == (StopReason.UNTRAINED,):
        # A draft has no neuron to spare, however little it contributes.
        draft = fit.students.student(0)
        yield Start("second derivatives", None, draft.input_vectors, draft.activation)
        return
    outputs = fit.students.output_size
    if settings.given and not activation.kinds:
        most = equations // (population.vectors.shape[1] + outputs)
        offered = _together(population, fit, activation, settings, most=most)
    else:
        offered = _in_turn(population, fit, activation, settings)
    for start in offered:
        count, size = start.vectors.shape
        if 0 < count * (size + outputs) <= equations:
            yield start


def _together(
    population: Population,
    fit: Fit,
    activation: Activation,
    settings: SearchSettings,
    *,
    most: int,
) -> Iterator[Start]:
    """What at least two students agree on, filled up with what each holds besides.

    No more than the pairs can determine, unless students agree on more.
    """
    pair = 2.0 / max(int(population.imitating.sum()), 2)
    fraction = max(settings.min_cluster_fraction, pair)
    consensus = _clustered(
        population, activation, paper_height, fraction, settings.max_cluster_angle
    )
    size = population.vectors.shape[1]
    known = np.zeros((0, size)) if consensus is None else consensus.candidates
    most = max(min(fit.students.hidden_widths[0], most), len(known))
    sign_free = activation.symmetry.flip is not None
    vectors = filled_up(known, population, sign_free=sign_free, angle=CLOSE, most=most)
    yield Start("consensus, filled up", consensus, vectors, filled=True)


def _in_turn(
    population: Population, fit: Fit, activation: Activation, settings: SearchSettings
) -> Iterator[Start]:
    """Clusters by several rules, then the best students, one by one."""
    share, angle = settings.min_cluster_fraction, settings.max_cluster_angle
    pair = min(share, 2.0 / max(int(population.imitating.sum()), 2))
    tried: set[int] = set()
    first: Consensus | None = None
    for name, rule, fraction, widest in (
        ("consensus", plateau_height, share, angle),
        ("the paper's cut", paper_height, share, WIDE),
        ("clusters of two students", plateau_height, pair, WIDE),
    ):
        consensus = _clustered(population, activation, rule, fraction, widest)
        first = first or consensus
        if consensus is not None and len(consensus.candidates) not in tried:
            tried.add(len(consensus.candidates))
            yield Start(name, consensus, consensus.candidates, consensus.activation)
    for student in np.argsort(fit.losses)[:ALONE]:
        own = population.part(population.students == student)
        if len(own.vectors):
            kept = activation.only(own.places)
            yield Start(f"student {student} alone", first, own.vectors, kept)


def _clustered(
    population: Population, activation: Activation, rule: CutRule, fraction: float, angle: float
) -> Consensus | None:
    return consensus_by_kind(
        population,
        activation,
        min_cluster_fraction=fraction,
        max_cluster_angle=angle,
        rule=rule,
    )
