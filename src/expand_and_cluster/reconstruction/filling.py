"""Fill up what students agree on with what one student holds besides."""

import numpy as np
from jaxtyping import Float

from expand_and_cluster.clusters.dissimilarity import unit_vectors
from expand_and_cluster.reconstruction.consensus import Population


def filled_up(
    known: Float[np.ndarray, "neurons inputs_and_bias"],
    population: Population,
    student: int,
    *,
    sign_free: bool,
    angle: float,
) -> Float[np.ndarray, "more inputs_and_bias"]:
    """Known input vectors, and those of one student that are near none of them.

    A neuron of the teacher that only one student holds is lost to a consensus; an imitating student
    as a whole holds what it needs, among neurons to spare.

    Args:
        known: Input vectors that students agree on.
        population: Neurons of all students.
        student: The student whose neurons fill up.
        sign_free: Whether v and -v are the same neuron.
        angle: Angle within which two vectors are near, in radians, in the inputs' metric.
    """
    metric = population.metric_root
    own = population.part(population.students == student).vectors
    cosines = unit_vectors(own @ metric) @ unit_vectors(known @ metric).T
    near = np.abs(cosines) if sign_free else cosines
    far = near.max(axis=1, initial=-1.0) < np.cos(angle)
    return np.concatenate([known, own[far]])
