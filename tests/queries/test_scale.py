"""The scale of Gaussian questions is found from answers, within a factor."""

import numpy as np
import pytest

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.network import Network
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.samplers import Gaussian
from expand_and_cluster.queries.scale import find_scale

SMOOTH = ("g", "tanh", "sigmoid", "softplus", "gelu", "silu", "mish")


def teacher(activation: str, norm: float, seed: int, width: int = 16, size: int = 8) -> Network:
    """Neurons whose input weights all have this norm."""
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(width, size))
    weight *= norm / np.linalg.norm(weight, axis=1, keepdims=True)
    return Network.from_arrays(
        [(weight, 0.5 * rng.normal(size=width)), (rng.normal(size=(3, width)), rng.normal(size=3))],
        activation,
    )


@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("norm", [0.01, 1.0, 100.0])
def test_pre_activations_spread_by_one_and_a_half(activation: str, norm: float) -> None:
    network = teacher(activation, norm, seed=1)
    found = find_scale(
        network, Gaussian(8), np.random.default_rng(0), activation=catalogue[activation]
    )
    assert found.found
    assert found.sampler.scale is not None
    # A factor of 2 either way, which holds for about nine in ten such networks.
    assert 0.75 <= found.sampler.scale * norm <= 3.0


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "selu"])
def test_kinks_come_within_reach(activation: str) -> None:
    network = teacher(activation, 0.01, seed=1)
    found = find_scale(
        network, Gaussian(8), np.random.default_rng(0), activation=catalogue[activation]
    )
    assert found.found
    assert found.sampler.scale is not None
    # Biases have a standard deviation of 0.5: most kinks lie within this pre-activation. One
    # neuron with a small bias and large output weights can mislead by a few times.
    assert 0.1 <= found.sampler.scale * 0.01 <= 10.0


def test_questions_are_counted_kept_and_within_their_share() -> None:
    budget = 10_000
    oracle = Oracle(teacher("tanh", 0.1, seed=2), 8, max_queries=budget)
    found = find_scale(
        oracle.ask,
        Gaussian(8, center=1.0),
        np.random.default_rng(0),
        activation=catalogue["tanh"],
        max_queries=budget,
    )
    assert found.queries == oracle.asked == len(oracle.pairs()) <= 0.05 * budget
    assert len(found.scales) == len(found.measured)
    assert found.sampler.center.tolist() == [1.0] * 8


def test_single_precision_answers_do_not_mislead() -> None:
    network = teacher("sigmoid", 0.01, seed=3)
    scales = [
        find_scale(ask, Gaussian(8), np.random.default_rng(0), activation=catalogue["sigmoid"])
        for ask in (network, lambda rows: network(rows).astype(np.float32).astype(np.float64))
    ]
    assert scales[0].sampler.scale == pytest.approx(scales[1].sampler.scale, rel=0.01)


def test_a_linear_teacher_leaves_the_scale_at_one() -> None:
    found = find_scale(
        lambda rows: rows @ np.ones((4, 1)),
        Gaussian(4),
        np.random.default_rng(0),
        activation=catalogue["tanh"],
    )
    assert not found.found
    assert found.sampler.scale == 1.0


def test_an_unknown_activation_gives_a_rough_scale() -> None:
    found = find_scale(teacher("tanh", 10.0, seed=4), Gaussian(8), np.random.default_rng(0))
    assert found.sampler.scale is not None
    assert 0.5 / 10.0 <= found.sampler.scale <= 4.5 / 10.0


def test_the_search_depends_on_the_generator_alone() -> None:
    network = teacher("gelu", 3.0, seed=5)
    first, second = (
        find_scale(network, Gaussian(8), np.random.default_rng(7), activation=catalogue["gelu"])
        for _ in range(2)
    )
    assert first.sampler.scale == second.sampler.scale
