"""Every file that cannot be read is refused in one sentence."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from expand_and_cluster.cli.inputs import digest, read_array, read_network, read_pairs
from expand_and_cluster.core.errors import FileFormatError, InvalidInputError


def write(path: Path, content: str | bytes | np.ndarray | dict) -> Path:
    if isinstance(content, str):
        path.write_text(content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    else:
        np.save(path, content, allow_pickle=True)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "1,2\n3,4\n"),
        ("a.csv", "x,y\n1,2\n3,4\n"),
        ("a.csv", "\ufeff1,2\r\n3,4"),
        ("a.npy", np.array([[1, 2], [3, 4]])),
        ("a.npz", {"anything": np.array([[1.0, 2.0], [3.0, 4.0]])}),
    ],
)
def test_arrays(tmp_path: Path, name, content):
    found = read_array(write(tmp_path / name, content))
    np.testing.assert_array_equal(found, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", "1,2\n3\n", "ragged: row 2 has 1 columns, not 2"),
        ("a.csv", "x,y\n1,2\n3,4,5\n", "ragged: row 3 has 3 columns, not 2"),
        ("a.csv", "1,2\n3,four\n", "row 2, column 2 is 'four', not a number"),
        ("a.csv", "1;2\n3;4\n", "separated by commas"),
        ("a.csv", "", "holds no rows"),
        ("a.csv", "x,y\n", "holds no rows"),
        ("a.csv", b"\xff\xfe\x00", "not text in UTF-8"),
        ("a.txt", "1,2", r"unknown extension \.txt"),
        ("a", "1,2", r"unknown extension \(none\)"),
        ("a.npy", b"nonsense", r"not a readable \.npy file"),
        ("a.npz", b"nonsense", r"not a readable \.npz file"),
        ("a.npy", b"", r"not a readable \.npy file"),
        ("a.npy", np.array([{}], dtype=object), r"not a readable \.npy file"),
        ("a.npy", np.array(["one", "two"]), "does not hold real numbers"),
        ("a.npz", {"one": np.ones(1), "two": np.ones(1)}, r"holds 2 arrays \(one, two\)"),
    ],
)
def test_files_that_hold_no_array(tmp_path: Path, name, content, sentence):
    with pytest.raises(FileFormatError, match=sentence):
        read_array(write(tmp_path / name, content))


def test_missing_files_and_folders(tmp_path: Path):
    with pytest.raises(FileFormatError, match=r"there is no file .*a\.npy"):
        read_array(tmp_path / "a.npy")
    with pytest.raises(FileFormatError, match="is a folder"):
        read_array(tmp_path)
    with pytest.raises(FileFormatError, match=r"not a \.safetensors file"):
        read_network(write(tmp_path / "a.npy", np.ones(2)))


def test_pairs(tmp_path: Path):
    inputs, outputs = np.arange(6.0).reshape(3, 2), np.arange(3.0).reshape(3, 1)
    both = write(tmp_path / "a.npz", {"inputs": inputs, "outputs": outputs})
    rows = "\n".join(",".join(map(str, row)) for row in np.hstack([inputs, outputs]))
    table = write(tmp_path / "a.csv", rows)
    x, y = write(tmp_path / "x.npy", inputs), write(tmp_path / "y.npy", outputs)
    for pairs in (
        read_pairs(both, None, None, None),
        read_pairs(table, None, None, 1),
        read_pairs(None, x, y, None),
    ):
        np.testing.assert_array_equal(pairs.inputs, inputs)
        np.testing.assert_array_equal(pairs.outputs, outputs)


def test_pairs_that_are_none(tmp_path: Path):
    table = write(tmp_path / "a.csv", "1,2,3\n4,5,6\n")
    x = write(tmp_path / "x.npy", np.ones((3, 2)))
    one = write(tmp_path / "a.npz", {"inputs": np.ones((2, 2)), "y": np.ones(2)})
    cases = [
        ((table, None, None, None), "say with --output-columns how many"),
        ((table, None, None, 3), r"\(1 to 2\)"),
        ((one, None, None, None), "no array 'outputs'; it holds inputs, y"),
        ((x, None, None, None), "cannot hold both questions and answers"),
        ((None, x, None, None), "--inputs needs --outputs"),
        ((None, None, x, None), "--outputs needs --inputs"),
    ]
    for arguments, sentence in cases:
        with pytest.raises(FileFormatError, match=sentence):
            read_pairs(*arguments)
    with pytest.raises(InvalidInputError):
        read_pairs(None, x, write(tmp_path / "y.npy", np.ones((4, 1))), None)


def test_a_model_with_weights_in_a_file_beside_it_is_told_by_both(tmp_path: Path):
    model, weights = tmp_path / "model[1].onnx", tmp_path / "model[1].onnx.data"
    (tmp_path / "model.onnx").write_bytes(b"another model")
    (tmp_path / "model[1].onnx-seed0").mkdir()  # as a run's folder may be named
    model.write_bytes(b"graph")
    alone = digest(model)
    assert alone == f"sha256:{hashlib.sha256(b'graph').hexdigest()[:16]}"
    weights.write_bytes(b"first")
    first = digest(model)
    weights.write_bytes(b"second")
    assert len({alone, first, digest(model)}) == 3
    weights.write_bytes(b"first")
    assert digest(model) == first
