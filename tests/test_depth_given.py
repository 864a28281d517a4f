"""Large deep networks from given pairs, on small ones that are treated as large."""

from pathlib import Path

import numpy as np
import pytest

import expand_and_cluster as eac
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.layer_blocks import Block, blocks_of, network_of
from expand_and_cluster.core.progress import silent
from expand_and_cluster.depth_given import is_large
from expand_and_cluster.fitting.muon import MuonSettings
from expand_and_cluster.reconstruction import given_layers
from expand_and_cluster.reconstruction.given_layers import GivenLayers
from expand_and_cluster.students.training import TrainingData

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
            some_pairs(teacher), activation="g", hidden_layers=2, width=10, students=3, seed=0,
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
def test_an_input_that_never_varies_is_masked():
    teacher = a_teacher()
    inputs = np.random.default_rng(1).normal(size=(3000, 6))
    inputs[:, 2] = 0.5
    pairs = eac.QueryPairs(inputs, teacher(inputs))
    recovery = eac.recover(
        pairs, activation="g", hidden_layers=2, width=10, students=2, time_budget=20.0
    )
    assert list(np.flatnonzero(recovery.masked_inputs)) == [2]
    assert np.all(recovery.network.layers[0].weight[:, 2] == 0.0)


def test_neurons_that_give_next_to_nothing_are_taken_out():
    teacher = a_teacher()
    inputs = np.random.default_rng(1).normal(size=(2000, 6))
    data = TrainingData(inputs, teacher(inputs))
    rng = np.random.default_rng(2)
    first, second, last = blocks_of(teacher)
    more = Block(
        np.concatenate([first.weight, rng.normal(size=(2, 6, 1))]),
        np.concatenate([first.bias, rng.normal(size=2)]),
    )
    reads = Block(
        np.concatenate([second.weight, 1e-8 * rng.normal(size=(4, 2, 1))], axis=1), second.bias
    )
    wide = network_of((more, reads, last), teacher)
    search = GivenLayers(
        data, teacher.activation, (8, 8), students=2, seed=0, max_angle=0.26,
        checkpoint=Checkpoint(None), report=silent,
    )  # fmt: skip
    thinned, removals = search.thinned(wide, 1e-14, 1.0)
    assert thinned.hidden_widths == (5, 4)
    assert [removal.layer for removal in removals] == [0, 0]
    assert all("spread" in removal.reason for removal in removals)
    np.testing.assert_allclose(thinned(inputs), teacher(inputs), atol=1e-6)
    polished, loss = search.polish(thinned)
    assert loss < 1e-20
    assert polished.hidden_widths == (5, 4)


@pytest.mark.parametrize(
    ("pairs", "hidden", "large"),
    [(30_000, (8, 16, 16), False), (60_000, (784, 60, 60), True), (5_000, (784, 60, 60), False)],
)
def test_what_counts_as_large(pairs: int, hidden: tuple[int, ...], large: bool):
    given = eac.QueryPairs(np.zeros((pairs, 1)), np.zeros((pairs, 1)))
    assert is_large(given, hidden) == large
    assert not is_large(None, hidden)


def test_a_neuron_far_out_in_a_tail_is_brought_back():
    """Softplus is exponential there: a lower bias and longer weights above give nearly the same."""
    rng = np.random.default_rng(3)
    first = rng.normal(size=(5, 6)) / np.sqrt(6)
    biases = np.array([0.5, -0.5, 0.2, 0.8, -2.5])
    second = rng.normal(size=(3, 5))
    teacher = eac.Network.from_arrays([(first, biases), (second, np.zeros(3))], "softplus")
    inputs = rng.normal(size=(6000, 6))
    data = TrainingData(inputs, teacher(inputs))
    out = np.eye(5)[4] * 5.0
    far = eac.Network.from_arrays(
        [(first, biases - out), (second * np.exp(out), np.zeros(3))], "softplus"
    )
    search = GivenLayers(
        data, teacher.activation, (5,), students=2, seed=0, max_angle=0.26,
        checkpoint=Checkpoint(None), report=silent,
    )  # fmt: skip
    polished, before = search.polish(far)
    search.outcome.network, search.outcome.loss = polished, before
    while search.straightened():
        pass
    assert search.outcome.loss < 1e-6 * before
    found = search.outcome.network
    np.testing.assert_allclose(np.sort(found.layers[0].bias), np.sort(biases), atol=1e-4)
    assert not search.straightened()
