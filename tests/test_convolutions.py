"""Whole recoveries of convolutional layers, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import expand_and_cluster as eac
from expand_and_cluster import convolutions_given
from expand_and_cluster.experiments.convolutions import exact, recover_one
from expand_and_cluster.fitting.muon import MuonSettings

SMALL = eac.Convolutional((1, 8, 8), [eac.Conv(3, pool="max")])
TWO = eac.Convolutional((1, 14, 14), [eac.Conv(3, pool="max"), eac.Conv(2, pool="max")])


def teacher(architecture: eac.Convolutional, channels: tuple[int, ...], seed: int = 0):
    return eac.teachers.convolutional(architecture, channels, (8, 5), seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_one_layer_is_exact(seed: int):
    network = teacher(SMALL, (4,), seed)
    found = eac.recover_convolutions(
        network, SMALL, inputs=eac.Gaussian(64), max_queries=60_000, seed=seed
    )
    (layer,) = eac.compare_channels(found.layers, network)
    assert (layer.missing, layer.excess) == (0, 0)
    assert layer.distances.max() < 1e-14
    assert found.verdict.identified, found.verdict.reasons
    assert found.queries <= 60_000


@pytest.mark.slow
def test_two_layers_are_exact():
    network = teacher(TWO, (3, 4), seed=4)
    found = eac.recover_convolutions(
        network, TWO, inputs=eac.Gaussian(196), max_queries=300_000, seed=4
    )
    for layer in eac.compare_channels(found.layers, network):
        assert (layer.missing, layer.excess) == (0, 0)
        assert layer.distances.max() < 1e-12
    assert found.verdict.identified, found.verdict.reasons


def test_outputs_that_never_bend_have_no_channels():
    weight = np.random.default_rng(0).standard_normal((64, 5))
    found = eac.recover_convolutions(
        lambda rows: rows @ weight, SMALL, inputs=eac.Gaussian(64), max_queries=100_000
    )
    assert found.layers[0].weight.shape == (0, 1, 3, 3)
    assert not found.verdict.identified


def test_a_kink_that_is_no_channels_is_counted_and_nothing_is_identified():
    network = teacher(SMALL, (4,))

    def bent(rows: np.ndarray) -> np.ndarray:
        # One pixel alone: no place of a kernel is so small.
        return network(rows) + np.maximum(rows[:, 27:28] - 0.3, 0.0) * np.arange(1.0, 6.0)

    found = eac.recover_convolutions(bent, SMALL, inputs=eac.Gaussian(64), max_queries=60_000)
    (layer,) = eac.compare_channels(found.layers, network)
    assert (layer.missing, layer.excess) == (0, 0)
    # Most rounds change other pixels, so that the search ends.
    reason = found.verdict.reasons[0]
    assert "are not explained" in reason
    assert " 0 are not explained" not in reason
    assert not found.verdict.identified
    assert found.verdict.confidence == 0.0


def test_a_kink_between_far_pixels_is_not_taken_for_a_dense_neurons():
    network = teacher(SMALL, (4,))

    def bent(rows: np.ndarray) -> np.ndarray:
        # Many pixels in opposite corners, but not as the features show them.
        far = rows[:, :20].sum(axis=1, keepdims=True) - rows[:, 44:].sum(axis=1, keepdims=True)
        return network(rows) + np.maximum(far - 0.3, 0.0) * np.arange(1.0, 6.0)

    found = eac.recover_convolutions(bent, SMALL, inputs=eac.Gaussian(64), max_queries=60_000)
    (layer,) = eac.compare_channels(found.layers, network)
    assert (layer.missing, layer.excess) == (0, 0)
    assert not found.verdict.identified
    assert any("are not of dense layers" in reason for reason in found.verdict.reasons)


def test_the_same_folder_asks_nothing_twice(tmp_path: Path):
    network = teacher(SMALL, (2,))
    asked = 0

    def counted(rows: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += len(rows)
        return network(rows)

    def run() -> Any:
        return eac.recover_convolutions(
            counted, SMALL, inputs=eac.Gaussian(64), max_queries=60_000, checkpoint=tmp_path
        )

    first, spent = run(), asked
    again = run()
    assert asked == spent == first.queries == again.queries
    np.testing.assert_array_equal(first.layers[0].weight, again.layers[0].weight)


def test_the_folder_of_another_seed_is_refused_and_a_larger_budget_goes_on(tmp_path: Path):
    network = teacher(SMALL, (2,))

    def run(seed: int, budget: int) -> eac.ConvRecovery:
        return eac.recover_convolutions(
            network, SMALL, inputs=eac.Gaussian(64), max_queries=budget, seed=seed,
            checkpoint=tmp_path,
        )  # fmt: skip

    with pytest.raises(eac.QueryBudgetError):
        run(0, 300)
    assert run(0, 60_000).verdict.identified
    with pytest.raises(eac.InvalidInputError, match="another folder"):
        run(1, 60_000)


def test_an_interruption_says_what_was_reached_and_what_resumes(tmp_path: Path):
    def interrupt(progress: eac.Progress) -> None:
        if progress.stage == "read channels of layer 1":
            raise KeyboardInterrupt

    with pytest.raises(eac.InterruptedRecoveryError, match="resumes it") as caught:
        eac.recover_convolutions(
            teacher(SMALL, (2,)), SMALL, inputs=eac.Gaussian(64), max_queries=60_000,
            progress=interrupt, checkpoint=tmp_path,
        )  # fmt: skip
    assert caught.value.partial == {"layers": []}


def test_a_budget_that_is_too_small_says_how_far_it_came():
    network = teacher(TWO, (3, 4), seed=4)
    with pytest.raises(eac.QueryBudgetError, match="layer 2 of 2") as caught:
        eac.recover_convolutions(network, TWO, inputs=eac.Gaussian(196), max_queries=20_000, seed=4)
    assert len(caught.value.partial[0].bias) == 3


def test_a_teacher_whose_budget_runs_out_is_a_row_of_the_experiment(tmp_path: Path):
    task = {"dataset": None, "channels": [2, 2], "seed": 0, "max_queries": 3000}
    row = recover_one({**task, "folder": str(tmp_path)})
    assert not row["identified"]
    assert row["queries"] == 3000
    assert row["missing"] == 4 - sum(row["found_channels"]) + row["excess"]
    assert row["max_input_distance"] == 1.0
    assert not exact(row)
    assert "max_queries=3000" in row["reasons"][0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"activation": "tanh"}, "relu"),
        ({"architecture": eac.Convolutional((1, 8, 8), [eac.Conv(3)])}, "max-pooling"),
        ({"architecture": "conv"}, "architecture"),
        ({"source": np.zeros((3, 64))}, "source"),
        ({"max_queries": 0}, "max_queries"),
        ({"seed": -1}, "seed"),
        ({"progress": 3}, "progress"),
        ({"checkpoint": 3}, "checkpoint"),
        ({"inputs": eac.Gaussian(63)}, "63"),
        ({"time_budget": 5.0}, "time_budget is for QueryPairs"),
        ({"students": 4}, "students is for QueryPairs"),
        ({"source": lambda rows: rows[:, :5].astype(np.float32) * 1.1}, "answers are float32"),
        ({"source": lambda rows: np.round(rows[:, :5], 3)}, "answers are 3 decimals"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], words: str, unchecked: None):
    arguments: dict[str, Any] = {
        "source": teacher(SMALL, (2,)),
        "architecture": SMALL,
        "inputs": eac.Gaussian(64),
        "max_queries": 1000,
    } | changes
    source, architecture = arguments.pop("source"), arguments.pop("architecture")
    with pytest.raises(eac.InvalidInputError, match=words):
        eac.recover_convolutions(source, architecture, **arguments)


def some_images(network: eac.ConvNetwork, samples: int = 3000) -> eac.QueryPairs:
    inputs = np.random.default_rng(3).normal(size=(samples, network.input_size))
    return eac.QueryPairs(inputs, network(inputs))


def test_channels_come_from_given_pairs_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked: None
):
    for name in ("FIRST", "MERGED", "LATER"):
        short = MuonSettings(learning_rate=1e-2 if name == "FIRST" else 3e-3, batch_size=64,
                             steps=1500)  # fmt: skip
        monkeypatch.setattr(convolutions_given, name, short)
    network = teacher(SMALL, (2,))
    four: Any = np.int64(4)
    two: Any = np.int64(2)

    def recovered() -> eac.ConvRecovery:
        return eac.recover_convolutions(
            some_images(network), SMALL, widths=[four, 12], students=two, seed=0,
            checkpoint=tmp_path,
        )  # fmt: skip

    found = recovered()
    (scores,) = eac.compare_channels(found.layers, network)
    assert scores.missing == 0
    assert scores.distances.max() < 1e-2
    assert not found.verdict.identified
    assert found.network is not None
    unseen = np.random.default_rng(4).normal(size=(200, 64))
    error = np.sqrt(np.mean((found.network(unseen) - network(unseen)) ** 2))
    assert error < 0.2 * network(unseen).std()
    assert len(found.votes[0]) == len(found.layers[0].bias)
    assert found.settings["widths"] == [4, 12]
    np.testing.assert_array_equal(recovered().layers[0].weight, found.layers[0].weight)
    with pytest.raises(eac.InvalidInputError, match="another folder"):
        eac.recover_convolutions(
            some_images(network), SMALL, widths=[4, 12], students=2, seed=1, checkpoint=tmp_path
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": eac.Gaussian(64)}, "nothing is asked"),
        ({"max_queries": 10}, "nothing is asked"),
        ({"widths": [4]}, "widths must hold 1 numbers of channels and 1 of neurons"),
        ({"widths": [4, 0]}, "widths"),
        ({"students": 1}, "students"),
        ({"hidden_layers": -1}, "hidden_layers"),
        ({"time_budget": "60"}, "time_budget must be a number above 0"),
        ({"architecture": TWO}, "the pairs have 64 inputs"),
    ],
)
def test_what_pairs_do_not_go_with_is_refused(changes: dict[str, Any], words: str, unchecked: None):
    arguments: dict[str, Any] = {"architecture": SMALL, **changes}
    with pytest.raises(eac.InvalidInputError, match=words):
        eac.recover_convolutions(some_images(teacher(SMALL, (2,)), 50), **arguments)


def test_a_callable_needs_inputs_and_a_budget():
    with pytest.raises(eac.InvalidInputError, match="max_queries"):
        eac.recover_convolutions(teacher(SMALL, (2,)), SMALL, inputs=eac.Gaussian(64))
