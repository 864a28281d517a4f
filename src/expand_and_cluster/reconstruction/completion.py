"""From a network over a few coordinates of the inputs to one over all of them."""

from dataclasses import dataclass

import numpy as np

from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.candidate import Candidate, Workbench
from expand_and_cluster.reconstruction.rebuild import Rebuilt
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData


@dataclass(frozen=True)
class Completed:
    """A rebuilt network with the pairs on which it is judged.

    Attributes:
        rebuilt: The network in the coordinates of `standard`.
        bench: Pairs that it was fitted to.
        held_out: Mean squared error on pairs that nobody was fitted to.
        standard: Its coordinates.
    """

    rebuilt: Rebuilt
    bench: Workbench
    held_out: float
    standard: Standardisation


def complete(
    start: Network,
    rebuilt: Rebuilt,
    bench: Workbench,
    unseen: TrainingData,
    standard: Standardisation,
) -> Completed:
    """Polish a network over all inputs.

    The directions in which it is known come from within the subspace; what the subspace misses (it
    is known to the error of differences) is small, so that a few Gauss-Newton steps are enough.

    Args:
        start: The network over all inputs, as raw inputs have it.
        rebuilt: The network within the subspace that it comes from.
        bench: Standardised pairs over all inputs.
        unseen: Standardised pairs to judge by.
        standard: How raw pairs were standardised.
    """
    entered = standard.enter(start).at_rest()
    error = float(np.mean((entered(bench.training.inputs) - bench.training.targets) ** 2))
    candidate = Candidate(entered, np.ones(entered.hidden_widths[0], bool), error)
    polished = bench.polish(candidate, damping=1e-6)
    network = polished.compact()
    held_out = float(np.mean((network(unseen.inputs) - unseen.targets) ** 2))
    final = Rebuilt(
        network,
        polished.loss,
        bench.at_floor(polished),
        rebuilt.removals,
        rebuilt.skip_left,
    )
    return Completed(final, bench, held_out, standard)
