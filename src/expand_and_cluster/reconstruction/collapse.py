"""Collapse clusters of neurons to one input vector each (paper, A.3)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

Vectors = Float[np.ndarray, "neurons inputs_and_bias"]


def collapse(
    vectors: Vectors,
    students: Int[np.ndarray, " neurons"],
    losses: Float[np.ndarray, " students"],
    clusters: Sequence[Int[np.ndarray, " _"]],
    *,
    sign_free: bool,
    scale_free: bool,
) -> Float[np.ndarray, "clusters inputs_and_bias"]:
    """One input vector for each cluster: that of its best student.

    If the best student holds several members of a cluster, they are brought to one sign (and
    scale, where scale is free) and averaged.

    Args:
        vectors: Input vectors of all students' neurons.
        students: Which student each belongs to.
        losses: Loss of every student.
        clusters: Indices of the members of each cluster.
        sign_free: Whether v and -v are the same neuron.
        scale_free: Whether v and c v, c > 0, are.
    """
    rows = []
    for members in clusters:
        owners = students[members]
        winner = owners[np.argmin(losses[owners])]
        own = vectors[members[owners == winner]]
        if scale_free:
            own = own / np.linalg.norm(own, axis=1, keepdims=True)
        if sign_free:
            own = np.where(own @ own[0] < 0, -1.0, 1.0)[:, None] * own
        rows.append(own.mean(axis=0))
    return np.array(rows).reshape(len(rows), vectors.shape[1])


def contributions(
    outputs: Float[np.ndarray, "neurons outputs"],
    activations: Float[np.ndarray, "samples neurons"],
) -> Float[np.ndarray, " neurons"]:
    """How much each neuron moves the output: norm of its output weights times its spread."""
    return np.linalg.norm(outputs, axis=1) * activations.std(axis=0)
