"""One hidden layer from given pairs, on small ones that are treated as many."""

from functools import partial

import numpy as np
import pytest
from tests.reconstruction.test_missing_neurons import a_network

import expand_and_cluster as eac
from expand_and_cluster import one_layer, one_layer_given
from expand_and_cluster.reconstruction import extension, rare_inputs
from expand_and_cluster.students.initial import LENGTH

RARE, SHOWN = 4, 40


@pytest.mark.slow
def test_weights_of_an_input_that_few_pairs_show_are_small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(one_layer_given, "MANY", 1000)
    monkeypatch.setattr(one_layer, "STEPS_GIVEN", 2000)
    monkeypatch.setattr(rare_inputs, "MARGIN", 150.0)
    ends: list[eac.Network] = []

    def watched(network: eac.Network, *rest) -> eac.Network:
        ends.extend([network, rare_inputs.with_least_weights(network, *rest)])
        return ends[-1]

    monkeypatch.setattr(one_layer_given, "with_least_weights", watched)
    teacher = a_network((6, 5, 2), "g", 1)
    inputs = np.random.default_rng(0).normal(size=(2000, 6))
    inputs[:, RARE] = np.where(np.arange(2000) < SHOWN, 1.0, 0.0)
    # Too narrow for all neurons: an exact network would be left as it is.
    recovery = eac.recover(
        eac.QueryPairs(inputs, teacher(inputs)), activation="g", width=3, students=2, fit="adam"
    )
    before, after = ends
    sizes = [np.linalg.norm(each.layers[0].weight[:, RARE]) for each in (before, after)]
    assert 0.0 < sizes[1] < sizes[0]
    # What is given back is the second, in the inputs' own coordinates: weights over another input's
    # have one factor in common, known to a percent without the pairs that were held out.
    own = recovery.network.layers[0].weight
    shares = [
        np.sort(each.layers[0].weight[:, RARE] / each.layers[0].weight[:, 0]) for each in ends
    ]
    scale = np.std(inputs[:, 0]) / np.median(np.std(inputs, axis=0))
    found = np.sort(own[:, RARE] / own[:, 0]) / scale
    np.testing.assert_allclose(found, shares[1], rtol=2e-2)
    assert not np.allclose(found, shares[0], rtol=2e-2)
    # It is named in the record of every neuron, and in the verdict.
    named = f"inputs {RARE} (shown by too few pairs)"
    assert all(named in each.unidentifiable for each in recovery.neurons)
    assert any("shown by too few pairs" in reason for reason in recovery.verdict.reasons)


def test_students_see_common_inputs_and_all_others_are_told_afterwards(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(one_layer_given, "MANY", 1000)
    monkeypatch.setattr(one_layer, "STEPS_GIVEN", 4000)
    # One level; `test_extension` has several.
    monkeypatch.setattr(extension, "FALL", 0.02)
    teacher = a_network((9, 4, 3), "softplus", 1)
    rng = np.random.default_rng(0)
    inputs = np.concatenate([rng.normal(size=(3000, 5)), np.full((3000, 4), 0.3)], axis=1)
    for column, count in enumerate((600, 500, 400, 60), start=5):
        inputs[rng.choice(3000, count, replace=False), column] = rng.uniform(0.5, 1.5, count)
    pairs = eac.QueryPairs(inputs, teacher(inputs))
    recovery = eac.recover(pairs, activation="softplus", width=8, students=3, fit="adam")
    assert recovery.settings["common_inputs"] < 9
    assert 1500 <= recovery.settings["common_pairs"] < 3000
    assert recovery.queries == 3000
    assert recovery.clustering is not None
    assert recovery.clustering.vectors.shape[1] == recovery.settings["common_inputs"] + 1
    scores = eac.compare(recovery, teacher)
    assert (scores.missing, scores.excess) == (0, 0)
    assert scores.max_weight_error < 1e-9
    assert recovery.verdict.identified


def test_weights_of_students_of_many_given_pairs_decay(monkeypatch: pytest.MonkeyPatch):
    teacher = a_network((3, 1, 1), "tanh", 1)
    inputs = np.random.default_rng(0).normal(size=(600, 3))
    pairs = eac.QueryPairs(inputs, teacher(inputs))
    recover = partial(eac.recover, pairs, activation="tanh", width=2, students=2, fit="adam")
    few = recover()
    monkeypatch.setattr(one_layer_given, "MANY", 500)
    monkeypatch.setattr(one_layer, "STEPS_GIVEN", 50)
    many = recover()
    assert few.settings["weight_decay"] == 0.0
    assert few.settings["initial_length"] == LENGTH
    assert many.settings["weight_decay"] == 0.25
    assert many.settings["initial_length"] == 1.0
