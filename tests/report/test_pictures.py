import dataclasses

import pytest
from tests.report.fakes import fake_recovery

from expand_and_cluster.core.errors import FileFormatError
from expand_and_cluster.core.strict_json import dumps
from expand_and_cluster.report import NeuronDistances, pictures, write_pictures

NAMES = ["losses", "expansion", "dendrogram", "similarity", "neurons"]
DISTANCES = {
    "teacher_index": [0, 1, 2, 3],
    "distance": [1e-15, 0.0, 1e-14, 1.0],
    "flipped": [False] * 4,
    "output_norm": [1.0, 2.0, 3.0, 4.0],
    "excess_output_norms": [0.01],
}


def test_every_picture_of_a_run_is_written(tmp_path):
    fake_recovery().save(tmp_path)
    written = write_pictures(tmp_path)
    assert [p.stem for p in written] == NAMES
    assert sorted((tmp_path / "pictures").iterdir()) == sorted(written)
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in written)


def test_missing_evidence_leaves_its_picture_out(tmp_path):
    bare = dataclasses.replace(fake_recovery(), expansion=None, clustering=None, neurons=())
    bare.save(tmp_path)
    assert [p.name for p in write_pictures(tmp_path)] == ["losses.png"]


def test_a_recovery_at_hand_is_not_read_again(tmp_path):
    written = write_pictures(tmp_path, recovery=fake_recovery(students=3, width=5))
    assert [p.stem for p in written] == NAMES


@pytest.fixture
def plain_run(tmp_path):
    """A run folder without an expansion or a clustering to draw."""
    dataclasses.replace(fake_recovery(), expansion=None, clustering=None).save(tmp_path)
    return tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """Which of the two pictures of neurons was drawn."""
    calls = []
    for name in ("draw_teacher_distances", "draw_agreement"):
        draw = getattr(pictures, name)

        def watch(*args, _draw=draw, _name=name, **more):
            calls.append(_name)
            return _draw(*args, **more)

        monkeypatch.setattr(pictures, name, watch)
    return calls


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (None, "draw_agreement"),
        ({"missing": 0}, "draw_agreement"),
        ({"missing": 0, "neurons": {"layer": [0]} | DISTANCES}, "draw_teacher_distances"),
    ],
)
def test_the_comparison_file_decides_the_picture_of_neurons(plain_run, drawn, comparison, expected):
    if comparison is not None:
        (plain_run / "comparison.json").write_text(dumps(comparison))
    write_pictures(plain_run)
    assert drawn == [expected]


def test_a_comparison_can_be_given(plain_run, drawn):
    write_pictures(plain_run, comparison=NeuronDistances.from_json(DISTANCES))
    assert drawn == ["draw_teacher_distances"]


def test_a_damaged_comparison_is_named(plain_run):
    (plain_run / "comparison.json").write_text("{")
    with pytest.raises(FileFormatError, match=r"comparison\.json is not strict JSON"):
        write_pictures(plain_run)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(FileFormatError, match="holds no finished recovery"):
        write_pictures(tmp_path)
