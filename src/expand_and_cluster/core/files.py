"""Networks as .safetensors files: our own, and plain stacks of linear layers of other people."""

import json
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.activations import ActivationLike, in_catalogue, named, resolve
from expand_and_cluster.core.checkpoint import Arrays, write_atomically
from expand_and_cluster.core.errors import FileFormatError, InvalidInputError
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import double

FORMAT = "expand-and-cluster network 1"
# Values at these points tell whether a function given later is the one a network was saved with.
_PROBES = (-3.1, -0.7, 0.2, 1.3, 4.4)
_TOLERANCE = 1e-9
_KEY = re.compile(r"(?P<stem>.*?)(?P<index>\d+)\.(?P<part>weight|bias)")


def save_network(network: Network, path: str | PathLike[str], *, by_name: bool = False) -> None:
    """Write a network or an ensemble to a .safetensors file, whole or not at all.

    Args:
        network: What to write, in double precision.
        path: The file; its folder is created.
        by_name: Also accept an activation that is a function of the user's. The file then holds
            only its name and a few of its values, and reading it needs the function.

    Raises:
        InvalidInputError: The activation is not in the catalogue and `by_name` is not set.
    """
    activation = network.activation
    known = in_catalogue(activation)
    if not known and not by_name:
        raise InvalidInputError(
            f"activation {activation.name!r} is a function of your own, which a network file "
            "cannot hold; save the weights of network.layers yourself."
        )
    metadata = {
        "format": FORMAT,
        "activation": activation.name,
        "widths": json.dumps(network.widths),
        "skip": json.dumps(network.skip is not None),
    }
    if not known:
        metadata["activation_values"] = json.dumps(_values(activation))
    arrays: Arrays = {}
    for i, layer in enumerate(network.layers):
        arrays |= _named(f"layers.{i}", layer)
    if network.skip is not None:
        arrays |= _named("skip", network.skip)
    write_atomically(Path(path), save_tensors(arrays, metadata=metadata))


def load_network(path: str | PathLike[str], activation: ActivationLike | None = None) -> Network:
    """Read a network from a .safetensors file.

    Besides the library's own files, a stack of linear layers is accepted: keys such as
    `layers.0.weight` or `0.weight`, `2.weight` (a `torch.nn.Sequential`), weights of shape
    (out, in), in the order of their numbers. A layer without a bias gets zeros.

    Args:
        path: The file.
        activation: Needed for files that do not name one: those of other programs, and networks
            whose activation is a function of your own.

    Raises:
        FileFormatError: The file is missing or holds no such network.
        InvalidInputError: An activation is needed, or is not the one the file names.
    """
    place = Path(path)
    metadata, arrays = _read(place)
    ours = metadata.get("format") == FORMAT
    chosen = _activation_of(place, metadata if ours else {}, activation)
    skip = None
    if ours and "skip.weight" in arrays:
        skip = Layer(arrays.pop("skip.weight"), arrays.pop("skip.bias"))
    layers = _stack(place, arrays)
    if ours and all(layer.weight.ndim == 3 for layer in layers):
        return Network(layers, chosen, skip)  # an ensemble, written as it was
    try:
        return Network.from_arrays(
            [(layer.weight, layer.bias) for layer in layers],
            chosen,
            None if skip is None else (skip.weight, skip.bias),
        )
    except InvalidInputError as error:
        raise FileFormatError(f"{place} holds no usable network: {error}") from error


def _named(name: str, layer: Layer) -> Arrays:
    return {
        f"{name}.{part}": np.array(getattr(layer, part), dtype=np.float64, order="C")
        for part in ("weight", "bias")
    }


def _read(path: Path) -> tuple[Mapping[str, str], Arrays]:
    if not path.is_file():
        raise FileFormatError(f"there is no file {path}.")
    try:
        with safe_open(path, framework="np") as file:
            arrays = {key: np.asarray(file.get_tensor(key), np.float64) for key in file.keys()}  # noqa: SIM118  (not a dict)
            return file.metadata() or {}, arrays
    except (SafetensorError, TypeError, ValueError) as error:
        raise FileFormatError(f"{path} is not a readable .safetensors file ({error}).") from error


def _activation_of(
    path: Path, metadata: Mapping[str, str], given: ActivationLike | None
) -> Activation:
    name = metadata.get("activation")
    if given is None:
        if name is None:
            raise InvalidInputError(
                f"{path} does not name its activation; give one, for example activation='tanh'."
            )
        if "activation_values" in metadata:
            raise InvalidInputError(
                f"{path} was saved with activation {name!r}, a function of your own that a file "
                "cannot hold; give it again as activation=..."
            )
        found = named(name)
        if found is None:
            raise FileFormatError(
                f"{path} names activation {name!r}, which this version does not know."
            )
        return found
    activation = resolve(given)
    if "activation_values" in metadata:
        expected = np.array(json.loads(metadata["activation_values"]))
        if not np.allclose(_values(activation), expected, rtol=_TOLERANCE, atol=_TOLERANCE):
            raise InvalidInputError(
                f"activation {activation.name!r} is not the {name!r} that {path} was saved with: "
                "its values differ."
            )
    elif name is not None and named(name) != activation:
        raise InvalidInputError(
            f"activation {activation.name!r} was given, but {path} was saved with {name!r}; "
            "leave it out."
        )
    return activation


def values_of_own(activation: Activation | None) -> list[str] | None:
    """What tells a function of the user's from others of its name; None for the catalogue's."""
    if activation is None or in_catalogue(activation):
        return None
    # Written out: not a number equals itself then, and the last digits are the machine's.
    return [f"{value:.9g}" for value in _values(activation)]


def _values(activation: Activation) -> list[float]:
    with double():
        return np.asarray(activation(jnp.asarray(_PROBES)), dtype=np.float64).tolist()


def _stack(path: Path, arrays: Arrays) -> tuple[Layer, ...]:
    found: dict[int, dict[str, np.ndarray]] = {}
    stems: set[str] = set()
    for key, array in arrays.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise FileFormatError(
                f"{path} holds {key!r}, which is no part of a stack of linear layers; expected "
                "keys such as 'layers.0.weight' and 'layers.0.bias'."
            )
        stems.add(match["stem"])
        found.setdefault(int(match["index"]), {})[match["part"]] = array
    if len(stems) != 1:
        raise FileFormatError(
            f"{path} holds {len(stems)} stacks of layers ({', '.join(sorted(stems)) or 'none'}); "
            "expected one."
        )
    return tuple(_linear(path, index, found[index]) for index in sorted(found))


def _linear(path: Path, index: int, parts: dict[str, np.ndarray]) -> Layer:
    weight = parts.get("weight")
    if weight is None or weight.ndim not in (2, 3):
        shape = "no weight" if weight is None else f"a weight of shape {weight.shape}"
        raise FileFormatError(
            f"{path}: layer {index} has {shape}; expected a linear layer's (out, in)."
        )
    bias = parts.get("bias", np.zeros(weight.shape[:-1]))
    if bias.shape != weight.shape[:-1]:
        raise FileFormatError(
            f"{path}: layer {index} has weight {weight.shape} but bias {bias.shape}; expected "
            f"{weight.shape[:-1]}."
        )
    return Layer(weight, bias)
