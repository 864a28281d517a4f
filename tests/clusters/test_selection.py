"""Every cluster is kept or rejected for the stated reason."""

from typing import Any

import numpy as np
import pytest
from tests.clusters.ensembles import ensemble
from tests.oracles import clusters as oracle

from expand_and_cluster.clusters.selection import median_angle, select
from expand_and_cluster.core.errors import InvalidInputError

RULES: dict[str, Any] = {
    "number_of_students": 10,
    "min_cluster_fraction": 0.5,
    "max_cluster_angle": np.pi / 6,
}


@pytest.mark.parametrize("sign_free", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_median_angle_by_brute_force(count, sign_free):
    rows = np.random.default_rng(count).normal(size=(count, 3))
    expected = 0.0 if count == 1 else oracle.median_angle(rows.tolist(), sign_free)
    assert median_angle(rows, sign_free=sign_free) == pytest.approx(expected, rel=1e-12)


def test_each_reason_carries_its_numbers():
    direction = np.array([1.0, 2.0, 3.0])
    rows = np.vstack(
        [np.tile(direction, (5, 1)), np.tile(-direction, (4, 1)), np.eye(3), np.eye(3)]
    )
    students = np.array([0, 1, 2, 3, 4, 5, 5, 5, 6, 0, 1, 2, 3, 4, 5])
    labels = np.array([0] * 5 + [1] * 4 + [2] * 6)
    selection = select(rows, students, labels, **RULES)
    assert [c.members.tolist() for c in selection.clusters] == [[0, 1, 2, 3, 4]]
    assert selection.clusters[0].students.tolist() == [0, 1, 2, 3, 4]
    assert selection.angles.tolist() == [0.0]
    assert selection.labels.tolist() == [0] * 5 + [-1] * 10
    assert [(r.members.tolist(), r.reason) for r in selection.rejected] == [
        ([5, 6, 7, 8], "supported by 2 of 10 students, fewer than the 5 required"),
        ([9, 10, 11, 12, 13, 14], "median angle 1.57 rad exceeds 0.524 rad"),
    ]


def test_signs_are_free_when_said():
    rows = np.outer([1, -1, 1, -1, 1], [1.0, 2.0])
    students, labels = np.arange(5), np.zeros(5, dtype=int)
    assert len(select(rows, students, labels, **RULES).clusters) == 0
    kept = select(rows, students, labels, **(RULES | {"sign_free": True})).clusters
    assert kept[0].angle == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_every_neuron_is_in_one_cluster(seed):
    case = ensemble(seed, "noisy")
    labels = np.random.default_rng(seed).integers(0, 9, size=len(case.vectors))
    rules: dict[str, Any] = RULES | {"number_of_students": case.number_of_students}
    selection = select(case.vectors, case.students, labels, **rules)
    members = [c.members for c in selection.clusters] + [c.members for c in selection.rejected]
    assert sorted(np.concatenate(members).tolist()) == list(range(len(labels)))
    for i, cluster in enumerate(selection.clusters):
        assert np.flatnonzero(selection.labels == i).tolist() == cluster.members.tolist()
    for rejected in selection.rejected:
        assert np.all(selection.labels[rejected.members] == -1)


def test_zero_vectors_are_no_neuron():
    selection = select(np.zeros((10, 3)), np.arange(10), np.zeros(10, dtype=int), **RULES)
    assert not selection.clusters
    assert "median angle" in selection.rejected[0].reason


def test_a_single_vector():
    rules: dict[str, Any] = RULES | {"number_of_students": 1}
    selection = select(np.ones((1, 3)), np.array([0]), np.array([0]), **rules)
    assert selection.clusters[0].angle == 0.0


@pytest.mark.parametrize(
    ("students", "labels", "changes", "words"),
    [
        ([0, 1], [0, 0, 0], {}, "students"),
        ([0, 1, 2], [0, 0], {}, "labels"),
        ([0, 1, 2], [0, 0, 0], {"number_of_students": 2}, "3 students"),
        ([0, 1, 2], [0, 0, 0], {"min_cluster_fraction": 2.0}, "share"),
        ([0, 1, 2], [0, 0, 0], {"max_cluster_angle": 60.0}, "radians"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_refuses(students, labels, changes, words):
    with pytest.raises(InvalidInputError, match=words):
        select(np.eye(3), np.array(students), np.array(labels), **(RULES | changes))
