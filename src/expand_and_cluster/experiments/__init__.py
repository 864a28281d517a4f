"""One file for each claim of the paper, and the list of them."""

from collections.abc import Mapping
from types import MappingProxyType

from expand_and_cluster.experiments import (
    auto_activation,
    chosen_queries,
    convolutions,
    convolutions_given,
    cost,
    deep_given,
    deep_images,
    depth,
    every_activation,
    given_data,
    mixtures,
    noisy_answers,
    overparameterisation,
    query_choice,
    query_curve,
    synthetic,
    trained_students,
)
from expand_and_cluster.experiments.experiment import Experiment

_ALL = (
    synthetic.EXPERIMENT,
    every_activation.EXPERIMENT,
    auto_activation.EXPERIMENT,
    mixtures.EXPERIMENT,
    trained_students.EXPERIMENT,
    overparameterisation.EXPERIMENT,
    chosen_queries.EXPERIMENT,
    chosen_queries.WIDE_EXPERIMENT,
    query_curve.EXPERIMENT,
    query_choice.EXPERIMENT,
    given_data.GIVEN,
    given_data.GIVEN_WIDE,
    given_data.OTHER,
    given_data.GIVEN_CIFAR,
    noisy_answers.ROUNDING,
    noisy_answers.NOISE,
    depth.EXPERIMENT,
    depth.ASKING_EXPERIMENT,
    deep_images.EXPERIMENT,
    deep_given.EXPERIMENT,
    cost.EXPERIMENT,
    convolutions.EXPERIMENT,
    convolutions_given.EXPERIMENT,
)

catalogue: Mapping[str, Experiment] = MappingProxyType({entry.name: entry for entry in _ALL})
"""Experiments by name."""

__all__ = ["Experiment", "catalogue"]
