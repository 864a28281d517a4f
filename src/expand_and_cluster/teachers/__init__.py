"""Known networks to recover: the paper's synthetic family, and classifiers of real images."""

from expand_and_cluster.teachers.synthetic import synthetic, synthetic_deep, synthetic_inputs
from expand_and_cluster.teachers.trained import accuracy, trained

__all__ = ["accuracy", "synthetic", "synthetic_deep", "synthetic_inputs", "trained"]
