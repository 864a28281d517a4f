"""Reading channels off kinks, step by step: geometry, derivatives, equations, a whole layer."""

import dataclasses

import numpy as np
import pytest
from tests.core.test_convolution import ARCHITECTURES, build

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.conv_geometry import Conv, Convolutional
from expand_and_cluster.core.conv_layer import ConvLayer
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.reconstruction import channels
from expand_and_cluster.reconstruction.below import Below
from expand_and_cluster.reconstruction.channel_groups import groups_alike, parts_across
from expand_and_cluster.reconstruction.channels import ChannelSearch
from expand_and_cluster.reconstruction.kernel_equations import KinkEquations, solve_kernel
from expand_and_cluster.reconstruction.layer_geometry import LayerGeometry, Place, reach
from expand_and_cluster.reconstruction.sightings import Sighting

# Those that can be read off kinks: a mean hides which of its values turned on.
READABLE = [each for each in ARCHITECTURES if all(layer.pool != "average" for layer in each.layers)]


@pytest.mark.parametrize("architecture", READABLE)
def test_known_layers_give_what_the_network_gives(architecture: Convolutional):
    network = build(architecture)
    below = Below(architecture, network.convolutions, network.activation)
    rows = np.random.default_rng(0).normal(size=(3, architecture.input_size))
    hidden = below.features(rows).reshape(3, -1)
    hidden = np.maximum(hidden @ network.dense[0].weight.T + network.dense[0].bias, 0.0)
    outputs = hidden @ network.dense[1].weight.T + network.dense[1].bias
    np.testing.assert_allclose(outputs, network(rows), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("architecture", READABLE)
def test_tangents_are_finite_differences(architecture: Convolutional):
    network = build(architecture)
    below = Below(architecture, network.convolutions, network.activation)
    rng = np.random.default_rng(0)
    point, moves = (
        rng.normal(size=architecture.input_size),
        rng.normal(size=(4, architecture.input_size)),
    )
    step = 1e-7
    expected = (below.features(point + step * moves) - below.features(point - step * moves)) / (
        2 * step
    )
    np.testing.assert_allclose(below.tangents(point, moves), expected, atol=1e-6)


@pytest.mark.parametrize("architecture", READABLE)
def test_pixels_of_a_unit_are_those_that_change_it(architecture: Convolutional):
    # All weights and pixels positive, so that no unit is off; and in turn each pixel bright, so
    # that it is in the largest value of every pooling window that looks at it.
    network = build(architecture)
    size = architecture.input_size
    images = np.ones((size, size)) + 1e3 * np.eye(size)
    for depth in range(len(architecture.layers)):
        geometry = LayerGeometry(architecture, depth)
        positive = [
            ConvLayer(np.abs(layer.weight), np.abs(layer.bias), layer.geometry)
            for layer in network.convolutions[: depth + 1]
        ]
        below = Below(architecture, positive, network.activation)
        plain = below.features(np.ones((1, size)))
        changed = np.abs(below.features(images) - plain).sum(axis=1)
        changed = np.moveaxis(changed, 0, -1)
        for i in range(geometry.units):
            for j in range(geometry.units):
                own = geometry.unit_pixels((i, j))
                assert set(np.flatnonzero(changed[i, j] > 1e-9)) == set(own.tolist())


def test_reach_counts_padding_and_pooling():
    layers = (Conv(3, padding=1, pool="max"), Conv(2, stride=2))
    assert reach(layers[:1], 0, 0) == (-1, 1)
    assert reach(layers[:1], 4, 5) == (3, 6)
    # Position 1 sees units 2 and 3, those positions 4 to 7, those pixels 3 to 8.
    assert reach(layers, 1, 1) == (3, 8)


def test_choices_are_a_position_or_a_pair_of_one_window():
    geometry = LayerGeometry(Convolutional((1, 8, 8), [Conv(3, pool="max")]), 0)
    assert geometry.choices(((2, 4), (0, 2))) == [((2, 0),)]
    assert geometry.choices(((2, 5), (0, 2))) == [((2, 0), (3, 0))]
    # Both diagonals of a window fill the same rectangle.
    assert len(geometry.choices(((0, 3), (0, 3)))) == 2
    # Positions 1 and 2 belong to different windows.
    assert geometry.choices(((1, 4), (0, 2))) == []
    assert geometry.choices(((0, 1), (0, 1))) == []


def equations(kernel, bias, pixels, seed, scale):
    rng = np.random.default_rng(seed)
    tangents = rng.normal(size=(pixels, len(kernel)))
    window = rng.normal(size=len(kernel))
    window -= kernel * ((window @ kernel + bias) / (kernel @ kernel))
    return KinkEquations(((0, 0),), tangents, scale * tangents @ kernel, window)


def test_enough_kinks_give_kernel_and_bias():
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=20), 0.7
    kinks = [equations(kernel, bias, 9, seed, scale) for seed, scale in enumerate((2, -0.3, 5))]
    found = solve_kernel(kinks)
    assert found is not None
    sign = np.sign(found.weight @ kernel)
    length = np.linalg.norm(kernel)
    np.testing.assert_allclose(sign * found.weight, kernel / length, atol=1e-12)
    np.testing.assert_allclose(sign * found.bias, bias / length, atol=1e-12)


def sighting(number: int, jump: float) -> Sighting:
    """A kink told from others by its number, which bends the first of two outputs so much."""
    way = np.eye(20)[0]
    return Sighting(np.full(20, float(number)), way, 1.0, np.array([jump, 1.0]), measured=True)


def test_units_that_are_seldom_seen_give_their_channel_together():
    # Two channels, three kinks needed: no unit shows more than two.
    rng = np.random.default_rng(0)
    kernels = rng.normal(size=(2, 20))
    kinks = []
    for number in range(12):
        one = sighting(number, float(number // 2))
        one.equations = equations(kernels[number % 4 // 2], 0.7, 9, number, 1.0)
        kinks.append(one)
    bundles = groups_alike(kinks)
    assert [len(bundle) for bundle in bundles] == [2] * 6
    parts = parts_across(bundles, 3, np.random.default_rng(0))
    solved = [solve_kernel([k.equations for k in part if k.equations]) for part in parts]
    found = [each.weight for each in solved if each is not None]
    units = kernels / np.linalg.norm(kernels, axis=1, keepdims=True)
    alike = np.abs(np.array(found) @ units.T)
    np.testing.assert_allclose(alike.max(axis=1), 1.0, atol=1e-12)
    assert set(alike.argmax(axis=1)) == {0, 1}


def test_too_few_kinks_and_kinks_of_two_channels_give_nothing():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 20))
    kinks = [equations(one, 0.7, 9, seed, 1.0) for seed in range(4)]
    assert solve_kernel(kinks[:2]) is None
    assert solve_kernel([*kinks, equations(other, 0.1, 9, 9, 1.0)]) is None
    # An input that no kink shows leaves its weight open.
    blind = [
        KinkEquations(k.positions, k.tangents * (np.arange(20) > 0), k.gradient, k.window * 0.0)
        for k in kinks
    ]
    assert solve_kernel(blind) is None


@pytest.mark.parametrize("bias", [4.0, 1.2])
def test_a_channel_that_is_always_on_gives_kernel_and_bias(bias: float):
    # Every window of a Gaussian image has a value above zero, so that no unit is seen to turn on.
    architecture = Convolutional((1, 8, 8), [Conv(3, pool="max")])
    network = build(architecture)
    weight = np.asarray(network.convolutions[0].weight)
    weight = weight / np.linalg.norm(weight.reshape(3, -1), axis=1)[:, None, None, None]
    layer = ConvLayer(weight, np.array([bias, 0.3, -0.2]), architecture.layers[0])
    network = network.replace(convolutions=(layer,))
    rng = np.random.default_rng(0)
    search = ChannelSearch(
        Below(architecture, (), network.activation),
        network,
        lambda count: 0.5 * rng.normal(size=(count, 64)),
        rng,
    )
    found = search.run()
    assert found.done
    off = np.linalg.norm(layer.input_vectors[:, None] - found.layer.input_vectors, axis=-1)
    assert off.shape == (3, 3)
    assert off.min(axis=1).max() < 1e-6


def test_a_leaky_layer_with_stride_padding_and_three_colours():
    architecture = Convolutional((3, 11, 11), [Conv(3, stride=2, padding=1, pool="max")])
    network = build(architecture).replace(activation=resolve("leaky_relu"))
    assert isinstance(network, ConvNetwork)
    rng = np.random.default_rng(0)
    search = ChannelSearch(
        Below(architecture, (), network.activation),
        network,
        lambda count: rng.normal(size=(count, architecture.input_size)),
        rng,
    )
    found = search.run()
    assert found.done
    truth = network.convolutions[0].input_vectors
    truth = truth / np.linalg.norm(truth[:, :-1], axis=1, keepdims=True)
    off = np.linalg.norm(truth[:, None] - found.layer.input_vectors[None], axis=-1)
    assert len(found.layer.bias) == 3
    # Differences of answers over steps of 5e-6 round to 1e-9 or so.
    assert off.min(axis=1).max() < 1e-6


def a_search(depth: int) -> ChannelSearch:
    """A search of a layer of a small network, whose rounds are yet to be made up."""
    layer = Conv(2)
    network = build(Convolutional((1, 6, 6), [layer, layer]))
    below = Below(network.architecture, network.convolutions[:depth], network.activation)
    rng = np.random.default_rng(0)
    return ChannelSearch(below, network, lambda count: rng.normal(size=(count, 36)), rng)


@pytest.mark.parametrize(
    ("depth", "new", "rounds"),
    [(0, 0, channels.QUIET), (0, 10, channels.PATIENCE_FIRST), (1, 0, channels.QUIET)],
)
def test_a_layer_ends_when_all_is_explained_or_nothing_more_is(depth, new, rounds, monkeypatch):
    search = a_search(depth)
    monkeypatch.setattr(search, "_round", lambda place: (100, new))
    found = search.run()
    assert (found.rounds, found.done, found.explained) == (rounds, True, 100 * rounds)


def test_where_kinks_are_few_more_rounds_are_asked(monkeypatch: pytest.MonkeyPatch):
    search = a_search(0)
    monkeypatch.setattr(search, "_round", lambda place: (5, 0))
    found = search.run()
    assert (found.rounds, found.done) == (channels.EXPLAINED // 5, True)


def test_no_more_kinks_of_a_unit_are_measured_than_allowed(monkeypatch: pytest.MonkeyPatch):
    search = a_search(0)
    read: list[Sighting] = []
    monkeypatch.setattr(search.reader, "read", read.extend)
    one = Sighting(np.zeros(36), np.eye(36)[0], 1.0, np.ones(2))
    measured = [dataclasses.replace(one, measured=True) for _ in range(channels.MOST_MEASURED + 2)]
    assert not search._try([*measured, *[dataclasses.replace(one) for _ in range(5)]])
    assert not read


def test_rounds_that_explain_nothing_are_no_end(monkeypatch):
    monkeypatch.setattr(channels, "MOST_ROUNDS", 30)
    search = a_search(0)
    monkeypatch.setattr(search, "_round", lambda place: (0, 0))
    found = search.run()
    assert (found.rounds, found.done) == (30, False)


def test_a_unit_with_a_kink_that_stays_open_is_gone_back_to(monkeypatch):
    search, places = a_search(1), []
    shown = Place((1, 1), np.zeros(36))

    def asked(place: Place) -> tuple[int, int]:
        places.append(place)
        # Once gone back to, what it showed is at hand to ask near.
        assert (len(search.open.here) == 1) == (place is shown)
        return 100, 0

    first = Sighting(np.zeros(36), np.eye(36)[0], 1.0, np.ones(2), measured=True, place=shown)
    search.open.behind.append(first)
    monkeypatch.setattr(search, "_round", asked)
    found = search.run()
    assert found.rounds == channels.PATIENCE
    assert sum(place is shown for place in places) == channels.PATIENCE // 2
    assert found.open == (first,)


def test_kinks_know_the_unit_that_they_were_found_around():
    search = a_search(0)
    place = search.lines.place()
    found, _ = search.lines.kinks(place)
    assert found
    assert all(one.place is place for one in found)
