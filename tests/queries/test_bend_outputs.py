"""Output weights above layers that were read off, where not every weight of these was seen."""

import numpy as np
import pytest
from tests.queries.kinked import RELU

from expand_and_cluster.queries.bend_equations import Neuron, as_layer
from expand_and_cluster.queries.bend_neurons import hidden_below, regressed
from expand_and_cluster.queries.bend_outputs import with_unseen_weights
from expand_and_cluster.queries.pieces import Pieces
from expand_and_cluster.teachers.untrained import untrained

INPUTS = 2.0 * np.random.default_rng(0).normal(size=(2000, 5))


@pytest.mark.parametrize("wrong", [(2,), (0, 3)])
@pytest.mark.parametrize("outputs", [1, 3])
def test_weights_that_no_kink_showed_are_told_by_the_outputs(wrong, outputs):
    first, second, last = untrained((5, 6, 4, outputs), "relu", seed=1).layers
    weight, bias = second.weight.copy(), second.bias.copy()
    # The first neuron is on at all inputs, and no kink of it shows what it has of some below.
    weight[0], bias[0] = np.abs(weight[0]) + 0.1, 10.0
    below = Pieces(5, RELU, (as_layer(np.column_stack([first.weight, first.bias])),))
    values = below.features(INPUTS)
    answers = np.maximum(values @ weight.T + bias, 0.0) @ last.weight.T + last.bias
    found = []
    for index in range(4):
        unseen = np.zeros(6, dtype=bool)
        unseen[list(wrong)] = index == 0
        vector = np.append(np.where(unseen, 0.0, weight[index]), bias[index])
        found.append((Neuron(vector, unseen), []))
    signed = Pieces(
        5, RELU, (*below.layers, as_layer(np.array([neuron.vector for neuron, _ in found])))
    )
    hidden = hidden_below(found, below)
    np.testing.assert_array_equal(np.flatnonzero(hidden), wrong)
    _, alone = regressed(signed, INPUTS, answers)
    assert not alone.all()
    given, right = regressed(signed, INPUTS, answers, values[:, hidden])
    assert right.all()
    whole = with_unseen_weights(signed, found, hidden, given)
    np.testing.assert_allclose(whole.layers[-1].weight, weight, atol=1e-9)
    above, right = regressed(whole, INPUTS, answers)
    assert right.all()
    np.testing.assert_allclose(above[:, :-1], last.weight, atol=1e-9)
