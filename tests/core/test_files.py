"""Network files: our own, and those of other programs."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from expand_and_cluster.core.errors import FileFormatError, InvalidInputError
from expand_and_cluster.core.files import load_network, save_network
from expand_and_cluster.core.network import Network


def random_network(activation: Any = "tanh", *, skip=False, seed=0) -> Network:
    rng = np.random.default_rng(seed)
    layers = [(rng.normal(size=(4, 3)), rng.normal(size=4)), (rng.normal(size=(2, 4)), np.ones(2))]
    extra = (rng.normal(size=(2, 3)), np.ones(2)) if skip else None
    return Network.from_arrays(layers, activation, extra)


def softsign(z):
    return z / (1 + jnp.abs(z))


def same(one: Network, other: Network) -> bool:
    parts = [*zip(one.layers, other.layers, strict=True)]
    if one.skip is not None and other.skip is not None:
        parts.append((one.skip, other.skip))
    return (one.skip is None) == (other.skip is None) and all(
        np.array_equal(a.weight, b.weight) and np.array_equal(a.bias, b.bias) for a, b in parts
    )


@pytest.mark.parametrize("activation", ["tanh", "leaky_relu"])
def test_a_network_comes_back_bit_by_bit(tmp_path: Path, activation):
    for skip in (False, True):
        network = random_network(activation, skip=skip)
        network.save(tmp_path / "deep" / "n.safetensors")
        back = Network.load(tmp_path / "deep" / "n.safetensors")
        assert same(back, network)
        assert back.activation == network.activation
        assert back.layers[0].weight.dtype == np.float64


def test_an_ensemble_comes_back(tmp_path: Path):
    ensemble = Network.stack([random_network(seed=i, skip=True) for i in range(3)])
    save_network(ensemble, tmp_path / "e.safetensors")
    assert same(load_network(tmp_path / "e.safetensors"), ensemble)


def test_columns_in_memory_order_do_not_matter(tmp_path: Path):
    network = random_network()
    turned = Network.from_arrays(
        [(np.asfortranarray(layer.weight), layer.bias) for layer in network.layers], "tanh"
    )
    save_network(turned, tmp_path / "n.safetensors")
    assert same(load_network(tmp_path / "n.safetensors"), network)


@pytest.mark.parametrize("stem", ["", "layers.", "model.net.", "fc"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_files_of_other_programs(tmp_path: Path, stem, dtype):
    network = random_network()
    tensors = {}
    for number, layer in zip((2, 10), network.layers, strict=True):  # 10 comes after 2
        tensors[f"{stem}{number}.weight"] = np.asarray(layer.weight).astype(dtype)
        tensors[f"{stem}{number}.bias"] = np.asarray(layer.bias).astype(dtype)
    save_file(tensors, tmp_path / "n.safetensors")
    found = load_network(tmp_path / "n.safetensors", "relu")
    assert found.activation.name == "relu"
    assert found.widths == (3, 4, 2)
    for mine, theirs in zip(found.layers, network.layers, strict=True):
        np.testing.assert_array_equal(mine.weight, np.asarray(theirs.weight).astype(dtype))
    with pytest.raises(InvalidInputError, match="does not name its activation"):
        load_network(tmp_path / "n.safetensors")


def test_a_missing_bias_is_zero(tmp_path: Path):
    save_file(
        {"0.weight": np.ones((2, 3)), "1.weight": np.ones((1, 2))}, tmp_path / "n.safetensors"
    )
    network = load_network(tmp_path / "n.safetensors", "tanh")
    assert not np.any(network.layers[0].bias)


W, V = np.ones((4, 3)), np.ones((2, 4))


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({}, "0 stacks of layers"),
        ({"a.0.weight": W, "b.1.weight": V}, "2 stacks of layers"),
        ({"0.weight": W, "encoder": V}, "'encoder', which is no part"),
        ({"0.weight": np.ones((4, 3, 2, 2)), "1.weight": V}, r"layer 0 has a weight of shape"),
        ({"0.weight": W, "0.bias": np.ones(3), "1.weight": V}, r"but bias \(3,\)"),
        ({"0.bias": np.ones(3), "1.weight": V}, "layer 0 has no weight"),
        ({"0.weight": W, "1.weight": W}, "layer 1 takes 3 inputs but layer 0 gives 4"),
        ({"0.weight": W}, "at least two layers"),
        ({"0.weight": W * np.nan, "1.weight": V}, "NaN or infinity"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, tensors, sentence):
    save_file(tensors, tmp_path / "n.safetensors")
    with pytest.raises(FileFormatError, match=sentence):
        load_network(tmp_path / "n.safetensors", "tanh")


def test_missing_and_damaged_files_are_refused(tmp_path: Path):
    with pytest.raises(FileFormatError, match="there is no file"):
        load_network(tmp_path / "n.safetensors")
    (tmp_path / "n.safetensors").write_bytes(b"not a network at all")
    with pytest.raises(FileFormatError, match=r"not a readable \.safetensors file"):
        load_network(tmp_path / "n.safetensors")


def test_a_function_of_the_users_is_saved_only_by_name(tmp_path: Path):
    network, path = random_network(softsign), tmp_path / "n.safetensors"
    with pytest.raises(InvalidInputError, match="'softsign' is a function of your own"):
        network.save(path)
    assert not path.exists()
    save_network(network, path, by_name=True)
    assert same(load_network(path, softsign), network)
    with pytest.raises(InvalidInputError, match="give it again as activation"):
        load_network(path)
    with pytest.raises(InvalidInputError, match="its values differ"):
        load_network(path, jnp.tanh)


def test_a_function_named_like_a_catalogue_entry_is_no_catalogue_entry(tmp_path: Path):
    def tanh(z):
        return jnp.tanh(2 * z)

    with pytest.raises(InvalidInputError, match="'tanh' is a function of your own"):
        random_network(tanh).save(tmp_path / "n.safetensors")


def test_another_activation_than_the_files_is_refused(tmp_path: Path):
    random_network("tanh").save(tmp_path / "n.safetensors")
    assert load_network(tmp_path / "n.safetensors", "tanh").activation.name == "tanh"
    with pytest.raises(InvalidInputError, match="was saved with 'tanh'"):
        load_network(tmp_path / "n.safetensors", "relu")
