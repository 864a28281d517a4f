"""Take back weights of seldom shown inputs that have run away on the flat side of a kink.

A sample that shows an input which few others show tells the neurons' weights for it. Where it lies
on the flat side of a neuron's kink, what a weight of ordinary size does on the steep side takes a
weight of a hundred times that size. Steps find such weights while others are still wrong on the
sample, and then none leads back: on the way to the other side of the kink the error rises. Weights
of inputs that are shown often say how large weights are; those that are far beyond are set to
nothing, to be told anew.
"""

import numpy as np
from jaxtyping import Bool

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.ordinary import without_far
from expand_and_cluster.reconstruction.workbench import Workbench

# Share of the samples that show an input whose weights say how large weights are, and the multiple
# of the largest of them from which on a weight of any other input is outlying. Of the 16,000 such
# weights of a network trained on MNIST one is at 1.5, and nine are beyond 1.
OFTEN, OUTLYING = 0.02, 1.5


def without_outlying(bench: Workbench, candidate: Candidate) -> Candidate | None:
    """The candidate without outlying weights; None where there are none.

    Biases make up for what a weight does on samples that do not show its input.

    Args:
        bench: Pairs; where no input is seldom shown, no weight is outlying.
        candidate: Neurons whose weights may have run away.
    """
    times = bench.training.shown.times
    often = times >= OFTEN * len(bench.training.inputs)
    network = candidate.compact()
    weight = network.layers[0].weight
    if not often.any():
        return None
    largest = np.max(np.abs(weight[:, often]), axis=1, keepdims=True)
    outlying = (np.abs(weight) > OUTLYING * largest) & ~often
    if not outlying.any():
        return None
    tamed = without_weights(bench, network, outlying)
    return without_far(bench, bench.solve_outputs(tamed, np.ones(candidate.width, bool)))


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
    tamed = Layer(first.weight - weights, first.bias + weights @ bench.training.shown.usual)
    return network.replace(layers=(tamed, last))
