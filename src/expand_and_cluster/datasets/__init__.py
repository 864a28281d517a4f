"""Real images and their labels."""

from expand_and_cluster.datasets.dataset import Dataset
from expand_and_cluster.datasets.loading import DATA_VARIABLE, NAMES, load

__all__ = ["DATA_VARIABLE", "NAMES", "Dataset", "load"]
