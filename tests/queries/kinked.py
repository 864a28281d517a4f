"""Random layers with a kink at zero, and kinks of their neurons."""

from itertools import pairwise

import numpy as np

from expand_and_cluster.queries.bend_equations import Bend

RELU, LEAKY = (0.0, 1.0), (0.01, 1.0)


def layers(widths, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(size=(out, size)) / np.sqrt(size), 0.5 * rng.normal(size=out))
        for size, out in pairwise(widths)
    ]


def bends_of(first, vector, bias, slopes, count, seed=0):
    """Kinks of one neuron of the second layer, with their normals, from the weights themselves."""
    rng = np.random.default_rng(seed)
    weight, offset = first
    found = []
    while len(found) < count:
        point = 1.5 * rng.normal(size=weight.shape[1])
        for _ in range(50):
            steep = np.where(weight @ point + offset > 0.0, slopes[1], slopes[0])
            normal = (vector * steep) @ weight
            pre = vector @ (steep * (weight @ point + offset)) + bias
            if not normal.any():
                break
            if abs(pre) < 1e-13 and np.linalg.norm(point) < 10.0:
                found.append(Bend(point, normal / np.linalg.norm(normal)))
                break
            point = point - pre / (normal @ normal) * normal
    return found
