"""Which round of a shared search gives the network."""

import numpy as np
import pytest

from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import silent
from expand_and_cluster.fitting.muon import MuonSettings
from expand_and_cluster.fitting.result import StopReason
from expand_and_cluster.reconstruction.shared_search import SharedSearch, SharedSettings
from expand_and_cluster.students.by_muon import Imitation
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.teachers.synthetic import synthetic_deep

TEACHER = synthetic_deep((3, 3, 2, 1), seed=0)
ROWS = np.random.default_rng(0).normal(size=(200, 3))


def search_with(monkeypatch: pytest.MonkeyPatch, losses: dict[str, float]) -> SharedSearch[Network]:
    """Everything trained is the teacher here; only losses differ, by name, and are 1e-8 else."""

    def trained(students: list[Network], *_: object, name: str, **__: object) -> list[Imitation]:
        loss = losses.get(name, 1e-8)
        return [Imitation(each, loss, [(0, loss)], StopReason.STEPS) for each in students]

    monkeypatch.setattr(
        "expand_and_cluster.reconstruction.shared_search.train_by_muon",
        lambda students, data, how, **more: trained(students, **more),
    )
    monkeypatch.setattr(
        "expand_and_cluster.reconstruction.shared_search.with_spare_neurons",
        lambda known, *_: known,
    )
    how = MuonSettings(steps=1)
    return SharedSearch(
        TrainingData(ROWS, TEACHER(ROWS)), lambda _: TEACHER,
        SharedSettings(2, 0, 0.26, how, how, later=how),
        checkpoint=Checkpoint(None), report=silent,
    )  # fmt: skip


@pytest.mark.parametrize(("second", "best"), [(1e-6, 1), (1e-2, 0), (np.inf, 0)])
def test_a_later_round_counts_only_if_it_is_better(
    monkeypatch: pytest.MonkeyPatch, second: float, best: int
):
    losses = {"train what students share, round 1": 1e-4}
    losses["train what students share, round 2"] = second
    outcome = search_with(monkeypatch, losses).run()
    assert len(outcome.rounds) == 2
    assert outcome.loss == (1e-4, second)[best]
    assert outcome.shared is outcome.rounds[best].shared


def test_the_best_student_is_kept_where_what_they_share_diverges(monkeypatch: pytest.MonkeyPatch):
    outcome = search_with(monkeypatch, {"train what students share, round 1": np.inf}).run()
    assert len(outcome.rounds) == 1
    assert (outcome.loss, outcome.shared) == (1e-8, None)
    assert outcome.network is not None
