"""A network as an ONNX graph; imported only where the package `onnx` is installed.

ONNX Runtime has Softplus, Elu, Selu, LeakyRelu and Erf in single precision only, so the
activations are built from operators that it has in double precision too.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from onnx import checker, helper, numpy_helper  # pyright: ignore[reportMissingImports]
from scipy.special import erfcx

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.activations import LEAK, SELU_ALPHA, SELU_SCALE
from expand_and_cluster.core.network import Layer, Network

OPSET = 17  # old enough for every runtime in use, new enough for float64 in Max and Relu
IR_VERSION = 8


def model_of(network: Network, dtype: np.dtype) -> Any:
    """The ONNX model of a network whose activation is in the catalogue."""
    graph = _Graph(dtype)
    values = "inputs"
    for layer in network.layers[:-1]:
        values = _activated(graph, graph.affine(values, layer), network.activation, len(layer.bias))
    values = graph.affine(values, network.layers[-1])
    if network.skip is not None:
        values = graph.op("Add", values, graph.affine("inputs", network.skip))
    graph.op("Identity", values, output="outputs")
    kind = helper.np_dtype_to_tensor_dtype(dtype)

    def port(name: str, size: int) -> Any:
        return helper.make_tensor_value_info(name, kind, ["samples", size])

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "network",
            [port("inputs", network.input_size)],
            [port("outputs", network.output_size)],
            graph.constants,
        ),
        producer_name="expand-and-cluster",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    checker.check_model(model)
    return model


class _Graph:
    """Nodes and constants under construction, with fresh names."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype=self.dtype), name))
        return name

    def op(self, kind: str, *inputs: str | float, output: str | None = None, **how: Any) -> str:
        """Add a node; numbers among its inputs become constants."""
        names = [item if isinstance(item, str) else self.constant(item) for item in inputs]
        output = output or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], **how))
        return output

    def affine(self, values: str, layer: Layer) -> str:
        weight, bias = self.constant(layer.weight), self.constant(layer.bias)
        return self.op("Gemm", values, weight, bias, transB=1)


def _activated(graph: _Graph, z: str, activation: Activation, width: int) -> str:
    """Activations of a layer; of a mixture, each kind on all neurons and only its own kept."""
    own = [activation.of(neuron) for neuron in range(width)]
    parts = []
    for kind in dict.fromkeys(own):
        mask = np.array([each == kind for each in own])
        values = _ACTIVATIONS[kind.name](graph, z)
        parts.append(values if mask.all() else graph.op("Mul", values, graph.constant(mask)))
    return functools.reduce(lambda one, other: graph.op("Add", one, other), parts)


def _softplus(graph: _Graph, z: str) -> str:
    decay = graph.op("Exp", graph.op("Neg", graph.op("Abs", z)))
    return graph.op("Add", graph.op("Max", z, 0.0), graph.op("Log", graph.op("Add", decay, 1.0)))


def _g(graph: _Graph, z: str) -> str:
    return graph.op("Add", _softplus(graph, z), graph.op("Sigmoid", graph.op("Mul", z, 4.0)))


def _silu(graph: _Graph, z: str) -> str:
    return graph.op("Mul", z, graph.op("Sigmoid", z))


def _mish(graph: _Graph, z: str) -> str:
    return graph.op("Mul", z, graph.op("Tanh", _softplus(graph, z)))


def _elu(graph: _Graph, z: str, alpha: float = 1.0) -> str:
    # exp(z) - 1 = 2 t / (1 - t) with t = tanh(z / 2): no digits are lost near zero.
    half = graph.op("Tanh", graph.op("Mul", graph.op("Min", z, 0.0), 0.5))
    low = graph.op("Div", graph.op("Mul", half, 2.0 * alpha), graph.op("Sub", 1.0, half))
    return graph.op("Add", graph.op("Max", z, 0.0), low)


def _selu(graph: _Graph, z: str) -> str:
    return graph.op("Mul", _elu(graph, z, SELU_ALPHA), SELU_SCALE)


def _gelu(graph: _Graph, z: str) -> str:
    if graph.dtype == np.float32:
        erf = graph.op("Erf", graph.op("Mul", z, np.sqrt(0.5)))
        return graph.op("Mul", graph.op("Mul", z, 0.5), graph.op("Add", erf, 1.0))
    # The normal distribution's lower tail at -|z|, mirrored for positive z.
    size = graph.op("Mul", graph.op("Abs", z), np.sqrt(0.5))
    tail = graph.op("Mul", _scaled_erfc(graph, size), 0.5)
    tail = graph.op("Mul", tail, graph.op("Exp", graph.op("Neg", graph.op("Mul", size, size))))
    below = graph.op("Where", graph.op("Less", z, 0.0), tail, graph.op("Sub", 1.0, tail))
    return graph.op("Mul", z, below)


def _scaled_erfc(graph: _Graph, size: str) -> str:
    """`exp(x**2) erfc(x)` for x >= 0 as a Chebyshev series in (x - 2) / (x + 2).

    The change of variable makes the function smooth up to infinity: 32 terms reach rounding.
    """
    middle = 2.0
    # At t = 1, where x is infinite, the function is zero.
    series = chebyshev.chebinterpolate(lambda t: erfcx(middle * (1 + t) / (1 - t)), 31)
    t = graph.op("Div", graph.op("Sub", size, middle), graph.op("Add", size, middle))
    twice = graph.op("Mul", t, 2.0)
    last, before = graph.constant(0.0), graph.constant(0.0)
    for coefficient in series[:0:-1]:  # Clenshaw's recurrence
        step = graph.op("Sub", graph.op("Mul", twice, last), before)
        last, before = graph.op("Add", step, float(coefficient)), last
    return graph.op("Add", graph.op("Sub", graph.op("Mul", t, last), before), float(series[0]))


_ACTIVATIONS: dict[str, Callable[[_Graph, str], str]] = {
    "g": _g,
    "tanh": lambda graph, z: graph.op("Tanh", z),
    "sigmoid": lambda graph, z: graph.op("Sigmoid", z),
    "softplus": _softplus,
    "relu": lambda graph, z: graph.op("Max", z, 0.0),
    "leaky_relu": lambda graph, z: graph.op("Max", z, graph.op("Mul", z, LEAK)),
    "gelu": _gelu,
    "silu": _silu,
    "mish": _mish,
    "selu": _selu,
    "elu": _elu,
}
