"""Model files answer as the networks in them."""

import sys
from pathlib import Path

import numpy as np
import pytest

from expand_and_cluster.cli.oracles import Model, open_model, size_of
from expand_and_cluster.core.errors import EacError, FileFormatError, InvalidInputError
from expand_and_cluster.core.network import Network

ROWS = np.random.default_rng(3).normal(size=(7, 4))


@pytest.fixture
def network() -> Network:
    rng = np.random.default_rng(0)
    return Network.from_arrays(
        [(rng.normal(size=(5, 4)), rng.normal(size=5)), (rng.normal(size=(2, 5)), np.ones(2))],
        "tanh",
    )


def test_safetensors(tmp_path: Path, network):
    network.save(tmp_path / "m.safetensors")
    # The activation given is for files that name none.
    model = open_model(tmp_path / "m.safetensors", "relu")
    assert model.input_size == 4
    np.testing.assert_array_equal(model.function(ROWS), network(ROWS))


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_onnx(tmp_path: Path, network, precision):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    network.to_onnx(tmp_path / "m.onnx", precision=precision)
    model = open_model(tmp_path / "m.onnx")
    assert model.input_size == 4
    answers = model.function(ROWS)
    assert answers.dtype == np.float64
    np.testing.assert_allclose(answers, network(ROWS), atol={"float64": 1e-14}.get(precision, 1e-5))


def test_onnx_for_images_one_at_a_time(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    h = onnx.helper
    ports = [
        h.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", [2, 1, 2, 2]), ("y", [2, 4]))
    ]
    graph = h.make_graph([h.make_node("Flatten", ["x"], ["y"])], "g", ports[:1], ports[1:])
    onnx.save(
        h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8),
        tmp_path / "m.onnx",
    )
    model = open_model(tmp_path / "m.onnx")
    assert model.input_size == 4
    np.testing.assert_allclose(model.function(ROWS), ROWS, atol=1e-6)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_torch(tmp_path: Path, network, double):
    torch = pytest.importorskip("torch")
    module = network.to_torch() if double else network.to_torch().float()
    example = torch.from_numpy(ROWS if double else ROWS.astype(np.float32))
    torch.jit.save(torch.jit.trace(module, example), tmp_path / "script.pt")
    rows = torch.export.Dim("rows")
    torch.export.save(
        torch.export.export(module, (example,), dynamic_shapes=({0: rows},)), tmp_path / "free.pt2"
    )
    torch.export.save(torch.export.export(module, (example[:2],)), tmp_path / "fixed.pt2")
    for name in ("script.pt", "free.pt2", "fixed.pt2"):
        model = open_model(tmp_path / name)
        assert model.input_size == 4
        np.testing.assert_allclose(
            model.function(ROWS), network(ROWS), atol=1e-14 if double else 1e-5
        )
    torch.save(module, tmp_path / "pickle.pt")
    with pytest.raises(FileFormatError, match="neither TorchScript nor an exported program"):
        open_model(tmp_path / "pickle.pt")


@pytest.mark.parametrize(("package", "name"), [("onnxruntime", "m.onnx"), ("torch", "m.pt")])
def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch, package, name):
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EacError, match=r"pip install 'expand-and-cluster\[(onnx|torch)\]'"):
        open_model(tmp_path / name)


def test_what_is_no_model(tmp_path: Path):
    with pytest.raises(FileFormatError, match="there is no file"):
        open_model(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes(b"nonsense")
    pytest.importorskip("onnxruntime")
    with pytest.raises(FileFormatError, match="cannot be run as an ONNX model"):
        open_model(tmp_path / "m.onnx")


def test_size_of():
    def function(rows: np.ndarray) -> np.ndarray:
        return rows

    path = Path("m.pt")
    assert size_of(Model(function, 4), None, path) == 4
    assert size_of(Model(function, None), 4, path) == 4
    with pytest.raises(InvalidInputError, match="give --input-size"):
        size_of(Model(function, None), None, path)
    with pytest.raises(InvalidInputError, match="--input-size is 5, but"):
        size_of(Model(function, 4), 5, path)
