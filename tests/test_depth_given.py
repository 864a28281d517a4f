"""Large deep networks from given pairs, on small ones that are treated as large."""

from pathlib import Path

import numpy as np
import pytest

import expand_and_cluster as eac
from expand_and_cluster.depth_given import is_large
from expand_and_cluster.fitting.muon import MuonSettings
from expand_and_cluster.reconstruction import given_layers, rare_inputs

SHORT = MuonSettings(learning_rate=1e-2, batch_size=64, steps=4000)
AFTER = MuonSettings(learning_rate=3e-3, batch_size=64, steps=2000)


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few pairs and weights are many, and training is short."""
    monkeypatch.setattr("expand_and_cluster.depth_given.MANY_PAIRS", 100)
    monkeypatch.setattr("expand_and_cluster.depth_given.MANY_WEIGHTS", 10)
    monkeypatch.setattr(given_layers, "FIRST", SHORT)
    monkeypatch.setattr(given_layers, "MERGED", AFTER)


def a_teacher(seed: int = 2) -> eac.Network:
    rng = np.random.default_rng(seed)
    sizes = [(5, 6), (4, 5), (3, 4)]
    layers = [
        (rng.normal(size=s) * 1.5 / np.sqrt(s[1]), 0.3 * rng.normal(size=s[0])) for s in sizes
    ]
    return eac.Network.from_arrays(layers, "g")


def some_pairs(teacher: eac.Network, samples: int = 4000) -> eac.QueryPairs:
    inputs = np.random.default_rng(1).normal(size=(samples, 6))
    return eac.QueryPairs(inputs, teacher(inputs))


@pytest.mark.usefixtures("small_is_large")
def test_a_network_is_imitated_closely_the_verdict_abstains_and_a_run_resumes(tmp_path: Path):
    teacher = a_teacher()
    stages: list[str] = []

    def recovered() -> eac.Recovery:
        stages.clear()
        return eac.recover(
            some_pairs(teacher), activation="g", hidden_layers=2, width=10, students=3, seed=2,
            checkpoint=tmp_path, progress=lambda told: stages.append(told.stage),
        )  # fmt: skip

    recovery = recovered()
    unseen = np.random.default_rng(5).normal(size=(500, 6))
    error = np.sqrt(np.mean((recovery.network(unseen) - teacher(unseen)) ** 2))
    assert error < 1e-2 * teacher(unseen).std()
    assert eac.compare(recovery, teacher).missing == 0
    assert not recovery.verdict.identified
    assert "not analysed" in " ".join(recovery.verdict.reasons)
    assert {neuron.layer for neuron in recovery.neurons} == {0, 1}
    assert len(recovery.curves.codes) == 3
    assert "train students, round 1" in stages
    again = recovered()
    assert "train students, round 1" not in stages
    np.testing.assert_array_equal(again.network.layers[0].weight, recovery.network.layers[0].weight)


@pytest.mark.usefixtures("small_is_large")
def test_inputs_that_never_or_hardly_ever_vary_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rare_inputs, "MARGIN", 150.0)
    teacher = a_teacher()
    inputs = np.random.default_rng(1).normal(size=(3000, 6))
    inputs[:, 2] = 0.5
    inputs[:, 4] = np.where(np.arange(3000) < 40, 1.0, 0.0)
    pairs = eac.QueryPairs(inputs, teacher(inputs))
    recovery = eac.recover(
        pairs, activation="g", hidden_layers=2, width=10, students=2, time_budget=3.0
    )
    assert list(np.flatnonzero(recovery.masked_inputs)) == [2]
    assert np.all(recovery.network.layers[0].weight[:, 2] == 0.0)
    first = next(neuron for neuron in recovery.neurons if neuron.layer == 0)
    assert first.unidentifiable[-2:] == ("inputs 2", "inputs 4 (shown by too few pairs)")
    assert "shown by too few pairs" in recovery.verdict.reasons[-1]


@pytest.mark.parametrize(
    ("pairs", "hidden", "large"),
    [(30_000, (8, 16, 16), False), (60_000, (784, 60, 60), True), (5_000, (784, 60, 60), False)],
)
def test_what_counts_as_large(pairs: int, hidden: tuple[int, ...], large: bool):
    given = eac.QueryPairs(np.zeros((pairs, 1)), np.zeros((pairs, 1)))
    assert is_large(given, hidden) == large
    assert not is_large(None, hidden)
