"""Layers seen alike: there and back, and what neurons take in against the formulas."""

import numpy as np
import pytest

from expand_and_cluster.core.conv_geometry import Conv, Convolutional
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.layer_blocks import blocks_of, look_at_layers, network_of
from expand_and_cluster.core.network import Network


def a_network() -> Network:
    rng = np.random.default_rng(0)
    sizes = [(4, 5), (3, 4), (2, 3)]
    return Network.from_arrays([(rng.normal(size=s), rng.normal(size=s[0])) for s in sizes], "tanh")


def a_conv() -> ConvNetwork:
    rng = np.random.default_rng(1)
    return ConvNetwork.from_arrays(
        Convolutional((2, 9, 9), [Conv(3, pool="max"), Conv(2, stride=1, padding=1)]),
        [
            (rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3)),
            (rng.normal(size=(4, 3, 2, 2)), rng.normal(size=4)),
        ],
        [(rng.normal(size=(6, 64)), rng.normal(size=6)), (rng.normal(size=(2, 6)), np.zeros(2))],
        "relu",
    )


@pytest.mark.parametrize("make", [a_network, a_conv])
def test_there_and_back_is_the_same_network(make):
    network = make()
    blocks = blocks_of(network)
    again = network_of(blocks, network)
    inputs = np.random.default_rng(2).normal(size=(7, network.input_size))
    np.testing.assert_array_equal(again(inputs), network(inputs))
    assert sum(block.weight.size + block.bias.size for block in blocks) == network.parameter_count


def test_joints_are_kernels_and_the_places_of_a_channel():
    assert [block.weight.shape for block in blocks_of(a_conv())] == [
        (3, 2, 9), (4, 3, 4), (6, 4, 16), (2, 6, 1),
    ]  # fmt: skip


def test_a_channel_less_is_a_block_without_its_row_and_column():
    network = a_conv()
    first, second, dense, last = blocks_of(network)
    smaller = network_of(
        (
            type(first)(first.weight[[0, 2]], first.bias[[0, 2]]),
            type(second)(second.weight[:, [0, 2]], second.bias),
            dense,
            last,
        ),
        network,
    )
    silent = network_of(
        (first, type(second)(second.weight * np.array([1.0, 0, 1])[:, None], second.bias), dense,
         last),
        network,
    )  # fmt: skip
    assert smaller.channels == (2, 4)
    inputs = np.random.default_rng(2).normal(size=(5, 162))
    np.testing.assert_allclose(smaller(inputs), silent(inputs), rtol=1e-10)


def test_dense_layers_take_in_what_the_formula_says():
    network = a_network()
    inputs = np.random.default_rng(3).normal(size=(20, 5))
    seen = look_at_layers(network, inputs, 100)
    first = inputs @ network.layers[0].weight.T + network.layers[0].bias
    second = np.tanh(first) @ network.layers[1].weight.T + network.layers[1].bias
    np.testing.assert_allclose(seen[0].taken_in, first, atol=1e-5)
    np.testing.assert_allclose(seen[1].taken_in, second, atol=1e-5)
    np.testing.assert_allclose(seen[0].given[:, 0], np.tanh(first).mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(seen[1].last, np.tanh(second), atol=1e-5)


def test_channels_take_in_windows_and_the_last_features_give_the_outputs():
    network = a_conv()
    inputs = np.random.default_rng(4).normal(size=(6, 162))
    seen = look_at_layers(network, inputs, 10_000)
    images = inputs.reshape(6, 2, 9, 9)
    layer = network.convolutions[0]
    by_hand = np.array(
        [
            [
                np.sum(image[:, i : i + 3, j : j + 3] * layer.weight[1]) + layer.bias[1]
                for i in range(7)
                for j in range(7)
            ]
            for image in images
        ]
    )
    np.testing.assert_allclose(seen[0].taken_in[:, 1], by_hand.ravel(), atol=1e-4)
    assert seen[0].given.shape == (3, 1)
    assert seen[1].given.shape == (4, 16)
    last = network.dense[-1]
    # Features are of single precision, and outputs are up to a hundred in size.
    outputs = seen[-1].last @ last.weight.T + last.bias
    np.testing.assert_allclose(outputs, network(inputs), rtol=1e-4, atol=1e-3)
    few = look_at_layers(network, inputs, 10)
    assert few[0].taken_in.shape == (10, 3)
