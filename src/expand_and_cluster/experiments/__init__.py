"""One file for each claim of the paper, and the list of them."""

from collections.abc import Mapping
from types import MappingProxyType

from expand_and_cluster.experiments import synthetic
from expand_and_cluster.experiments.experiment import Experiment

catalogue: Mapping[str, Experiment] = MappingProxyType(
    {experiment.name: experiment for experiment in (synthetic.EXPERIMENT,)}
)
"""Experiments by name."""

__all__ = ["Experiment", "catalogue"]
