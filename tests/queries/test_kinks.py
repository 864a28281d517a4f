"""Kinks along lines against those of a known piecewise linear network."""

import numpy as np

from expand_and_cluster.queries.jumps import measure_jumps
from expand_and_cluster.queries.kinks import find_kinks


def network(seed: int, neurons: int = 12, inputs: int = 5, outputs: int = 3):
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(neurons, inputs)), rng.normal(size=neurons)
    out = rng.normal(size=(outputs, neurons))

    def ask(rows: np.ndarray) -> np.ndarray:
        return np.maximum(rows @ weight.T + bias, 0.0) @ out.T

    return ask, weight, bias, out


def test_every_kink_is_found_where_a_neuron_is_zero():
    for seed in range(5):
        ask, weight, bias, out = network(seed)
        starts, ends = np.random.default_rng(seed).normal(size=(2, 4, 5)) * 3.0
        kinks = find_kinks(ask, starts, ends)
        expected = []
        for line in range(4):
            slopes = weight @ (ends[line] - starts[line])
            places = -(weight @ starts[line] + bias) / slopes
            rows = np.flatnonzero((places > 0) & (places < 1))
            expected += [(line, places[k], np.abs(slopes[k]) * out[:, k]) for k in rows]
        expected.sort(key=lambda item: item[:2])
        assert kinks.unresolved == 0
        assert kinks.line.tolist() == [item[0] for item in expected]
        np.testing.assert_allclose(kinks.place, [item[1] for item in expected], atol=1e-11)
        jumps = np.array([item[2] for item in expected])
        np.testing.assert_allclose(kinks.jump, jumps, rtol=1e-6, atol=1e-8)


def test_two_kinks_in_one_proportion_are_not_taken_for_one():
    # A bump: all outputs bend alike at three places, and the lines outside it are the same.
    def ask(rows: np.ndarray) -> np.ndarray:
        bump = sum(
            size * np.maximum(rows[:, :1] - place, 0.0)
            for size, place in ((1.0, 0.2), (-2.0, 0.3), (1.5, 0.4))
        )
        return bump * np.array([1.0, -2.0])

    kinks = find_kinks(ask, np.zeros((1, 2)), np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(kinks.place, [0.2, 0.3, 0.4], atol=1e-12)


def test_kinks_too_near_to_each_other_are_told_with_their_place():
    def ask(rows: np.ndarray) -> np.ndarray:
        near = np.maximum(rows[:, :1] - 0.3, 0.0) + np.maximum(rows[:, :1] - 0.3 - 1e-8, 0.0)
        return near * np.array([1.0, -2.0]) + np.maximum(rows[:, :1] - 0.7, 0.0)

    kinks = find_kinks(ask, np.zeros((1, 2)), np.array([[1.0, 0.0]]))
    # The cut falls between the two, so that one of them may be seen on its own.
    assert kinks.unresolved >= 1
    np.testing.assert_allclose(kinks.near_place, 0.3, atol=1e-6)
    np.testing.assert_allclose(kinks.place[-1], 0.7, atol=1e-12)


def test_a_straight_line_has_no_kink():
    ask, *_ = network(0)
    far = np.full((1, 5), 1e3)
    assert len(find_kinks(ask, far, far + 1e-3).line) == 0


def test_the_gradient_jumps_by_a_multiple_of_the_neurons_weights():
    ask, weight, bias, out = network(3)
    starts, ends = np.random.default_rng(3).normal(size=(2, 2, 5)) * 3.0
    kinks = find_kinks(ask, starts, ends)
    ways = (ends - starts)[kinks.line]
    points = starts[kinks.line] + kinks.place[:, None] * ways
    length = np.linalg.norm(ways, axis=1)
    room = np.minimum(kinks.room * length, 1e-3)
    jumps = measure_jumps(ask, points, ways / length[:, None], room, [np.eye(5)] * len(points))
    for point, way, jump in zip(points, ways, jumps, strict=True):
        k = int(np.argmin(np.abs(weight @ point + bias)))
        direction = np.sign(weight[k] @ way)
        np.testing.assert_allclose(jump, direction * np.outer(weight[k], out[:, k]), atol=1e-7)
    assert measure_jumps(ask, points[:0], ways[:0], room[:0], []) == []
