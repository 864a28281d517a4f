"""Where students start."""

import numpy as np
from jaxtyping import Float

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


# Rows on which the deeper layers' activations are measured.
PROBES = 512


def initial_students(
    widths: tuple[int, ...],
    activation: Activation,
    *,
    count: int,
    seed: int,
    first: int = 0,
    length: float = LENGTH,
) -> Network:
    """An ensemble of random students, for standardised pairs.

    Input vectors point everywhere alike and their hyperplanes lie within the data; those of deeper
    layers likewise, within what the layer below gives for Gaussian inputs. Student i depends on the
    seed and on i alone, so that it is the same in every ensemble.

    Args:
        widths: Sizes of input, hidden layers and output.
        activation: Activation of the hidden layers.
        count: How many students.
        seed: Seed of the ensemble.
        first: Index of the first student, to continue an ensemble.
        length: Length of the first layer's weight vectors.
    """
    return Network.stack(
        [_initial(widths, activation, (seed, first + index), length) for index in range(count)]
    )


def grow_upwards(
    layers: tuple[Layer, ...],
    widths: tuple[int, ...],
    activation: Activation,
    rng: np.random.Generator,
    inputs: Float[np.ndarray, "samples inputs"],
) -> Network:
    """Random layers on top of given ones.

    Args:
        layers: Hidden layers that stand.
        widths: Sizes of the hidden layers above them and of the output.
        activation: Activation of the hidden layers.
        rng: Source of randomness.
        inputs: Inputs on which the spread of the activations is measured.
    """
    values = inputs
    for layer in layers:
        values = activation.values(values @ layer.weight.T + layer.bias)
    above = []
    for width in widths[:-1]:
        layer = _layer_within(values, width, rng)
        above.append(layer)
        values = activation.values(values @ layer.weight.T + layer.bias)
    weights = rng.normal(scale=OUTPUT / np.sqrt(values.shape[1]), size=(widths[-1], len(values.T)))
    return Network((*layers, *above, Layer(weights, np.zeros(widths[-1]))), activation)


def _initial(
    widths: tuple[int, ...], activation: Activation, seed: tuple[int, int], length: float
) -> Network:
    rng = np.random.default_rng(seed)
    inputs, width = widths[:2]
    directions = rng.normal(size=(width, inputs))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    offsets = rng.uniform(-REACH, REACH, size=width)
    first = Layer(length * directions, length * offsets)
    if len(widths) == 3:
        weights = rng.normal(scale=OUTPUT / np.sqrt(width), size=(widths[2], width))
        return Network((first, Layer(weights, np.zeros(widths[2]))), activation)
    probes = rng.normal(size=(PROBES, inputs))
    return grow_upwards((first,), widths[2:], activation, rng, probes)


def _layer_within(
    values: Float[np.ndarray, "samples size"], width: int, rng: np.random.Generator
) -> Layer:
    """Neurons that point everywhere alike in standardised values, and spread like the first's."""
    center, spread = values.mean(axis=0), values.std(axis=0)
    weight = rng.normal(size=(width, values.shape[1])) / np.where(spread > 0, spread, 1.0)
    reached = (values @ weight.T).std(axis=0)
    weight *= (LENGTH / np.where(reached > 0, reached, 1.0))[:, None]
    return Layer(weight, LENGTH * rng.uniform(-REACH, REACH, size=width) - weight @ center)
