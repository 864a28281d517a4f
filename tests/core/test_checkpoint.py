"""A stage is on disk whole or not at all."""

import os

import numpy as np
import pytest
from safetensors.numpy import save

from expand_and_cluster.core.checkpoint import Checkpoint, write_atomically
from expand_and_cluster.core.errors import FileFormatError

ARRAYS = {
    "matrix": np.arange(12.0).reshape(3, 4).T,  # not contiguous
    "labels": np.array([3, -1, 2]),
    "mask": np.array([True, False]),
    "scalar": np.array(1.5),
    "empty": np.zeros((0, 4)),
    "special": np.array([np.nan, np.inf, -0.0, 5e-324]),
}
META = {"stage": "train students", "steps": 12, "stops": ["a", "b"], "nothing": None}


def test_what_is_saved_comes_back(tmp_path):
    Checkpoint(tmp_path / "deep" / "folder").save("fit", ARRAYS, META)
    loaded = Checkpoint(str(tmp_path / "deep" / "folder")).load("fit")
    assert loaded is not None
    arrays, meta = loaded
    assert meta == META
    assert arrays.keys() == ARRAYS.keys()
    for name, expected in ARRAYS.items():
        assert arrays[name].dtype == expected.dtype
        assert arrays[name].shape == expected.shape
        assert arrays[name].tobytes() == expected.tobytes()


def test_unknown_names_are_none(tmp_path):
    assert Checkpoint(tmp_path).load("fit") is None
    assert Checkpoint(tmp_path / "missing").load("fit") is None
    assert list(tmp_path.iterdir()) == []


def test_no_folder_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = Checkpoint(None)
    checkpoint.save("fit", ARRAYS, META)
    assert checkpoint.load("fit") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, step, error):
    checkpoint = Checkpoint(tmp_path)
    checkpoint.save("fit", {"x": np.array([1.0])}, {"round": 1})

    def fail(*_):
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(os, step, fail)
        with pytest.raises(error):
            checkpoint.save("fit", {"x": np.array([2.0])}, {"round": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["fit.safetensors"]
    loaded = checkpoint.load("fit")
    assert loaded is not None
    assert loaded[1] == {"round": 1}
    assert loaded[0]["x"].tolist() == [1.0]


def test_a_later_save_replaces(tmp_path):
    checkpoint = Checkpoint(tmp_path)
    for i in range(3):
        checkpoint.save("fit", {"x": np.full(4, float(i))}, {"round": i})
    loaded = checkpoint.load("fit")
    assert loaded is not None
    assert loaded[1] == {"round": 2}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a file of ours",
        save({"x": np.ones(2)}),  # without what we add
        save({"__meta__": np.frombuffer(b"{broken", dtype=np.uint8)}),
    ],
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "fit.safetensors").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"fit\.safetensors .*remove it"):
        Checkpoint(tmp_path).load("fit")


def test_half_a_file_is_refused(tmp_path):
    Checkpoint(tmp_path).save("fit", ARRAYS, META)
    path = tmp_path / "fit.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(FileFormatError):
        Checkpoint(tmp_path).load("fit")


def test_write_makes_the_folder(tmp_path):
    write_atomically(tmp_path / "a" / "b.txt", b"text")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"text"
