"""Where students start."""

import numpy as np

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Layer, Network

# Length of a first-layer weight vector: students begin as nonlinear in standardised inputs as
# teachers tend to be. Measured against Glorot's initialisation of the paper (A.6.1), which starts
# almost linear with every hyperplane through the centre: of 30 students of 8-16-1 on three teachers
# of width 8, six converge exactly instead of two, in two thirds of the steps.
LENGTH = 2.0
# Hyperplanes start at up to this many standard deviations from the centre of the data.
REACH = 1.5
# Output weights start small, so that no student has to unlearn its first guess.
OUTPUT = 0.15


def initial_students(
    widths: tuple[int, ...], activation: Activation, *, count: int, seed: int, first: int = 0
) -> Network:
    """An ensemble of random students of one hidden layer, for standardised pairs.

    Input vectors point everywhere alike and their hyperplanes lie within the data. Student i
    depends on the seed and on i alone, so that it is the same in every ensemble.

    Args:
        widths: Sizes of input, hidden layer and output.
        activation: Activation of the hidden layer.
        count: How many students.
        seed: Seed of the ensemble.
        first: Index of the first student, to continue an ensemble.
    """
    return Network.stack(
        [_initial(widths, activation, (seed, first + index)) for index in range(count)]
    )


def _initial(widths: tuple[int, ...], activation: Activation, seed: tuple[int, int]) -> Network:
    rng = np.random.default_rng(seed)
    inputs, width, outputs = widths
    directions = rng.normal(size=(width, inputs))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    offsets = rng.uniform(-REACH, REACH, size=width)
    weights = rng.normal(scale=OUTPUT / np.sqrt(width), size=(outputs, width))
    layers = (Layer(LENGTH * directions, LENGTH * offsets), Layer(weights, np.zeros(outputs)))
    return Network(layers, activation)
