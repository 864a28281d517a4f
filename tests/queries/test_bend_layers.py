"""Layers read off kinks: equations of single neurons, signs, and whole networks."""

from dataclasses import replace

import numpy as np
import pytest
from tests.queries.kinked import LEAKY, RELU, bends_of, layers

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.network import Network
from expand_and_cluster.queries import bend_layers
from expand_and_cluster.queries.asking import ask_all
from expand_and_cluster.queries.bend_equations import (
    Inconsistent,
    as_layer,
    solve_neuron,
    solve_signs,
)
from expand_and_cluster.queries.bend_layers import read_layers
from expand_and_cluster.queries.bend_outputs import Outputs
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.pieces import Pieces, has_kink, on_bend
from expand_and_cluster.queries.samplers import Gaussian
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.teachers.untrained import untrained


def flipped_layer(weight, bias, flips):
    sign = np.where(flips, -1.0, 1.0)
    return as_layer(np.column_stack([sign[:, None] * weight, sign * bias]))


@pytest.mark.parametrize("slopes", [RELU, LEAKY])
@pytest.mark.parametrize("width", [3, 7])
def test_features_and_tangents_are_those_of_the_network(slopes, width):
    first, second = layers((4, width, 3))
    pieces = Pieces(
        4, slopes, (as_layer(np.column_stack(first)),), as_layer(np.column_stack(second))
    )
    point = np.random.default_rng(1).normal(size=4)
    place = pieces.at(point)
    np.testing.assert_allclose(place.features, pieces.features(point[None])[0], rtol=1e-14)
    step = 1e-6 * np.eye(4)
    numeric = (pieces.features(point + step) - pieces.features(point - step)).T / 2e-6
    np.testing.assert_allclose(place.tangents, numeric, atol=1e-8)
    assert len(place.pre) == width + 3


@pytest.mark.parametrize("slopes", [RELU, LEAKY])
@pytest.mark.parametrize(("inputs", "width"), [(4, 3), (4, 6)])
def test_a_neuron_above_a_layer_without_signs_is_solved_for(slopes, inputs, width):
    first, second = layers((inputs, width, 5), seed=3)
    flips = np.arange(width) % 2 == 1
    pieces = Pieces(inputs, slopes, open=flipped_layer(*first, flips))
    bends = bends_of(first, second[0][0], second[1][0], slopes, 40)
    neuron = solve_neuron(pieces, bends)
    assert neuron is not None
    on = np.array([first[0] @ bend.point + first[1] > 0.0 for bend in bends])
    np.testing.assert_array_equal(neuron.unseen, on.all(axis=0) | ~on.any(axis=0))
    assert all(on_bend(pieces.at(bend.point), [neuron.vector], 1.0) for bend in bends)
    seen = ~neuron.unseen
    assert seen.sum() >= 2
    own, true = neuron.vector[:width][seen], second[0][0][seen]
    cosine = own @ true / np.linalg.norm(own) / np.linalg.norm(true)
    assert abs(cosine) == pytest.approx(1.0, abs=1e-10)


def test_kinks_of_two_neurons_are_of_none():
    first, second = layers((4, 6, 2), seed=3)
    pieces = Pieces(4, RELU, open=flipped_layer(*first, np.zeros(6, bool)))
    mixed = [
        bend for k in range(2) for bend in bends_of(first, second[0][k], second[1][k], RELU, 20)
    ]
    with pytest.raises(Inconsistent):
        solve_neuron(pieces, mixed)


@pytest.mark.parametrize("slopes", [RELU, LEAKY])
def test_signs_are_told_by_the_neurons_above(slopes):
    first, second = layers((4, 6, 5), seed=3)
    # Positive and negative weights: every neuron bends somewhere.
    second = np.abs(second[0]) * np.where(np.arange(6) % 2, -1.0, 1.0), 0.3 * second[1]
    flips = np.array([True, False, False, True, True, False])
    pieces = Pieces(4, slopes, open=flipped_layer(*first, flips))
    found = [
        solve_neuron(pieces, bends_of(first, row, bias, slopes, 40))
        for row, bias in zip(*second, strict=True)
    ]
    neurons = [neuron for neuron in found if neuron is not None]
    assert len(neurons) == 5
    above = np.array([neuron.vector[:-1] for neuron in neurons])
    unseen = np.array([neuron.unseen for neuron in neurons])
    none = np.zeros(4, dtype=bool)
    np.testing.assert_array_equal(solve_signs(pieces, above, unseen, none, search=False), flips)
    # A single neuron has four equations for six signs: only trying all tells them.
    alone = above[:1], unseen[:1]
    assert solve_signs(pieces, *alone, none, search=False) is None
    np.testing.assert_array_equal(solve_signs(pieces, *alone, none), flips)
    # Numbers that no signs explain.
    wrong = above + 0.1 * np.random.default_rng(0).normal(size=above.shape)
    assert solve_signs(pieces, wrong, unseen, none) is None
    signed = pieces.signed(flips)
    np.testing.assert_allclose(signed.layers[0].weight, first[0])
    assert replace(signed, layers=()) == Pieces(4, slopes)


@pytest.mark.parametrize(("name", "kinked"), [("relu", True), ("leaky_relu", True), ("g", False)])
def test_what_has_a_kink_at_zero(name, kinked):
    assert has_kink(resolve(name)) is kinked


def read_by_asking(network, seed, most):
    """Read two hidden layers of relu off a network's answers."""
    rng = np.random.default_rng(seed)
    size = network.input_size
    return read_layers(
        network,
        lambda n: rng.standard_normal((n, size)),
        resolve("relu"),
        2,
        rng,
        max_queries=most,
    )


@pytest.mark.parametrize("seed", [0])
def test_a_whole_network_is_read(seed):
    teacher = untrained((8, 6, 5, 2), "relu", seed)
    read = read_by_asking(teacher, seed, 80_000)
    assert read.network is not None, read.note
    assert read.complete
    assert read.queries <= 80_000
    assert read.network.hidden_widths == (6, 5)
    assert compare(read.network, teacher).max_weight_error < 1e-4
    assert read.places is not None
    assert read.places.shape[1] == 8


def test_a_reading_that_fails_is_repeated_on_other_lines(monkeypatch: pytest.MonkeyPatch):
    teacher = untrained((8, 6, 5, 2), "relu", 0)
    read_outputs, seen = bend_layers.read_outputs, []

    def open_at_first(survey, below, found):
        seen.append(found[0][1][0].point)
        return read_outputs(survey, below, found) if len(seen) > 1 else Outputs(None, None, 0.0)

    monkeypatch.setattr(bend_layers, "read_outputs", open_at_first)
    read = read_by_asking(teacher, 0, 160_000)
    assert len(seen) == 2
    assert not np.array_equal(*seen)
    assert read.network is not None
    assert read.network.hidden_widths == (6, 5)
    # What the first reading asked is counted.
    monkeypatch.setattr(bend_layers, "read_outputs", read_outputs)
    assert read.queries > read_by_asking(teacher, 0, 160_000).queries


def test_signs_that_stay_open_are_said_after_the_last_reading(monkeypatch: pytest.MonkeyPatch):
    teacher = untrained((8, 6, 5, 2), "relu", 0)
    monkeypatch.setattr(bend_layers, "READINGS", 1)
    monkeypatch.setattr(bend_layers, "read_outputs", lambda *_: Outputs(None, None, 0.0))
    read = read_by_asking(teacher, 0, 80_000)
    assert read.network is None
    assert read.note == "signs of layer 2 stay open"


def test_a_budget_that_is_too_small_ends_it():
    teacher = untrained((8, 6, 5, 2), "relu", 0)
    read = read_by_asking(teacher, 0, 2_000)
    assert read.network is None
    assert read.queries <= 2_000
    assert "2000 questions were spent on" in read.note


def test_a_smooth_function_is_not_read():
    smooth = Network.from_arrays(layers((3, 4, 4, 1)), "tanh")
    assert read_by_asking(smooth, 0, 5_000).network is None


@pytest.mark.parametrize("most", [200, 1_000, 4_000])
def test_a_small_budget_is_not_exceeded(most):
    teacher = untrained((8, 6, 5, 2), "relu", 0)
    oracle = Oracle(teacher, 8, most)
    rng = np.random.default_rng(0)
    answers = ask_all(
        oracle,
        Gaussian(8),
        rng,
        max_queries=most,
        activation=teacher.activation,
        hidden_layers=2,
        find_subspace=False,
    )
    assert answers.draft is None
    assert answers.queries <= most
    assert len(answers.pairs) > 0.1 * most
