"""Recover the weights of a neural network from its inputs and outputs."""

from expand_and_cluster import datasets, teachers
from expand_and_cluster.core.activations import catalogue as activations
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
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.queries.samplers import Gaussian, Pool, Uniform
from expand_and_cluster.pipeline import recover
from expand_and_cluster.recovery import Recovery, load
from expand_and_cluster.scoring.compare import compare

__all__ = [
    "EacError",
    "FileFormatError",
    "Gaussian",
    "InterruptedRecoveryError",
    "InvalidInputError",
    "Layer",
    "Network",
    "OracleError",
    "Pool",
    "Progress",
    "QueryBudgetError",
    "QueryPairs",
    "Recovery",
    "Uniform",
    "activations",
    "compare",
    "datasets",
    "load",
    "recover",
    "teachers",
]
