"""Remove neurons that the others can do without once all weights are fitted again."""

from collections.abc import Iterator

import numpy as np

from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.prune import without
from expand_and_cluster.reconstruction.spanned import removal_costs
from expand_and_cluster.reconstruction.steps import Taken
from expand_and_cluster.reconstruction.workbench import AT_FLOOR, Workbench
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.symmetries.kinds import Sorting
from expand_and_cluster.symmetries.terms import Sampled, Terms, rms

REFITTED = "the others give the same outputs once fitted again"
# Neurons whose removal changes the outputs by more than this share of their spread are not tried:
# what is to spare has near copies that take most of its place at once.
LARGEST_COST = 0.1
# How many neurons are tried, cheapest first, before nothing is to spare any more.
TRIES = 4
# Signs can be told only if the fit goes on to the last digit that can be had.
BEYOND = 1e-3
# Rows that are fitted; what is reached is measured on all.
ROWS = 4096


def remove_by_refit(
    now: Taken, sampled: Sampled, sorting: Sorting, first: np.ndarray, *, affine: bool
) -> Iterator[Taken]:
    """Remove neurons one at a time while the rest can be fitted to the network's own outputs.

    Trained students hold neurons that no symmetry calls copies: several close ones that act as
    one together (channels to infinity and their kin), kinks that lie between the same inputs,
    neurons too nearly linear to be told from a line. What the network's error allows for, a
    smaller network reaches too.

    Args:
        now: What is left so far.
        sampled: Activation and inputs.
        sorting: Says what the network's own error allows for.
        first: Outputs of the first network.
        affine: Whether an affine map of the inputs may take part.

    Yields:
        What is left after each removal.
    """
    terms, names = now.terms, now.names
    weights = terms.vectors.size + terms.outputs.size + terms.affine.size
    # How well to fit must be known; an error read off the network says what copies are alone.
    known = sorting.tolerance.source == "given"
    if not known or len(terms.vectors) < 2 or len(sampled.inputs) * first.shape[1] < weights:
        return
    fixed = sampled.inputs if affine else sampled.inputs[:, -1:]
    values = sampled.values(sampled.pre_activations(terms.vectors))
    costs = removal_costs(np.concatenate([values, fixed], axis=1), terms)
    if costs.min() > LARGEST_COST * sorting.scale:
        return
    inputs = sampled.inputs[:, :-1]
    standard = Standardisation.fit(inputs, first)
    data = TrainingData(standard.inputs(inputs), standard.targets(first)).first(ROWS)
    error = sorting.tolerance.error / sorting.scale
    bench = Workbench(data, sampled.activation, skip=affine, noise=error)
    entered = standard.enter(terms.network(sampled.activation))
    candidate = bench.start(entered.input_vectors, -(-len(names) // 4) * 4)
    places = np.arange(len(names))
    while candidate.width > 1:
        found = _smaller(bench, candidate)
        if found is None:
            return
        gone, candidate = found
        allowed = np.sqrt(2.0 * AT_FLOOR * bench.floor(candidate))
        left = Terms.of(standard.restore(candidate.compact()).at_rest())
        off = rms(sampled.outputs(left) - first)
        # Fitting stops where rounding could explain the rest, which may be above the tolerance.
        if off > max(sorting.tolerance.change, allowed * sorting.scale):
            return
        at = int(np.searchsorted(places, gone))
        dropped, names = names[at], names[:at] + names[at + 1 :]
        places = np.delete(places, at)
        yield Taken(REFITTED, (dropped,), left, names, off)


def _smaller(bench: Workbench, candidate: Candidate) -> tuple[int, Candidate] | None:
    """The candidate without one neuron, and which, if the rest is as good."""
    costs = bench.removal_costs(candidate)
    for neuron in np.argsort(costs)[: min(TRIES, candidate.width)]:
        if np.sqrt(costs[neuron]) > LARGEST_COST:
            return None
        left = bench.polish(without(bench, candidate, int(neuron)), beyond=BEYOND)
        if bench.at_floor(left):
            return int(neuron), left
    return None
