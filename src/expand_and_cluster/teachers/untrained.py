"""Random networks of any depth, as they come before training."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from jax import Array

from expand_and_cluster.core.activations import Activation, resolve
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network

# Length of an input vector times the root of the variance that one of its inputs has: activations
# with a kink need no more than variance kept (He), others are to bend.
GAIN = {True: np.sqrt(2.0), False: 1.5}
BIAS = 0.5


def untrained(
    widths: Sequence[int],
    activation: str | Callable[[Array], Array] | Activation = "tanh",
    seed: int = 0,
) -> Network:
    """A random network: normal weights that keep variances about equal from layer to layer.

    Weights have standard deviation sqrt(2 / inputs) for activations with a free scale (relu) and
    1.5 / sqrt(inputs) for others; biases 0.5.

    Args:
        widths: Inputs, hidden layers, outputs: for example (10, 15, 15, 1).
        activation: A name of the catalogue, a `jax.numpy` function, or an `Activation`.
        seed: Not negative.

    Raises:
        InvalidInputError: A width is not positive, or there is no hidden layer.
    """
    sizes = tuple(widths)
    if len(sizes) < 3 or not all(isinstance(n, int | np.integer) and n > 0 for n in sizes):
        raise InvalidInputError(
            f"widths must be at least three positive integers (inputs, hidden layers, outputs), "
            f"got {sizes}."
        )
    resolved = resolve(activation)
    gain = GAIN[resolved.symmetry.scale_free]
    rng = np.random.default_rng([seed, *sizes])
    layers = []
    for size, width in pairwise(sizes):
        weight = rng.normal(scale=gain / np.sqrt(size), size=(width, size))
        layers.append((weight, rng.normal(scale=BIAS, size=width)))
    return Network.from_arrays(layers, resolved)
