"""Convolutional teachers: random ones, and classifiers of images (paper, A.7)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from expand_and_cluster.core.activations import Activation, resolve
from expand_and_cluster.core.conv_geometry import Convolutional
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.precision import placed
from expand_and_cluster.datasets import Dataset, load

# Standard deviation of the biases of a random network.
BIAS = 0.5
Pairs = list[tuple[Any, Any]]


def convolutional(
    architecture: Convolutional,
    channels: Sequence[int],
    widths: Sequence[int],
    activation: str | Callable[[Array], Array] | Activation = "relu",
    seed: int = 0,
) -> ConvNetwork:
    """A random convolutional network: normal weights that keep variances about equal (He).

    Args:
        architecture: Image and geometry.
        channels: Channels of each convolution.
        widths: Neurons of the dense hidden layers, then outputs: for example (32, 10).
        activation: A name of the catalogue, a `jax.numpy` function, or an `Activation`.
        seed: Not negative.

    Raises:
        InvalidInputError: A number is not positive, or there is not one for each layer.
    """
    convolutions, dense = _start(architecture, channels, widths, seed, bias=BIAS)
    return ConvNetwork.from_arrays(architecture, convolutions, dense, activation)


def trained_convolutional(
    dataset: Dataset | str,
    architecture: Convolutional,
    channels: Sequence[int],
    hidden: Sequence[int] = (32,),
    activation: str | Callable[[Array], Array] | Activation = "relu",
    seed: int = 0,
    *,
    steps: int = 1000,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
) -> ConvNetwork:
    """Train a convolutional classifier by cross-entropy, to be used as a teacher.

    Adam in float32, on images drawn at random.

    Args:
        dataset: A dataset, or a name for `datasets.load`.
        architecture: Image and geometry.
        channels: Channels of each convolution.
        hidden: Neurons of the dense hidden layers.
        activation: A name of the catalogue, a `jax.numpy` function, or an `Activation`.
        seed: Fixes the first weights and the images of every step.
        steps: Mini-batches.
        batch_size: Images of a mini-batch.
        learning_rate: Step size of Adam.

    Returns:
        The network; its outputs are logits.

    Raises:
        InvalidInputError: The images have another size, or a number makes no sense.

    Source: paper, A.7.
    """
    data = load(dataset) if isinstance(dataset, str) else dataset
    if data.input_size != architecture.input_size:
        raise InvalidInputError(
            f"architecture takes {architecture.input_size} numbers, but images of {data.name!r} "
            f"have {data.input_size}."
        )
    if steps < 1 or batch_size < 1 or not learning_rate > 0:
        raise InvalidInputError(
            f"steps, batch_size and learning_rate must be positive, got {steps}, {batch_size} and "
            f"{learning_rate}."
        )
    activation = resolve(activation)
    widths = (*hidden, data.classes)
    convolutions, dense = _start(architecture, channels, widths, seed, bias=0.0)
    network = ConvNetwork.from_arrays(architecture, convolutions, dense, activation)
    rng = np.random.default_rng((seed, 1))
    with jax.enable_x64(False):
        network = jax.tree.map(lambda leaf: placed(leaf, jnp.float32), network)
        state = optax.adam(learning_rate).init(network)
        rate = jnp.float32(learning_rate)
        for _ in range(steps):
            rows = rng.integers(len(data.train_labels), size=batch_size)
            images = placed(data.train_inputs[rows], jnp.float32)
            labels = placed(data.train_labels[rows], jnp.int32)
            network, state = _step(network, state, images, labels, rate)
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), network)


def _start(
    architecture: Convolutional,
    channels: Sequence[int],
    widths: Sequence[int],
    seed: int,
    bias: float,
) -> tuple[Pairs, Pairs]:
    numbers = (*channels, *widths)
    if len(channels) != len(architecture.layers) or not widths or min(numbers) < 1 or seed < 0:
        raise InvalidInputError(
            f"channels and widths must be positive, one number of channels for each of "
            f"{len(architecture.layers)} convolutions, and seed not negative; got {channels}, "
            f"{widths} and {seed}."
        )
    rng = np.random.default_rng([seed, *numbers])
    convolutions, below = [], architecture.image[0]
    for layer, count in zip(architecture.layers, channels, strict=True):
        shape = (count, below, layer.kernel, layer.kernel)
        scale = np.sqrt(2.0 / (below * layer.kernel**2))
        convolutions.append((rng.normal(size=shape) * scale, rng.normal(size=count) * bias))
        below = count
    size, dense = below * architecture.sides[-1] ** 2, []
    for width in widths:
        weight = rng.normal(size=(width, size)) * np.sqrt(2.0 / size)
        dense.append((weight, rng.normal(size=width) * bias))
        size = width
    return convolutions, dense


@partial(jax.jit, donate_argnums=(0, 1))
def _step(
    network: ConvNetwork, state: optax.OptState, images: Array, labels: Array, rate: Array
) -> tuple[ConvNetwork, optax.OptState]:
    def loss(network: ConvNetwork) -> Array:
        logits = network.apply(images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    updates, state = optax.adam(rate).update(jax.grad(loss)(network), state)
    return optax.apply_updates(network, updates), state  # type: ignore[return-value]
