"""Channels brought into another order and scale are the same channels."""

import numpy as np
import pytest
from tests.core.test_convolution import ARCHITECTURES, build

from expand_and_cluster.core.conv_layer import ConvLayer
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.scoring.compare_channels import compare_channels


def disguised(network):
    """The same convolutions: channels permuted, kernels of the first layer scaled."""
    rng = np.random.default_rng(0)
    order, below, inverse = np.arange(network.image[0]), None, np.ones(network.image[0])
    layers = []
    for layer in network.convolutions:
        weight = (layer.weight / inverse[:, None, None])[:, order if below is None else below]
        below = rng.permutation(len(layer.bias))
        scale = np.exp(rng.normal(size=len(layer.bias)))
        layers.append(
            ConvLayer(
                (scale[:, None, None, None] * weight)[below],
                (scale * layer.bias)[below],
                layer.geometry,
            )
        )
        inverse = scale
    return layers


@pytest.mark.parametrize("architecture", ARCHITECTURES[2:])
def test_order_and_scale_do_not_count(architecture):
    network = build(architecture)
    for layer in compare_channels(disguised(network), network):
        assert (layer.missing, layer.excess) == (0, 0)
        np.testing.assert_allclose(layer.distances, 0.0, atol=1e-30)
        np.testing.assert_allclose(layer.recovered, layer.teacher, atol=1e-12)


def test_a_lost_and_an_invented_channel_are_counted():
    network = build(ARCHITECTURES[2])
    layers = disguised(network)
    last = layers[-1]
    strange = -np.ones((1, *last.weight.shape[1:]))
    layers[-1] = ConvLayer(
        np.concatenate([last.weight[1:], strange]),
        np.append(last.bias[1:], 9.0),
        last.geometry,
    )
    found = compare_channels(layers, network)[-1]
    assert (found.missing, found.excess) == (1, 1)
    assert sorted(found.distances)[-1] == 1.0
    assert not found.recovered[found.partner < 0].any()


def test_of_no_channels_all_are_missing():
    network = build(ARCHITECTURES[2])
    first = network.convolutions[0]
    none = ConvLayer(np.zeros((0, *first.weight.shape[1:])), np.zeros(0), first.geometry)
    (found,) = compare_channels([none], network)
    assert (found.missing, found.excess) == (len(first.bias), 0)
    assert np.all(found.distances == 1.0)
    assert not found.recovered.any()


def test_more_layers_than_the_teacher_has_are_refused():
    network = build(ARCHITECTURES[2])
    with pytest.raises(InvalidInputError, match="2"):
        compare_channels([*network.convolutions, network.convolutions[0]], network)
