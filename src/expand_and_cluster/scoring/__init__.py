"""Compares a recovered network with the true one: the only room that sees true weights."""

from expand_and_cluster.scoring.compare import Comparison, NeuronComparison, Recovered, compare

__all__ = ["Comparison", "NeuronComparison", "Recovered", "compare"]
