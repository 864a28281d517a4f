"""Neurons planted in a deep network that it can do without are found and taken out."""

import numpy as np
import pytest
from tests.oracles.deep import dense

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.reconstruction.deep_bench import DeepBench
from expand_and_cluster.reconstruction.deep_prune import prune_layers
from expand_and_cluster.reconstruction.inside import look_inside
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.teachers.synthetic import synthetic_deep

TEACHER = synthetic_deep((3, 3, 2, 1), seed=0)
ROWS = np.random.default_rng(0).uniform(-(3**0.5), 3**0.5, size=(600, 3))


def bench() -> DeepBench:
    return DeepBench(TrainingData(ROWS, TEACHER(ROWS)))


def planted(network: Network, layer: int, kind: str) -> Network:
    """The same function with one neuron more in a layer."""
    own, above = network.layers[layer], network.layers[layer + 1]
    rng = np.random.default_rng(layer)
    weight, bias = own.weight[:1], own.bias[:1]
    out, rest = above.weight[:, :1], above.weight.copy()
    if kind == "duplicate":
        rest[:, :1] *= 0.3
        out = 0.7 * out
    elif kind == "idle":
        weight, out = rng.normal(size=weight.shape), 0.0 * out
    above_bias = above.bias
    if kind == "constant":
        weight, out = 0.0 * weight, np.ones_like(out)
        ones = np.zeros((1, network.input_size))
        value = Network(
            (Layer(0.0 * ones, bias), Layer(np.eye(1), np.zeros(1))), TEACHER.activation
        )
        above_bias = above.bias - value(ones)[0, 0]
    layers = list(network.layers)
    layers[layer] = Layer(np.concatenate([own.weight, weight]), np.concatenate([own.bias, bias]))
    layers[layer + 1] = Layer(np.concatenate([rest, out], axis=1), above_bias)
    return network.replace(layers=tuple(layers))


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("kind", ["duplicate", "idle", "constant"])
def test_a_planted_neuron_goes(layer: int, kind: str):
    wider = planted(TEACHER, layer, kind)
    np.testing.assert_allclose(wider(ROWS), TEACHER(ROWS), atol=1e-12)
    table = bench()
    left, removals = prune_layers(table, table.score(wider), thorough=False)
    assert left.network.widths == TEACHER.widths
    assert [removal.layer for removal in removals] == [layer]
    assert compare(left.network, TEACHER).max_weight_error < 1e-10


def test_the_teacher_loses_nothing():
    table = bench()
    left, removals = prune_layers(table, table.score(TEACHER), thorough=True)
    assert removals == ()
    assert left.network.widths == TEACHER.widths


def test_what_is_seen_inside_is_what_jax_sees():
    network = synthetic_deep((3, 3, 2, 2), seed=1)
    rows = ROWS[:40]
    given = [np.column_stack([layer.weight, layer.bias]) for layer in network.layers]
    outputs, jacobian = dense(given, rows, "g")
    inside = look_inside(network, rows)
    np.testing.assert_allclose(inside.outputs, outputs, atol=1e-13)
    # The derivative in a bias is the slope in the pre-activation.
    np.testing.assert_allclose(inside.slopes[0], jacobian[:, :, [3, 7, 11]], atol=1e-12)
    np.testing.assert_allclose(inside.slopes[1], jacobian[:, :, [15, 19]], atol=1e-12)


def test_rounding_explains_the_teacher_and_not_its_neighbour():
    table = bench()
    assert table.at_floor(table.score(TEACHER))
    first = TEACHER.layers[0]
    moved = TEACHER.replace(layers=(Layer(first.weight + 1e-11, first.bias), *TEACHER.layers[1:]))
    assert not table.at_floor(table.score(moved))
    polished = table.polish(table.score(moved), damping=1e-8)
    assert table.at_floor(polished)
