"""Pairs that show only inputs that many others show too: most weights are learned from these.

A pair that shows an input which few others show is explained by the neurons' weights for it,
whatever else is still wrong on it: these run away, and what is wrong stays. Without such pairs, and
without such inputs, there are fewer weights, each told by many pairs, and neurons come to their
places in a fraction of the time. Weights of the other inputs are told afterwards, one by one.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData

# Share of the pairs that are common at least: of the images of MNIST 84 % do without the 200 pixels
# that less than one in a hundred shows, a third of all that vary.
COMMON = 0.84


@dataclass(frozen=True)
class CommonPairs:
    """Pairs that show no input which few show.

    Attributes:
        bench: These pairs.
        seldom: Which inputs few pairs show.
    """

    bench: Workbench
    seldom: Bool[np.ndarray, " inputs"]

    @classmethod
    def of(cls, bench: Workbench) -> "CommonPairs | None":
        """As many inputs are left out, those that are shown least, as leave enough pairs.

        None where no input is shown less often than the others.
        """
        inputs = bench.training.inputs
        usual, times = bench.shown
        # The input that a pair shows and fewest others do; a pair that shows nothing is common.
        rarest = np.min(
            np.broadcast_to(times, inputs.shape), axis=1, initial=len(inputs), where=inputs != usual
        )
        least = np.quantile(rarest, 1.0 - COMMON, method="lower")
        seldom = times < least
        if not np.any(seldom & (times > 0)):
            return None
        among = rarest >= least
        data = TrainingData(inputs[among], bench.training.targets[among])
        return cls(bench.of_pairs(data), seldom)

    def candidate(self, bench: Workbench, candidate: Candidate) -> Candidate:
        """A candidate of these pairs on all, weights of inputs that few show being nothing.

        Args:
            bench: All pairs.
            candidate: Its weights for these inputs say nothing.
        """
        forgotten = np.broadcast_to(self.seldom, candidate.network.layers[0].weight.shape)
        network = without_weights(bench, candidate.network, forgotten)
        return bench.solve_outputs(network, candidate.present)


def without_weights(
    bench: Workbench, network: Network, lost: Bool[np.ndarray, "neurons inputs"]
) -> Network:
    """The network without some weights; biases make up for them where inputs are not shown.

    Args:
        bench: Pairs that say what an input is where it is not shown.
        network: One hidden layer.
        lost: Which of its weights.
    """
    first, last = network.layers
    weights = np.where(lost, first.weight, 0.0)
    tamed = Layer(first.weight - weights, first.bias + weights @ bench.shown[0])
    return network.replace(layers=(tamed, last))
