"""Muon: steps with equal singular values, the same for a student alone, and honest stops."""

import time
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.conv_geometry import Conv, Convolutional
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Progress
from expand_and_cluster.fitting.muon import MuonDescent, MuonSettings, on_device
from expand_and_cluster.fitting.result import StopReason
from expand_and_cluster.students.by_muon import train_by_muon
from expand_and_cluster.students.grown import random_student, with_spare_neurons

FEW = MuonSettings(learning_rate=1e-2, batch_size=50, steps=200)


def a_network(seed: int, widths: tuple[int, ...] = (4, 6, 5, 2), activation: str = "g") -> Network:
    rng = np.random.default_rng(seed)
    layers = [
        (rng.normal(size=(above, below)) / np.sqrt(below), 0.1 * rng.normal(size=above))
        for below, above in pairwise(widths)
    ]
    return Network.from_arrays(layers, activation)


def a_conv(seed: int, channels: int = 3) -> ConvNetwork:
    rng = np.random.default_rng(seed)
    return ConvNetwork.from_arrays(
        Convolutional((1, 8, 8), [Conv(3, pool="max")]),
        [(rng.normal(size=(channels, 1, 3, 3)), rng.normal(size=channels))],
        [(0.1 * rng.normal(size=(2, 9 * channels)), np.zeros(2))],
        "relu",
    )


def pairs_of(network: Any, samples: int = 500) -> tuple[np.ndarray, np.ndarray]:
    inputs = np.random.default_rng(7).normal(size=(samples, network.input_size))
    return inputs, network(inputs)


@pytest.mark.parametrize("make", [a_network, a_conv])
def test_the_error_falls(make: Any):
    data = on_device(*pairs_of(make(0)))
    descent = MuonDescent(make(1), data, FEW)
    before = descent.loss
    for _ in descent.run():
        pass
    assert descent.loss < 0.2 * before
    assert descent.stop is StopReason.STEPS
    assert descent.step == 200
    assert descent.history[-1][1] == descent.loss


@pytest.mark.parametrize("make", [a_network, a_conv])
def test_a_step_moves_the_directions_of_a_matrix_more_alike_than_the_gradient(make: Any):
    start = make(1)
    inputs, targets = pairs_of(make(0), 50)
    descent = MuonDescent(start, on_device(inputs, targets), MuonSettings(1e-2, 50, 1))
    for _ in descent.run():
        pass

    def error(network: Any) -> Any:
        return jnp.mean((network.apply(jnp.asarray(inputs, jnp.float32)) - targets) ** 2)

    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), start)
    gradient = jax.jit(jax.grad(error))(single)
    moves = jax.tree.map(lambda new, old: new - old, descent.network(), start)
    checked = 0
    for move, slope in zip(jax.tree.leaves(moves), jax.tree.leaves(gradient), strict=True):
        if move.ndim < 2:
            continue
        left, sizes, right = np.linalg.svd(np.asarray(slope).reshape(len(slope), -1))
        seen = sizes > 0.05 * sizes[0]
        along = np.diag(left.T @ move.reshape(len(move), -1) @ right.T)[: len(sizes)][seen]
        assert np.all(along < 0.0)
        # Five iterations bring singular values to about one, between 0.5 and 1.3.
        assert along.min() > 3.0 * along.max()
        checked += 1
    assert checked >= 2


def test_a_student_alone_is_the_same_student(tmp_path: Any):
    data = on_device(*pairs_of(a_network(0)))
    students = [a_network(seed) for seed in (1, 2, 3)]

    def trained(some: list[Network], folder: Any = None) -> list[Any]:
        return train_by_muon(
            some, data, FEW, seed=0, name="train", checkpoint=Checkpoint(folder),
            report=lambda _: None,
        )  # fmt: skip

    among, alone = trained(students), trained([students[2]])
    for a, b in zip(
        jax.tree.leaves(among[2].network), jax.tree.leaves(alone[0].network), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    kept = trained(students, tmp_path)
    began = time.monotonic()
    again = trained(students, tmp_path)
    assert time.monotonic() - began < 5.0
    assert [one.loss for one in kept] == [one.loss for one in again]
    assert [one.history for one in kept] == [one.history for one in again]


def test_one_that_diverges_says_so_and_spoils_no_other():
    inputs, targets = pairs_of(a_network(0))
    wild = a_network(1)
    wild = jax.tree.map(lambda leaf: leaf * 1e30, wild)
    reports: list[Progress] = []
    done = train_by_muon(
        [wild, a_network(2)], on_device(inputs, targets), FEW, seed=0, name="train",
        checkpoint=Checkpoint(None), report=reports.append,
    )  # fmt: skip
    assert done[0].stop is StopReason.DIVERGED
    assert done[0].loss == np.inf
    assert done[1].stop is StopReason.STEPS
    assert np.isfinite(done[1].loss)
    assert reports[-1].total == 400


def test_the_clock_moves_the_schedule():
    data = on_device(*pairs_of(a_network(0)))
    descent = MuonDescent(a_network(1), data, MuonSettings(1e-2, 50, seconds=0.5))
    assert descent.total is None
    for _ in descent.run():
        pass
    assert descent.stop is StopReason.STEPS
    late = MuonDescent(a_network(1), data, FEW, deadline=time.monotonic())
    for _ in late.run():
        pass
    assert late.stop is StopReason.TIME


@pytest.mark.parametrize("make", [a_network, a_conv])
def test_spare_neurons_disturb_little_and_random_students_have_their_widths(make: Any):
    network, rng = make(0), np.random.default_rng(0)
    wide = with_spare_neurons(network, 0.5, rng)
    inputs, outputs = pairs_of(network)
    assert wide.parameter_count > network.parameter_count
    spread = outputs.std()
    assert np.sqrt(np.mean((wide(inputs) - outputs) ** 2)) < 0.7 * spread
    widths = (7,) * (len(network.channels) if isinstance(network, ConvNetwork) else 2)
    student = random_student(network, widths, rng)
    assert student(inputs).shape == outputs.shape
    hidden = student.channels if isinstance(student, ConvNetwork) else student.hidden_widths
    assert hidden == widths
