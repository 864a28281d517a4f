import numpy as np
import pytest
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.reconstruction.signs import flip_neurons, resolve_signs

EVEN = ["softplus", "gelu", "relu", "leaky_relu", "silu"]
TOLERANCE = 1e-9


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", [*EVEN, "tanh", "sigmoid"])
def test_flipped_neurons_keep_the_function(activation, outputs):
    source = teacher((4, 5, outputs), activation)
    chosen = np.array([True, False, True, True, False])
    flipped = flip_neurons(source, chosen)
    inputs = gaussian(50, 4)
    np.testing.assert_allclose(flipped(inputs), source(inputs), atol=1e-13)
    np.testing.assert_array_equal(flipped.input_vectors[chosen], -source.input_vectors[chosen])
    np.testing.assert_array_equal(flipped.input_vectors[~chosen], source.input_vectors[~chosen])
    assert (flipped.skip is None) == (activation in ("tanh", "sigmoid"))


@pytest.mark.parametrize("activation", ["gelu", "tanh"])
def test_flipping_keeps_a_skip_that_is_there(activation):
    source = teacher((4, 3, 2), activation)
    rng = np.random.default_rng(0)
    source = source.replace(skip=Layer(rng.normal(size=(2, 4)), rng.normal(size=2)))
    flipped = flip_neurons(source, np.array([True, True, False]))
    inputs = gaussian(50, 4)
    np.testing.assert_allclose(flipped(inputs), source(inputs), atol=1e-13)


@pytest.mark.parametrize("activation", EVEN)
@pytest.mark.parametrize("widths", [(4, 3, 2), (8, 6, 1), (3, 7, 1), (2, 6, 2), (5, 1, 1)])
def test_planted_signs_are_found(activation, widths):
    """(3, 7, 1) and (2, 6, 2) have more neurons than the regression has equations."""
    source = teacher(widths, activation)
    rng = np.random.default_rng(widths)
    wrong = rng.random(widths[1]) < 0.5
    wrong[0] = True
    network, left = resolve_signs(flip_neurons(source, wrong), tolerance=TOLERANCE)
    assert left < 1e-12
    np.testing.assert_array_equal(network.input_vectors, source.input_vectors)
    np.testing.assert_array_equal(network.output_vectors, source.output_vectors)
    np.testing.assert_allclose(network.layers[1].bias, source.layers[1].bias, atol=1e-12)


def test_signs_are_found_where_neurons_are_collinear():
    """Equal columns in the regression: it leaves them open, and any right number will do."""
    source = teacher((3, 4, 1), "relu")
    first, last = source.layers
    weight, bias = first.weight.copy(), first.bias.copy()
    weight[1], bias[1] = weight[0] * last.weight[0, 0] / last.weight[0, 1], bias[0] + 0.5
    source = Network.from_arrays([(weight, bias), (last.weight, last.bias)], "relu")
    turned = flip_neurons(source, np.array([True, False, True, False]))
    network, left = resolve_signs(turned, tolerance=TOLERANCE)
    assert left < 1e-12
    assert network.skip is not None
    plain = network.replace(
        layers=(network.layers[0], Layer(network.layers[1].weight, network.layers[1].bias)),
        skip=None,
    )
    inputs = gaussian(60, 3)
    np.testing.assert_allclose(plain(inputs), source(inputs), atol=1e-12)


def test_skip_that_is_really_there_is_reported():
    source = teacher((4, 3, 1), "gelu")
    extra = Layer(np.full((1, 4), 0.37), np.zeros(1))
    network, left = resolve_signs(source.replace(skip=extra), tolerance=TOLERANCE)
    assert left > 1e-3
    inputs = gaussian(50, 4)
    np.testing.assert_allclose(network(inputs), source.replace(skip=extra)(inputs), atol=1e-13)


def test_network_without_skip_is_left_alone():
    source = teacher((4, 3, 1), "gelu")
    network, left = resolve_signs(source, tolerance=TOLERANCE)
    assert network is source
    assert left == 0.0


def test_noise_in_the_skip_does_not_change_the_signs():
    source = teacher((4, 5, 2), "softplus")
    turned = flip_neurons(source, np.array([False, True, True, False, True]))
    assert turned.skip is not None
    noise = 1e-6 * np.random.default_rng(0).normal(size=(2, 4))
    noisy = turned.replace(skip=Layer(turned.skip.weight + noise, turned.skip.bias))
    network, left = resolve_signs(noisy, tolerance=1e-4)
    np.testing.assert_array_equal(network.input_vectors, source.input_vectors)
    assert left == pytest.approx(np.abs(noise).max(), rel=1e-6)
