"""Pairs that show nothing unusual are told by counting, and networks move to their inputs."""

import numpy as np
import pytest
from tests.reconstruction.planted import USUAL, gaussian, images, teacher

from expand_and_cluster.core.network import Layer
from expand_and_cluster.queries.common_pairs import COMMON, Shown
from expand_and_cluster.queries.pairs import QueryPairs

SAMPLES = 2000


def test_they_are_those_that_show_no_seldom_shown_input():
    # The first four leave 46 in a hundred samples that show none.
    inputs = images(SAMPLES, 3, 300, 300, 400, 500, 5, 900)
    common = Shown(inputs).common()
    assert common is not None
    times = np.count_nonzero(inputs != np.median(inputs, axis=0), axis=0)
    np.testing.assert_array_equal(common.inputs, times >= common.least)
    other = inputs[:, ~common.inputs]
    np.testing.assert_array_equal(common.among, ~np.any(other != USUAL, axis=1))
    assert COMMON <= common.among.mean() < 1.0
    # One input more, the least shown of those that are left out, and they are too few.
    more = Shown(inputs).by(common.least + 1)
    assert more.among.mean() < COMMON


def test_pairs_are_theirs_over_their_inputs():
    inputs = images(SAMPLES, 3, *[250] * 2, *[20] * 6)
    common = Shown(inputs).by(21)
    pairs = common.of(QueryPairs(inputs, inputs[:, :2]))
    kept = ~np.any(inputs[:, 5:] != USUAL, axis=1)
    np.testing.assert_array_equal(pairs.inputs, inputs[kept][:, :5])
    np.testing.assert_array_equal(pairs.outputs, inputs[kept][:, :2])
    assert common.describe() == {"common_pairs": int(kept.sum()), "common_inputs": 5}


def test_there_are_none_where_nearly_all_inputs_are_always_shown():
    assert Shown(gaussian(SAMPLES, 6)).common() is None
    assert Shown(images(SAMPLES, 5, 40)).common() is None


def test_inputs_that_never_vary_are_not_shown():
    inputs = np.concatenate([images(SAMPLES, 3, *[200] * 5), np.ones((SAMPLES, 2))], axis=1)
    assert not Shown(inputs).by(0).inputs[-2:].any()
    assert Shown(inputs).by(0).among.all()


@pytest.mark.parametrize("skip", [False, True])
def test_a_network_says_the_same_over_their_inputs_alone(skip: bool):
    inputs = images(SAMPLES, 3, 300, 20, 300, 20)
    common = Shown(inputs).by(21)
    source = teacher((7, 5, 4), "softplus")
    if skip:
        rng = np.random.default_rng(1)
        source = source.replace(skip=Layer(rng.normal(size=(4, 7)), np.zeros(4)))
    within = common.restrict(source)
    assert within.input_size == 5
    rows = common.rows(inputs)
    np.testing.assert_allclose(within(rows), source(inputs[common.among]), atol=1e-12)
    # Back over all inputs it has no weights for the others, whatever these are.
    lifted = common.lift(within)
    assert not lifted.layers[0].weight[:, ~common.inputs].any()
    moved = np.where(common.inputs, inputs, 7.0)[common.among]
    np.testing.assert_allclose(lifted(moved), within(rows), atol=1e-12)
