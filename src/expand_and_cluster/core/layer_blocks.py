"""Layers of dense and convolutional networks seen alike: neurons, what feeds them, what they give.

A channel is a neuron that looks at many places. The weights of a layer are an array of neurons by
neurons below by whatever joins two of them: one number between dense layers, a kernel's pixels
between convolutions, the places of a channel below the first dense layer.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.conv_layer import ConvLayer, passed
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import placed

Student = TypeVar("Student", Network, ConvNetwork)


@dataclass(frozen=True)
class Block:
    """Weights of one layer.

    Attributes:
        weight: Neurons, neurons below, and what joins two of them.
        bias: Biases.
    """

    weight: Float[np.ndarray, "neurons below joints"]
    bias: Float[np.ndarray, " neurons"]


@dataclass(frozen=True)
class Seen:
    """One hidden layer on some inputs.

    Attributes:
        taken_in: Pre-activations; a channel's places are rows of their own.
        given: Mean of what each neuron gives, for every joint with the layer above or, where all
            are alike, for one.
        last: Activations, where the layer is the last hidden one; else empty.
    """

    taken_in: Float[np.ndarray, "rows neurons"]
    given: Float[np.ndarray, "neurons _"]
    last: Float[np.ndarray, "samples _"]


def blocks_of(network: Network | ConvNetwork) -> tuple[Block, ...]:
    """The layers of a network, the output layer last."""
    blocks: list[Block] = []
    dense: tuple[Layer, ...]
    if isinstance(network, ConvNetwork):
        for layer in network.convolutions:
            weight = np.asarray(layer.weight)
            blocks.append(Block(weight.reshape(*weight.shape[:2], -1), np.asarray(layer.bias)))
        dense, below = network.dense, network.channels[-1]
    else:
        dense, below = network.layers, network.input_size
    for layer in dense:
        weight = np.asarray(layer.weight)
        blocks.append(Block(weight.reshape(len(weight), below, -1), np.asarray(layer.bias)))
        below = len(weight)
    return tuple(blocks)


def network_of(blocks: tuple[Block, ...], like: Student) -> Student:
    """The network with these layers; widths may differ from `like`'s."""
    if not isinstance(like, ConvNetwork):
        return like.replace(layers=tuple(_dense(block) for block in blocks))
    count = len(like.convolutions)
    kernels = tuple(
        ConvLayer(
            block.weight.reshape(*block.weight.shape[:2], *layer.weight.shape[2:]),
            block.bias,
            layer.geometry,
        )
        for block, layer in zip(blocks, like.convolutions, strict=False)
    )
    return like.replace(
        convolutions=kernels, dense=tuple(_dense(block) for block in blocks[count:])
    )


def arrays_of(network: Network | ConvNetwork) -> dict[str, np.ndarray]:
    """Weights and biases by name, to be kept in a file."""
    arrays: dict[str, np.ndarray] = {}
    for place, block in enumerate(blocks_of(network)):
        arrays |= {f"weight-{place}": block.weight, f"bias-{place}": block.bias}
    return arrays


def network_from(arrays: dict[str, np.ndarray], like: Student) -> Student:
    """The network of `arrays_of`; other names are passed over, widths may differ from `like`'s."""
    count = sum(name.startswith("bias-") for name in arrays)
    blocks = tuple(Block(arrays[f"weight-{i}"], arrays[f"bias-{i}"]) for i in range(count))
    return network_of(blocks, like)


def _dense(block: Block) -> Layer:
    return Layer(block.weight.reshape(len(block.weight), -1), block.bias)


def look_at_layers(
    network: Network | ConvNetwork,
    inputs: Float[np.ndarray, "samples inputs"],
    rows: int,
    seed: int = 0,
) -> tuple[Seen, ...]:
    """Every hidden layer on these inputs, in single precision.

    Args:
        network: A network, or a convolutional one.
        inputs: Standardised inputs.
        rows: Pre-activations that are kept of each neuron, at most; the same for every network of
            one geometry.
        seed: Chooses them where there are more.
    """
    single: Any = jax.tree.map(lambda leaf: placed(leaf, jnp.float32), network)
    through = [
        (np.asarray(taken_in), np.asarray(given))
        for taken_in, given in _hidden(single, placed(inputs, jnp.float32))
    ]
    convolutions = len(network.convolutions) if isinstance(network, ConvNetwork) else 0
    found: list[Seen] = []
    for place, (taken_in, given) in enumerate(through):
        flat = taken_in.reshape(-1, taken_in.shape[-1])
        if len(flat) > rows:
            flat = flat[np.random.default_rng((seed, place)).permutation(len(flat))[:rows]]
        mean = given.mean(axis=0).reshape(-1, given.shape[-1]).T
        if place + 1 < convolutions:
            mean = mean.mean(axis=1, keepdims=True)
        last = _flat(given) if place + 1 == len(through) else np.zeros((len(inputs), 0))
        found.append(Seen(flat, mean, last))
    return tuple(found)


def _flat(given: np.ndarray) -> np.ndarray:
    """Channels, rows and columns in the order of the dense layer above."""
    if given.ndim == 4:
        given = np.moveaxis(given, -1, 1)
    return given.reshape(len(given), -1)


@eqx.filter_jit
def _hidden(network: Any, inputs: Any) -> list[tuple[Any, Any]]:
    """Pre-activations and activations of every hidden layer; neurons last."""
    found = []
    if isinstance(network, ConvNetwork):
        images = inputs.reshape(-1, *network.image)
        through = passed(network.convolutions, network.activation, images)
        found += [(one.taken_in, one.pooled) for one in through]
        values = jnp.moveaxis(through[-1].pooled, -1, 1).reshape(len(inputs), -1)
        dense = network.dense
    else:
        values, dense = inputs, network.layers
    for layer in dense[:-1]:
        taken_in = layer.apply(values)
        values = network.activation(taken_in)
        found.append((taken_in, values))
    return found
