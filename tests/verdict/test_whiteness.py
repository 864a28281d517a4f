"""Noise passes for noise, and nothing else does."""

import numpy as np
import pytest
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.network import Layer
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.verdict.linearised import linearise
from expand_and_cluster.verdict.whiteness import LEVEL, draw_probes, examine

ROWS, NOISE = 1500, 1e-2


def examined(network, source, *, seed=0, noise=NOISE, rows=ROWS):
    """The test at a network, once the moves of its weights that fit the noise are made."""
    inputs = gaussian(rows, source.input_size, seed=seed + 1)
    targets = source(inputs)
    targets = targets + noise * np.random.default_rng((seed, 99)).normal(size=targets.shape)
    probes = draw_probes(network, rows, seed)
    assert probes is not None
    return examine(linearise(network, TrainingData(inputs, targets), probes))


def with_one_less(source):
    first, last = source.layers
    layers = (Layer(first.weight[1:], first.bias[1:]), Layer(last.weight[:, 1:], last.bias))
    return source.replace(layers=layers)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", ["g", "relu"])
def test_chances_are_uniform_under_noise(activation, outputs):
    source = teacher((4, 3, outputs), activation)
    found = [examined(source, source, seed=seed, rows=400) for seed in range(20)]
    chances = [each.chance for each in found]
    assert 0.18 < np.mean(chances) < 0.82  # five standard deviations of the mean of twenty
    assert np.min(chances) > LEVEL / 10.0
    assert np.median([each.noise for each in found]) == pytest.approx(NOISE, rel=0.05)


@pytest.mark.parametrize("noise", [1e-8, 1e-2, 0.1])
def test_a_missing_neuron_shows(noise):
    source = teacher((4, 3, 1), "g")
    assert examined(with_one_less(source), source, noise=noise).chance < 1e-6


def test_a_network_away_from_its_minimum_has_not_converged():
    source = teacher((4, 3, 1), "g")
    first, last = source.layers
    moved = source.replace(layers=(Layer(first.weight + NOISE, first.bias), last))
    assert not examined(moved, source).converged


def test_missing_neurons_of_the_size_that_is_said_to_show_do_show():
    source = teacher((4, 3, 1), "tanh")
    small = examined(source, source).visible
    assert NOISE / 30.0 < small < 3.0 * NOISE
    first, last = source.layers
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        one = rng.normal(size=4)
        extra = source.replace(
            layers=(
                Layer(
                    np.vstack([first.weight, 2.0 * one / np.linalg.norm(one)]),
                    np.append(first.bias, rng.uniform(-1.0, 1.0)),
                ),
                Layer(np.column_stack([last.weight, np.zeros(1)]), last.bias),
            )
        )
        spread = np.std(np.tanh(gaussian(ROWS, 4) @ extra.layers[0].weight[-1]))
        weight = np.column_stack([last.weight, [small / spread]])
        louder = extra.replace(layers=(extra.layers[0], Layer(weight, last.bias)))
        found.append(examined(source, louder, seed=seed).chance < LEVEL)
    assert np.mean(found) >= 0.7


def test_too_few_rows_cannot_tell():
    assert draw_probes(teacher((4, 2, 1), "g"), 100, 0) is None
