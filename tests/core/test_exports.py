"""Exports agree with the network itself to rounding."""

import itertools
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.errors import EacError, InvalidInputError
from expand_and_cluster.core.exports import Precision
from expand_and_cluster.core.network import Network


def random_network(activation, *, skip=False, widths=(3, 5, 4, 2)):
    rng = np.random.default_rng(7)
    layers = [
        (3 * rng.normal(size=(o, i)), rng.normal(size=o)) for i, o in itertools.pairwise(widths)
    ]
    extra = (rng.normal(size=(widths[-1], widths[0])), rng.normal(size=widths[-1]))
    return Network.from_arrays(layers, activation, extra if skip else None)


INPUTS = np.random.default_rng(1).normal(size=(200, 3)) * np.geomspace(1e-3, 5, 200)[:, None]


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", list(catalogue))
def test_onnx_gives_the_same_outputs(tmp_path, activation, skip):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    network = random_network(activation, skip=skip)
    expected = network(INPUTS)
    scale = np.abs(expected).max()
    tolerances: dict[Precision, float] = {"float64": 2e-14, "float32": 2e-5}
    for precision, tolerance in tolerances.items():
        path = tmp_path / f"{precision}.onnx"
        network.to_onnx(path, precision=precision)
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"inputs": INPUTS.astype(precision)})
        assert found.dtype == precision
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


def mixed_network():
    """One neuron of every activation of the catalogue, twice."""
    kinds = 2 * tuple(catalogue)
    rng = np.random.default_rng(8)
    layers = [(rng.normal(size=(len(kinds), 3)), rng.normal(size=len(kinds)))]
    return Network.from_arrays([*layers, (rng.normal(size=(2, len(kinds))), [0.1, 0.2])], kinds)


def test_a_mixture_gives_the_same_outputs_in_onnx(tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    network = mixed_network()
    network.to_onnx(tmp_path / "mixed.onnx")
    session = runtime.InferenceSession(
        str(tmp_path / "mixed.onnx"), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"inputs": INPUTS})
    np.testing.assert_allclose(found, network(INPUTS), rtol=0, atol=1e-12)


def test_a_mixture_gives_the_same_outputs_in_torch():
    torch = pytest.importorskip("torch")
    network = mixed_network()
    with torch.no_grad():
        found = network.to_torch()(torch.from_numpy(INPUTS)).numpy()
    np.testing.assert_allclose(found, network(INPUTS), rtol=0, atol=1e-12)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", list(catalogue))
def test_torch_gives_the_same_outputs(activation, skip):
    torch = pytest.importorskip("torch")
    network = random_network(activation, skip=skip)
    module = network.to_torch()
    assert skip or isinstance(module, torch.nn.Sequential)
    expected = network(INPUTS)
    with torch.no_grad():
        found = module(torch.from_numpy(INPUTS)).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-14 * np.abs(expected).max())


def test_torch_module_owns_its_weights():
    torch = pytest.importorskip("torch")
    network = random_network("tanh")
    before = network.layers[0].weight.copy()
    with torch.no_grad():
        network.to_torch()[0].weight.zero_()
    np.testing.assert_array_equal(network.layers[0].weight, before)


def softsign(z):
    return z / (1 + jnp.abs(z))


@pytest.mark.parametrize("export", [lambda n, p: n.to_onnx(p), lambda n, p: n.to_torch()])
def test_what_cannot_be_exported_is_refused(tmp_path, export):
    with pytest.raises(InvalidInputError, match="'softsign' is a function of your own"):
        export(random_network(softsign), tmp_path / "x.onnx")
    ensemble = Network.stack([random_network("tanh")] * 2)
    with pytest.raises(InvalidInputError, match=r"network\.student\(i\)"):
        export(ensemble, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("unchecked")
def test_unknown_precision_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="precision must be 'float64' or 'float32'"):
        random_network("tanh").to_onnx(tmp_path / "x.onnx", precision="float16")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("package", "export"),
    [("onnx", lambda n, p: n.to_onnx(p)), ("torch", lambda n, p: n.to_torch())],
)
def test_a_missing_package_names_its_extra(monkeypatch, tmp_path, package, export):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EacError, match=rf"pip install 'expand-and-cluster\[{package}\]'"):
        export(random_network("tanh"), tmp_path / "x.onnx")
