"""Least squares over features that are nearly alike, and what each of them adds to the others."""

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve

# Entries of a design matrix beyond which least squares are solved by refined normal equations.
MOST_FACTORED = 4_000_000
# Entry of a singular vector below which it is rounding.
LEAST_ENTRY = 32.0 * np.finfo(np.float64).eps


def solve(
    design: Float[np.ndarray, "samples features"], targets: Float[np.ndarray, "samples outputs"]
) -> Float[np.ndarray, "features outputs"]:
    """Least squares of a design with columns of about equal length."""
    if design.size <= MOST_FACTORED:
        return np.linalg.lstsq(design, targets, rcond=1e-14)[0]
    gram = design.T @ design
    factor = cho_factor(gram + 1e-13 * np.trace(gram) / len(gram) * np.eye(len(gram)))
    solution = np.zeros((design.shape[1], targets.shape[1]))
    # Each pass regains the digits that the normal equations lost.
    for _ in range(3):
        solution += cho_solve(factor, design.T @ (targets - design @ solution))
    return solution


def added(design: Float[np.ndarray, "samples features"]) -> Float[np.ndarray, " features"]:
    """Root mean square of what is left of each column once all others make up for it.

    Times the weights that a column has in a least-squares solution, this is by how much the
    outputs change where it is taken away and the others are solved for again.
    """
    scale = np.linalg.norm(design, axis=0) / np.sqrt(len(design))
    scale[scale == 0.0] = 1.0
    # Singular values of the design itself: its Gram matrix would lose the half of the digits by
    # which a column that the others span exactly is told from one that they nearly span.
    triangle = np.linalg.qr(design / (scale * np.sqrt(len(design))), mode="r")
    _, values, right = np.linalg.svd(triangle)
    # A direction that nothing holds would count where it has no part.
    right[np.abs(right) < LEAST_ENTRY] = 0.0
    # Fewer rows than columns leave directions that nothing holds.
    values = np.pad(values, (0, len(right) - len(values)))
    # The inverse of a column that the others span exactly has no bound; with one, what is left
    # of it comes out as what rounding makes of zero.
    least = np.finfo(np.float64).eps * values[0]
    inverse = ((right.T / np.maximum(values, least)) ** 2).sum(axis=1)
    return scale / np.sqrt(inverse)
