"""Neurons that no student found are found by training new ones beside the known."""

from dataclasses import replace

import numpy as np
import pytest
from tests.reconstruction.planted import distance, gaussian, teacher

from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import silent
from expand_and_cluster.fitting.memory import Memory
from expand_and_cluster.reconstruction import workbench
from expand_and_cluster.reconstruction.merged import train_merged
from expand_and_cluster.reconstruction.ordinary import ordinary_error
from expand_and_cluster.reconstruction.rebuild import rebuild
from expand_and_cluster.reconstruction.renewal import Renew, winnow_with_new
from expand_and_cluster.reconstruction.starts import SearchSettings
from expand_and_cluster.reconstruction.winnowing import winnow
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData

SETTINGS = SearchSettings(
    8, 2, 0, 0.5, np.pi / 12, "adam", 1, steps=1500, learning_rate=3e-3, batch_size=100, given=True
)


@pytest.fixture(scope="module")
def problem() -> tuple[Network, Workbench]:
    """Softplus, which leaves an affine map, and pairs that tell all of its neurons."""
    source = teacher((6, 5, 3), "softplus")
    inputs = gaussian(1500, 6)
    return source, Workbench(TrainingData(inputs, source(inputs)), source.activation, skip=True)


class Training:
    """First-order steps, and what they were asked for."""

    def __init__(self, bench: Workbench, folder) -> None:
        self.bench, self.store = bench, Checkpoint(folder)
        self.asked: list[np.ndarray] = []

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        self.asked.append(vectors)
        return train_merged(
            vectors,
            self.bench,
            self.bench.training,
            SETTINGS,
            seconds=None,
            memory=Memory(self.store, f"round-{len(self.asked)}", self.bench.activation),
            report=silent,
            deadline=None,
            new=True,
        )


def test_a_neuron_that_was_never_there_is_found(problem, tmp_path, monkeypatch):
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    source, bench = problem
    moved = 0.02 * np.random.default_rng(0).normal(size=(4, 7))
    few = source.input_vectors[1:] + moved
    alone, _ = winnow(bench, bench.start(few, 8))
    assert ordinary_error(bench, alone) > 1e-5
    training = Training(bench, tmp_path)
    rebuilt = rebuild(bench, few, 8, spare=True, renew=Renew(training, 3))
    assert rebuilt.exact
    assert rebuilt.network.hidden_widths == (5,)
    symmetry = source.activation.symmetry
    assert distance(rebuilt.network.input_vectors, source.input_vectors, symmetry) < 1e-7
    # Half as many new ones beside the known ones.
    assert training.asked[0].shape == (6, 7)


def test_nothing_is_trained_where_nothing_is_missing(problem, tmp_path, monkeypatch):
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    source, bench = problem
    moved = 0.02 * np.random.default_rng(0).normal(size=(5, 7))
    training = Training(bench, tmp_path)
    start = bench.start(source.input_vectors + moved, 8)
    left, removals = winnow_with_new(bench, start, Renew(training, 3))
    assert (left.width, removals, training.asked) == (5, (), [])


def test_what_gains_nothing_is_not_kept(problem, monkeypatch):
    """New neurons differ from round to round and with the seed, and end with the gain."""
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    source, bench = problem
    start = bench.start(source.input_vectors[1:], 8)
    asked = []

    def forgotten(vectors: np.ndarray) -> np.ndarray:
        asked.append(vectors)
        return vectors[:2]

    for seed in (3, 3, 4):
        left, _ = winnow_with_new(bench, start, Renew(forgotten, seed))
        assert left.width == 4
        assert left.loss <= start.loss
    assert len(asked) == 3
    np.testing.assert_array_equal(asked[0][4:], asked[1][4:])
    assert not np.any(asked[0][4:] == asked[2][4:])


def test_no_new_ones_once_time_is_up(problem, tmp_path):
    source, bench = problem
    late = Workbench(bench.training, bench.activation, skip=True, deadline=0.0)
    training = Training(late, tmp_path)
    start = late.start(source.input_vectors[1:], 8)
    left, _ = winnow_with_new(late, replace(start, loss=1.0), Renew(training, 0))
    assert left.width == 4
    assert training.asked == []
