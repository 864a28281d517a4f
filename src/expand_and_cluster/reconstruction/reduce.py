"""Reduce any network with one hidden layer to the neurons that its function needs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.candidate import Workbench
from expand_and_cluster.reconstruction.prune import prune
from expand_and_cluster.reconstruction.rebuild import finish
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData


@dataclass(frozen=True)
class Step:
    """One neuron less.

    Attributes:
        width: Hidden neurons that are left.
        reason: Why the function does not need it.
        error: Root mean squared difference from the first network, relative to the outputs' spread.
    """

    width: int
    reason: str
    error: float


@dataclass(frozen=True)
class Reduction:
    """A reduced network and how it came about.

    Attributes:
        network: The smallest network found with the same function on the inputs.
        steps: What was removed, in order.
        error: Root mean squared difference from the first network, relative to the outputs' spread.
    """

    network: Network
    steps: tuple[Step, ...]
    error: float


def reduce(network: Network, inputs: ArrayLike) -> Reduction:
    """The smallest network with the same function on these inputs.

    Neurons that the others can replace exactly are removed one at a time and the output weights
    solved again: copies of a neuron, groups that add nothing or a constant, neurons that only act
    as an affine map where the activation allows one (paper, Fig. 2 and A.6). Left-over affine maps
    are folded away by choosing signs; where no choice does it, they stay in `network.skip`.

    Args:
        network: One hidden layer; a skip is taken into account.
        inputs: (samples, input_size) where the function matters; at least as many as neurons.

    Raises:
        InvalidInputError: The network has several hidden layers, is an ensemble, or is constant on
            the inputs.
    """
    if len(network.layers) != 2 or network.students is not None:
        raise InvalidInputError(
            f"network must be a single network with one hidden layer, got widths {network.widths}."
        )
    central = network.centred()
    rows = np.asarray(inputs, dtype=np.float64)
    outputs = central(rows)
    if np.ptp(outputs, axis=0).max() == 0.0:
        raise InvalidInputError("network is constant on the inputs; it needs no hidden neuron.")
    standard = Standardisation.fit(rows, outputs)
    data = TrainingData(standard.inputs(rows), standard.targets(outputs))
    rule = central.activation.symmetry.flip
    affine = network.skip is not None or (rule is not None and rule.linear != 0.0)
    bench = Workbench(data, central.activation, skip=affine)
    vectors = standard.enter(central).input_vectors
    start = bench.start(vectors, len(vectors))
    smallest, removals = prune(bench, start, sure=True)
    finished = finish(bench, smallest, removals)
    reduced = standard.restore(finished.network).at_rest()
    spread = float(np.sqrt(np.mean(outputs.var(axis=0))))
    error = float(np.sqrt(np.mean((reduced(rows) - outputs) ** 2))) / spread
    steps = tuple(Step(r.width, r.reason, float(np.sqrt(r.loss))) for r in removals)
    return Reduction(reduced.uncentred(network.activation), steps, error)
