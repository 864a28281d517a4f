"""Networks for other programs: ONNX files and PyTorch modules.

Both need packages that the library itself does not; they are imported only when asked for.
"""

from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from expand_and_cluster.core.activations import catalogue, in_catalogue
from expand_and_cluster.core.checkpoint import write_atomically
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.extras import need
from expand_and_cluster.core.network import Layer, Network

Precision = Literal["float64", "float32"]


def to_onnx(
    network: Network, path: str | PathLike[str], *, precision: Precision = "float64"
) -> None:
    """Write a network as an ONNX file with any number of rows.

    The model takes `inputs` (samples, d_in) and gives `outputs` (samples, d_out). It uses only
    operators that ONNX Runtime has in both precisions.

    Args:
        network: A single network with an activation of the catalogue.
        path: The file; written whole or not at all.
        precision: "float64", or "float32" for programs that know nothing wider.

    Raises:
        InvalidInputError: The network is an ensemble, its activation is a function of the user's,
            or the precision is unknown.
        EacError: The package `onnx` is missing.
    """
    _check(network, "ONNX")
    if precision not in ("float64", "float32"):
        raise InvalidInputError(f"precision must be 'float64' or 'float32', not {precision!r}.")
    need("onnx", "onnx")
    from expand_and_cluster.core.onnx_graph import model_of

    write_atomically(Path(path), model_of(network, np.dtype(precision)).SerializeToString())


def to_torch(network: Network) -> Any:
    """A `torch.nn.Sequential` of linear layers and activations, in float64.

    A network with a skip becomes a small module that adds an affine map of the input to it.

    Args:
        network: A single network with an activation of the catalogue.

    Raises:
        InvalidInputError: The network is an ensemble, or its activation is a function of the
            user's.
        EacError: The package `torch` is missing.
    """
    _check(network, "PyTorch")
    torch = need("torch", "torch")
    from expand_and_cluster.core.torch_modules import WithSkip, activation_module

    def linear(layer: Layer) -> Any:
        outputs, inputs = layer.weight.shape
        made = torch.nn.Linear(inputs, outputs, dtype=torch.float64)
        with torch.no_grad():
            made.weight.copy_(torch.from_numpy(np.array(layer.weight, dtype=np.float64)))
            made.bias.copy_(torch.from_numpy(np.array(layer.bias, dtype=np.float64)))
        return made

    parts = []
    for layer in network.layers[:-1]:
        parts += [linear(layer), activation_module(network.activation)]
    stack = torch.nn.Sequential(*parts, linear(network.layers[-1]))
    return stack if network.skip is None else WithSkip(stack, linear(network.skip))


def _check(network: Network, target: str) -> None:
    if network.students is not None:
        raise InvalidInputError(
            f"an ensemble of {network.students} students cannot be written as one {target} "
            "network; take one with network.student(i)."
        )
    name = network.activation.name
    if not in_catalogue(network.activation):
        raise InvalidInputError(
            f"activation {name!r} is a function of your own, which {target} does not know; only "
            f"{', '.join(catalogue)} can be exported."
        )
