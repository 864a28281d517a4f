"""Recover the weights of a neural network from its inputs and outputs.

Names are loaded when they are first used, so that `expand-and-cluster --help` does not wait for
JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from expand_and_cluster import datasets as datasets
    from expand_and_cluster import teachers as teachers
    from expand_and_cluster.convolutions import ConvRecovery, recover_convolutions
    from expand_and_cluster.core.activations import Activation as Activation
    from expand_and_cluster.core.activations import catalogue as activations
    from expand_and_cluster.core.conv_geometry import Conv, Convolutional
    from expand_and_cluster.core.conv_layer import ConvLayer
    from expand_and_cluster.core.conv_network import ConvNetwork
    from expand_and_cluster.core.errors import (
        EacError,
        FileFormatError,
        InterruptedRecoveryError,
        InvalidInputError,
        OracleError,
        QueryBudgetError,
    )
    from expand_and_cluster.core.network import Layer, Network
    from expand_and_cluster.core.progress import Progress
    from expand_and_cluster.pipeline import recover
    from expand_and_cluster.queries.masks import boruta_mask, spectrum_mask
    from expand_and_cluster.queries.pairs import QueryPairs
    from expand_and_cluster.queries.samplers import Gaussian, Pool, Uniform
    from expand_and_cluster.reconstruction.reduce import Reduction, reduce
    from expand_and_cluster.recovery import NeuronRecord, Recovery, Rejection, Verdict, load
    from expand_and_cluster.scoring.compare import Comparison, compare
    from expand_and_cluster.scoring.compare_channels import ChannelComparison, compare_channels
    from expand_and_cluster.symmetries.canonical import canonical
    from expand_and_cluster.symmetries.classify import (
        Classification,
        ClassifiedNeuron,
        classify,
    )
    from expand_and_cluster.symmetries.kinds import NeuronType
    from expand_and_cluster.symmetries.shared_logits import centre_outputs

_HOME = {
    "Activation": "core.activation",
    "ChannelComparison": "scoring.compare_channels",
    "Classification": "symmetries.classify",
    "ClassifiedNeuron": "symmetries.classify",
    "Comparison": "scoring.compare",
    "Conv": "core.conv_geometry",
    "ConvLayer": "core.conv_layer",
    "ConvNetwork": "core.conv_network",
    "ConvRecovery": "convolutions",
    "Convolutional": "core.conv_geometry",
    "EacError": "core.errors",
    "FileFormatError": "core.errors",
    "Gaussian": "queries.samplers",
    "InterruptedRecoveryError": "core.errors",
    "InvalidInputError": "core.errors",
    "Layer": "core.network",
    "Network": "core.network",
    "NeuronRecord": "recovery",
    "NeuronType": "symmetries.kinds",
    "OracleError": "core.errors",
    "Pool": "queries.samplers",
    "Progress": "core.progress",
    "QueryBudgetError": "core.errors",
    "QueryPairs": "queries.pairs",
    "Recovery": "recovery",
    "Reduction": "reconstruction.reduce",
    "Rejection": "recovery",
    "Uniform": "queries.samplers",
    "Verdict": "recovery",
    "boruta_mask": "queries.masks",
    "canonical": "symmetries.canonical",
    "centre_outputs": "symmetries.shared_logits",
    "classify": "symmetries.classify",
    "compare": "scoring.compare",
    "compare_channels": "scoring.compare_channels",
    "load": "recovery",
    "recover": "pipeline",
    "recover_convolutions": "convolutions",
    "reduce": "reconstruction.reduce",
    "spectrum_mask": "queries.masks",
}

__all__ = [
    "Activation",
    "ChannelComparison",
    "Classification",
    "ClassifiedNeuron",
    "Comparison",
    "Conv",
    "ConvLayer",
    "ConvNetwork",
    "ConvRecovery",
    "Convolutional",
    "EacError",
    "FileFormatError",
    "Gaussian",
    "InterruptedRecoveryError",
    "InvalidInputError",
    "Layer",
    "Network",
    "NeuronRecord",
    "NeuronType",
    "OracleError",
    "Pool",
    "Progress",
    "QueryBudgetError",
    "QueryPairs",
    "Recovery",
    "Reduction",
    "Rejection",
    "Uniform",
    "Verdict",
    "activations",
    "boruta_mask",
    "canonical",
    "centre_outputs",
    "classify",
    "compare",
    "compare_channels",
    "datasets",
    "load",
    "recover",
    "recover_convolutions",
    "reduce",
    "spectrum_mask",
    "teachers",
]


def __getattr__(name: str) -> Any:
    if name == "activations":
        value = import_module(f"{__name__}.core.activations").catalogue
    elif name in ("datasets", "teachers"):
        value = import_module(f"{__name__}.{name}")
    elif name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
