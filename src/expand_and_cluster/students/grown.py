"""Students of later rounds: what earlier ones share, and neurons to spare in every hidden layer."""

from itertools import pairwise
from typing import TypeVar

import numpy as np

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.layer_blocks import Block, blocks_of, network_of
from expand_and_cluster.core.network import Network

Student = TypeVar("Student", Network, ConvNetwork)

FEWEST_SPARE = 4
# Spread of the weights that neurons to spare are read with, as a share of the layer's own: little,
# so that what is known is hardly disturbed at first.
FAINT = 0.1


def with_spare_neurons(network: Student, share: float, rng: np.random.Generator) -> Student:
    """The network with random neurons to spare in every hidden layer.

    Args:
        network: What is known.
        share: Neurons to spare, as a share of a layer's.
        rng: Draws their weights.
    """
    blocks = blocks_of(network)
    built: list[Block] = []
    below = 0
    for place, block in enumerate(blocks):
        weight, bias = block.weight, block.bias
        spread = float(weight.std())
        more = rng.normal(size=(len(weight), below, weight.shape[2])) * FAINT * spread
        weight = np.concatenate([weight, more], axis=1)
        if place < len(blocks) - 1:
            below = max(FEWEST_SPARE, round(share * len(bias)))
            weight = np.concatenate([weight, rng.normal(size=(below, *weight.shape[1:])) * spread])
            bias = np.concatenate([bias, rng.normal(size=below) * float(bias.std())])
        built.append(Block(weight, bias))
    return network_of(tuple(built), network)


def blank_network(sizes: tuple[int, ...], activation: Activation) -> Network:
    """A network of these sizes, inputs first, with all weights zero: what students are like."""
    pairs = [(np.zeros((above, below)), np.zeros(above)) for below, above in pairwise(sizes)]
    return Network.from_arrays(pairs, activation)


def random_student(like: Student, widths: tuple[int, ...], rng: np.random.Generator) -> Student:
    """A student of these hidden widths, at random weights that keep variances about equal.

    Args:
        like: Any network of the same kind, for what is not weights.
        widths: Neurons, or channels, of every hidden layer.
        rng: Draws the weights; biases are zero.

    Source: He et al. (2015) for relu and its like, LeCun et al. (1998) for others; the inputs'
        variances are taken to be one.
    """
    gain = 2.0 if like.activation.symmetry.scale_free else 1.0
    shapes = [block.weight.shape for block in blocks_of(like)]
    joints = [shape[2] for shape in shapes]
    sizes = [shapes[0][1], *widths]
    heights = [*widths, shapes[-1][0]]
    built = []
    for size, height, joint in zip(sizes, heights, joints, strict=True):
        weight = rng.normal(size=(height, size, joint)) * np.sqrt(gain / (size * joint))
        built.append(Block(weight, np.zeros(height)))
    return network_of(tuple(built), like)
