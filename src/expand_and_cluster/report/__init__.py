"""Figures and tables drawn from run folders and studies; nothing here computes a result."""

from expand_and_cluster.report.activations import draw_activation_ranking
from expand_and_cluster.report.dendrogram import draw_dendrogram
from expand_and_cluster.report.expansion import draw_expansion
from expand_and_cluster.report.explanation import write_explanation
from expand_and_cluster.report.kernels import draw_kernels
from expand_and_cluster.report.losses import draw_losses
from expand_and_cluster.report.network import draw_input_weights
from expand_and_cluster.report.neurons import (
    NeuronDistances,
    draw_agreement,
    draw_teacher_distances,
)
from expand_and_cluster.report.pictures import write_pictures
from expand_and_cluster.report.reduction import draw_reduction
from expand_and_cluster.report.similarity import draw_similarity
from expand_and_cluster.report.studies import write_study
from expand_and_cluster.report.study import (
    draw_study,
    draw_success_rates,
    recovered,
    summarise_study,
    wilson_interval,
)
from expand_and_cluster.report.tables import csv_table, markdown_table, write_table
from expand_and_cluster.report.types import draw_neuron_types

__all__ = [
    "NeuronDistances",
    "csv_table",
    "draw_activation_ranking",
    "draw_agreement",
    "draw_dendrogram",
    "draw_expansion",
    "draw_input_weights",
    "draw_kernels",
    "draw_losses",
    "draw_neuron_types",
    "draw_reduction",
    "draw_similarity",
    "draw_study",
    "draw_success_rates",
    "draw_teacher_distances",
    "markdown_table",
    "recovered",
    "summarise_study",
    "wilson_interval",
    "write_explanation",
    "write_pictures",
    "write_study",
    "write_table",
]
