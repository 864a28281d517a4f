"""Fill up what students agree on with what single students hold besides."""

import numpy as np
from jaxtyping import Float

from expand_and_cluster.clusters.dissimilarity import unit_vectors
from expand_and_cluster.reconstruction.consensus import Population


def filled_up(
    known: Float[np.ndarray, "neurons inputs_and_bias"],
    population: Population,
    *,
    sign_free: bool,
    angle: float,
    most: int,
) -> Float[np.ndarray, "more inputs_and_bias"]:
    """Known input vectors, and those of each student that are near none taken before.

    A neuron of the teacher that only one student holds is lost to a consensus; an imitating student
    as a whole holds what it needs, among neurons to spare. What one student lacks or has mixed up,
    another may hold.

    Args:
        known: Input vectors that students agree on.
        population: Neurons of all students, of which the imitating ones fill up, the best first.
        sign_free: Whether v and -v are the same neuron.
        angle: Angle within which two vectors are near, in radians, in the inputs' metric.
        most: Neurons at most; of a student that has more, those that contribute most are taken.
    """
    metric = population.metric_root
    for student in np.argsort(population.losses):
        own = population.part(population.students == student)
        cosines = unit_vectors(own.vectors @ metric) @ unit_vectors(known @ metric).T
        near = np.abs(cosines) if sign_free else cosines
        far = np.flatnonzero(near.max(axis=1, initial=-1.0) < np.cos(angle))
        size = population.contribution[student, own.places[far]]
        taken = np.sort(far[np.argsort(-size)[: max(most - len(known), 0)]])
        known = np.concatenate([known, own.vectors[taken]])
    return known
