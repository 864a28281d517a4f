"""What single kinks show, against networks whose weights are known."""

import numpy as np
import pytest
from tests.queries.kinked import LEAKY, RELU, bends_of, layers

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.queries.bend_domain import Domain
from expand_and_cluster.queries.bend_equations import Bend, Neuron, as_layer
from expand_and_cluster.queries.bend_layers import read_layers
from expand_and_cluster.queries.bend_lines import Crossings
from expand_and_cluster.queries.bend_neurons import regressed
from expand_and_cluster.queries.bend_places import bends_between, places_around
from expand_and_cluster.queries.bend_signs import flips_told
from expand_and_cluster.queries.bend_survey import Survey
from expand_and_cluster.queries.kinks import find_kinks
from expand_and_cluster.queries.pieces import Pieces
from expand_and_cluster.queries.proportions import (
    derivatives_at,
    shown,
    tell_apart,
)
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.teachers.untrained import untrained


@pytest.mark.parametrize("slopes", [RELU, LEAKY])
def test_a_kink_shows_the_weights_from_neurons_that_are_on(slopes):
    first, second = layers((8, 6, 3), seed=1)
    pieces = Pieces(8, slopes, (as_layer(np.column_stack(first)),))
    for bend in bends_of(first, second[0][0], second[1][0], slopes, 10):
        on = first[0] @ bend.point + first[1] > 0.0
        seen = shown(pieces, bend)
        assert seen is not None
        true = np.append(second[0][0], second[1][0])
        if slopes == RELU:
            np.testing.assert_array_equal(seen.on, on)
            true = true * np.append(on, True)
        cosine = seen.vector @ true / np.linalg.norm(seen.vector) / np.linalg.norm(true)
        assert abs(cosine) == pytest.approx(1.0, abs=1e-10)


def test_a_kink_of_another_direction_shows_nothing():
    first, _ = layers((8, 6, 3), seed=1)
    pieces = Pieces(8, RELU, (as_layer(np.column_stack(first)),))
    rng = np.random.default_rng(0)
    normal = rng.normal(size=8)
    assert shown(pieces, Bend(rng.normal(size=8), normal / np.linalg.norm(normal))) is None


def test_more_neurons_than_inputs_cannot_be_told_apart():
    rng = np.random.default_rng(0)
    assert tell_apart(rng.normal(size=(4, 5)))
    assert not tell_apart(rng.normal(size=(6, 5)))
    repeated = rng.normal(size=(3, 5))
    repeated[2] = -2.0 * repeated[1]
    assert not tell_apart(repeated)
    # Neurons that are off do not count.
    repeated[2] = 0.0
    assert tell_apart(repeated)
    assert not tell_apart(np.zeros((2, 5)))


def test_a_neuron_is_confirmed_by_its_kinks_and_a_random_one_is_not():
    network = untrained((6, 5, 4, 2), "relu", seed=0)
    rng = np.random.default_rng(0)
    starts, ends = rng.normal(size=(2, 30, 6)) * 6.0
    kinks = find_kinks(network, starts, ends)
    survey = Survey(network, Domain.of(lambda n: 2.0 * rng.normal(size=(n, 6)), rng))
    survey.look(starts, ends, Pieces(6, RELU), [])
    lines = survey.lines
    assert sum(len(line.places) for line in lines) == len(kinks.line)
    pieces = Pieces(6, RELU)
    crossings = Crossings(pieces, 6.0)
    crossings.extend(lines[:10])
    crossings.extend(lines)
    first = network.layers[0]
    for weight, bias in zip(first.weight, first.bias, strict=True):
        assert crossings.confirm(Neuron(np.append(weight, bias), np.zeros(0, bool)))
        assert not crossings.refute(Neuron(np.append(weight, bias), np.zeros(0, bool)))
    other = Neuron(np.append(rng.normal(size=6), 0.1), np.zeros(0, dtype=bool))
    assert not crossings.confirm(other)
    assert crossings.refute(other)
    # Where no line changes its sign nothing is known of it.
    far = Neuron(np.append(rng.normal(size=6), 1e9), np.zeros(0, dtype=bool))
    assert not crossings.confirm(far)
    assert not crossings.refute(far)
    above = Pieces(6, RELU, (as_layer(np.column_stack([first.weight, first.bias])),))
    second = network.layers[1]
    none = np.zeros(5, dtype=bool)
    crossings = Crossings(above, 6.0)
    crossings.extend(lines)
    right = [
        crossings.confirm(Neuron(np.append(weight, bias), none))
        for weight, bias in zip(second.weight, second.bias, strict=True)
    ]
    assert sum(right) >= 3


def test_a_neuron_that_lines_refute_leaves_its_layer_and_its_kinks_behind():
    network = untrained((6, 5, 4, 2), "relu", seed=0)
    rng = np.random.default_rng(0)
    survey = Survey(network, Domain.of(lambda n: 2.0 * rng.normal(size=(n, 6)), rng))
    first = network.layers[0]
    right = [
        (Neuron(np.append(w, b), np.zeros(0, bool)), [])
        for w, b in zip(first.weight, first.bias, strict=True)
    ]
    kink = Bend(rng.normal(size=6), np.eye(6)[0])
    wrong = (Neuron(np.append(rng.normal(size=6), 0.1), np.zeros(0, bool)), [kink])
    starts, ends = rng.normal(size=(2, 30, 6)) * 6.0
    survey.look(starts, ends, Pieces(6, RELU), right)
    left = survey.found(Pieces(6, RELU), [*right, wrong], last=False)
    assert [neuron for neuron, _ in left[: len(right)]] == [neuron for neuron, _ in right]
    assert all(neuron is not wrong[0] for neuron, _ in left)
    assert any(bend is kink for bend in survey.pool)


def test_outputs_depend_on_a_neuron_on_one_side_only():
    rng = np.random.default_rng(0)
    slopes, above = rng.normal(size=(3, 5)), rng.normal(size=(2, 3))
    gradients = np.array([(above * on @ slopes).T for on in ([1, 0, 1], [1, 1, 1])])
    off, on = derivatives_at(slopes, 1, gradients)
    assert off == pytest.approx(0.0, abs=1e-12)
    assert on == pytest.approx(np.linalg.norm(above[:, 1]))


@pytest.mark.parametrize("slopes", [RELU, LEAKY])
def test_signs_are_told_by_the_outputs_on_both_sides(slopes):
    name = "relu" if slopes == RELU else "leaky_relu"
    network = untrained((7, 5, 4, 2), name, seed=3)
    rng = np.random.default_rng(0)
    domain = Domain.of(lambda count: 2.0 * rng.normal(size=(count, 7)), rng)
    survey = Survey(network, domain)
    found = survey.layer(Pieces(7, slopes), [domain.wide], last=False)
    assert len(found) == 5
    vectors = np.array([neuron.vector for neuron, _ in found])
    opened = Pieces(7, slopes, open=as_layer(vectors))
    flipped = flips_told(survey, opened, found, domain.wide)
    assert flipped is not None
    truth = network.layers[0].weight
    own = np.where(flipped, -1.0, 1.0)[:, None] * vectors[:, :-1]
    cosine = (own / np.linalg.norm(own, axis=1)[:, None]) @ (
        truth / np.linalg.norm(truth, axis=1)[:, None]
    ).T
    np.testing.assert_allclose(cosine.max(axis=1), 1.0, atol=1e-9)


def test_inputs_within_a_layer_turn_all_of_its_neurons_on():
    first, _ = layers((8, 6, 3))
    rng = np.random.default_rng(0)
    domain = Domain.of(lambda count: rng.normal(size=(count, 8)) + 1.0, rng)
    draw = domain.within(as_layer(np.column_stack(first)))
    assert draw is not None
    assert np.all(draw(100) @ first[0].T + first[1] > 0.0)
    wide, _ = layers((4, 6, 3))
    small = Domain.of(lambda count: rng.normal(size=(count, 4)), rng)
    assert small.within(as_layer(np.column_stack(wide))) is None


def test_places_lie_on_both_sides_of_every_bend():
    first, second = layers((5, 4, 3), seed=2)
    pieces = Pieces(5, RELU, tuple(as_layer(np.column_stack(layer)) for layer in (first, second)))
    rng = np.random.default_rng(0)
    domain = Domain.of(lambda count: 2.0 * rng.normal(size=(count, 5)), rng)
    places = places_around(pieces, domain)
    pre = pieces.pre(places)
    active = pieces.pre(domain.wide(8192)) > 0.0
    bends = active.any(axis=0) & ~active.all(axis=0)
    assert bends.sum() >= 6
    for index in np.flatnonzero(bends):
        assert (pre[:, index] > 0.0).sum() >= 10
        assert (pre[:, index] < 0.0).sum() >= 10
    # Half of the first layer's places are one half of its own neuron's: their means lie on it.
    middles = 0.5 * (places[0:48:2] + places[1:48:2])
    assert np.all(np.abs(middles @ first[0][0] + first[1][0]) < 1.0 * domain.size)


def test_a_bend_is_found_between_two_inputs():
    first, second = layers((5, 4, 3), seed=2)
    pieces = Pieces(5, RELU, tuple(as_layer(np.column_stack(layer)) for layer in (first, second)))
    points = np.random.default_rng(0).normal(size=(400, 5)) * 4.0
    pre = pieces.pre(points)[:, 5]
    starts, ends = points[pre > 0.0][:20], points[pre < 0.0][:20]
    count = min(len(starts), len(ends))
    found = bends_between(pieces, 5, starts[:count], ends[:count])
    np.testing.assert_allclose(pieces.pre(found)[:, 5], 0.0, atol=1e-12)


def test_outputs_are_regressed_on_a_neuron_that_is_seldom_on():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(3, 4)), np.array([0.3, -0.2, -7.0])
    out = rng.normal(size=(1, 3))
    points = rng.normal(size=(6000, 4)) * 1.5
    hidden = np.maximum(points @ weight.T + bias, 0.0)
    seldom = np.mean(hidden[:, 2] > 0.0)
    assert 0.0 < seldom < 0.05
    answers = hidden @ out.T
    # And one that is missing, on a few rows.
    missing = np.maximum(points @ rng.normal(size=4) - 7.0, 0.0) > 0.0
    assert 0 < missing.sum() < 200
    answers[missing] += 1.0
    pieces = Pieces(4, RELU, (as_layer(np.column_stack([weight, bias])),))
    found, right = regressed(pieces, points, answers)
    np.testing.assert_allclose(found[:, :-1], out, atol=1e-9)
    np.testing.assert_array_equal(right, ~missing)


@pytest.mark.parametrize("seed", [2])
def test_three_layers_are_read_from_single_kinks(seed):
    teacher = untrained((16, 10, 8, 8, 2), "relu", seed)
    rng = np.random.default_rng(seed)
    read = read_layers(
        teacher,
        lambda count: 3.0 * rng.standard_normal((count, 16)),
        resolve("relu"),
        3,
        rng,
        max_queries=60_000,
    )
    assert read.network is not None, read.note
    assert read.network.hidden_widths == (10, 8, 8)
    assert compare(read.network, teacher).max_weight_error < 1e-4
