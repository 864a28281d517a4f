"""Convolutional networks against SciPy's correlation and plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

from expand_and_cluster.core.conv_geometry import Conv, Convolutional
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.errors import InvalidInputError


def slow_layer(image, weight, bias, geometry):
    """One image (channels, side, side) through a layer, by SciPy and loops."""
    pad = geometry.padding
    wide = np.pad(image, ((0, 0), (pad, pad), (pad, pad)))
    full = [
        sum(correlate2d(wide[c], kernel[c], mode="valid") for c in range(len(wide))) + b
        for kernel, b in zip(weight, bias, strict=True)
    ]
    values = np.maximum(np.array(full)[:, :: geometry.stride, :: geometry.stride], 0.0)
    if geometry.pool is None:
        return values
    size = geometry.pool_size
    top = values.shape[1] // size
    pool = {"max": np.max, "average": np.mean}[geometry.pool]
    return np.array(
        [
            [
                [
                    pool(one[i * size : i * size + size, j * size : j * size + size])
                    for j in range(top)
                ]
                for i in range(top)
            ]
            for one in values
        ]
    )


ARCHITECTURES = [
    Convolutional((1, 9, 9), [Conv(3)]),
    Convolutional((3, 11, 11), [Conv(3, stride=2, padding=1, pool="max")]),
    Convolutional((2, 12, 12), [Conv(3, pool="average"), Conv(2, padding=1, pool="max")]),
    Convolutional((1, 15, 15), [Conv(2, stride=1, pool="max", pool_size=3), Conv(3, stride=2)]),
]


def build(architecture, seed=0):
    rng = np.random.default_rng(seed)
    below, convolutions = architecture.image[0], []
    for layer, channels in zip(architecture.layers, (3, 4), strict=False):
        shape = (channels, below, layer.kernel, layer.kernel)
        convolutions.append((rng.normal(size=shape), rng.normal(size=channels)))
        below = channels
    size = below * architecture.sides[-1] ** 2
    dense = [(rng.normal(size=(5, size)), rng.normal(size=5)), (rng.normal(size=(2, 5)), [0.3, 1])]
    return ConvNetwork.from_arrays(architecture, convolutions, dense, "relu")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_outputs_are_those_of_scipy(architecture: Convolutional):
    network = build(architecture)
    images = np.random.default_rng(1).normal(size=(3, *architecture.image))
    expected = []
    for image in images:
        values = image
        for layer in network.convolutions:
            values = slow_layer(values, layer.weight, layer.bias, layer.geometry)
        hidden = np.maximum(network.dense[0].weight @ values.ravel() + network.dense[0].bias, 0.0)
        expected.append(network.dense[1].weight @ hidden + network.dense[1].bias)
    np.testing.assert_allclose(network(images), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(network(images.reshape(3, -1)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_single_precision_and_its_gradients_are_those_of_double(architecture: Convolutional):
    network = build(architecture)
    rows = np.random.default_rng(1).normal(size=(3, architecture.input_size))

    def gradient(precise: bool) -> list[np.ndarray]:
        with jax.enable_x64(precise):
            leaves = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), network)
            loss = lambda network, rows: jnp.mean(network.apply(rows) ** 2)  # noqa: E731
            found = jax.jit(jax.value_and_grad(loss))(leaves, jnp.asarray(rows, float))
            return [np.asarray(leaf) for leaf in jax.tree.leaves(found)]

    for single, double in zip(gradient(False), gradient(True), strict=True):
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, double, atol=2e-5 * np.abs(double).max())


def test_more_rows_than_a_chunk_are_answered_row_by_row():
    network = build(ARCHITECTURES[0])
    rows = np.random.default_rng(2).normal(size=(600, 81))
    together, alone = network(rows), network(rows[550:551])
    np.testing.assert_allclose(together[550:551], alone, rtol=1e-13)
    assert network(rows[:0]).shape == (0, 2)


def test_sizes_and_counts():
    network = build(ARCHITECTURES[2])
    assert network.architecture == ARCHITECTURES[2]
    assert network.architecture.sides == (12, 5, 3)
    assert network.channels == (3, 4)
    assert network.hidden_widths == (5,)
    assert network.parameter_count == 3 * 19 + 4 * 13 + 5 * 37 + 2 * 6


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Conv(0), "kernel"),
        (lambda: Conv(3, stride=True), "stride"),
        (
            lambda: Conv(3, pool="median"),  # type: ignore[arg-type]
            "pool",
        ),
        (lambda: Convolutional((1, 8, 9), [Conv(3)]), "square"),
        (lambda: Convolutional((1, 8, 8), []), "at least one"),
        (lambda: Convolutional((1, 4, 4), [Conv(3, pool="max"), Conv(3)]), "convolution 1"),
        (
            lambda: ConvNetwork.from_arrays(
                ARCHITECTURES[0], [(np.ones((2, 2, 3, 3)), [0.0, 0.0])], [([[1.0]], [0.0])], "relu"
            ),
            "convolution 0",
        ),
        (
            lambda: ConvNetwork.from_arrays(
                ARCHITECTURES[0], [(np.ones((1, 1, 3, 3)), [0.0])], [([[1.0]], [0.0])], "relu"
            ),
            "dense layer 0",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, words: str, unchecked: None):
    with pytest.raises(InvalidInputError, match=words):
        make()
