"""Weights of seldom shown inputs that have run away are taken back, and no others."""

import numpy as np
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.reconstruction.outlying_weights import (
    OUTLYING,
    without_outlying,
    without_weights,
)
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData


def seldom_shown(shown: int = 12) -> tuple[Network, np.ndarray]:
    """A teacher over seven inputs, and samples of which so many show the last one."""
    inputs = np.concatenate([gaussian(3000, 6), np.full((3000, 1), -0.2)], axis=1)
    inputs[:shown, 6] = 1.0
    return teacher((7, 5, 4), "leaky_relu"), inputs


def with_weight(source: Network, value: float) -> Network:
    """The third neuron's weight of the last input, the bias such that other samples see nothing."""
    first, last = source.layers
    weight, bias = first.weight.copy(), first.bias.copy()
    bias[2] += (value - weight[2, 6]) * 0.2
    weight[2, 6] = value
    return source.replace(layers=(Layer(weight, bias), last))


def test_one_far_beyond_all_others_is_set_to_nothing_and_the_bias_makes_up_for_it():
    source, inputs = seldom_shown()
    bench = Workbench(TrainingData(inputs, source(inputs)), source.activation)
    run_away = with_weight(source, -40.0)
    tamed = without_outlying(bench, bench.start(run_away.input_vectors, 8))
    assert tamed is not None
    wanted = with_weight(source, 0.0).input_vectors
    np.testing.assert_allclose(tamed.compact().input_vectors, wanted, atol=1e-12)
    error = tamed.compact()(inputs) - source(inputs)
    assert np.abs(error[12:]).max() < 1e-9
    # From there, steps find the teacher's.
    assert bench.at_floor(bench.polish(tamed))


def test_weights_as_large_as_others_stay():
    source, inputs = seldom_shown()
    bench = Workbench(TrainingData(inputs, source(inputs)), source.activation)
    largest = np.abs(source.layers[0].weight[2, :6]).max()
    near = with_weight(source, 0.99 * OUTLYING * largest)
    assert without_outlying(bench, bench.start(near.input_vectors, 8)) is None


def test_inputs_that_all_samples_show_have_none():
    source = teacher((6, 5, 4), "leaky_relu")
    inputs = gaussian(3000, 6)
    bench = Workbench(TrainingData(inputs, source(inputs)), source.activation)
    vectors = source.input_vectors.copy()
    vectors[2, 3] = 1000.0
    assert without_outlying(bench, bench.start(vectors, 8)) is None


def test_weights_are_lost_without_a_change_where_inputs_are_not_shown():
    source, inputs = seldom_shown()
    bench = Workbench(TrainingData(inputs, source(inputs)), source.activation)
    lost = np.zeros((5, 7), bool)
    lost[1:, 6] = True
    found = without_weights(bench, source, lost)
    assert not found.layers[0].weight[1:, 6].any()
    np.testing.assert_array_equal(found.layers[0].weight[0], source.layers[0].weight[0])
    np.testing.assert_allclose(found(inputs[12:]), source(inputs[12:]), atol=1e-12)
    assert np.abs(found(inputs[:12]) - source(inputs[:12])).max() > 1e-2
