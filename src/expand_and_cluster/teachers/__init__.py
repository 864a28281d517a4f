"""Known networks to recover: the paper's synthetic family, classifiers of images, random ones."""

from expand_and_cluster.teachers.convolutional import convolutional, trained_convolutional
from expand_and_cluster.teachers.synthetic import synthetic, synthetic_deep, synthetic_inputs
from expand_and_cluster.teachers.trained import accuracy, trained
from expand_and_cluster.teachers.untrained import untrained

__all__ = [
    "accuracy",
    "convolutional",
    "synthetic",
    "synthetic_deep",
    "synthetic_inputs",
    "trained",
    "trained_convolutional",
    "untrained",
]
