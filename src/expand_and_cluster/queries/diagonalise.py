"""One basis in which several symmetric matrices are diagonal: joint diagonalisation.

Two combinations of the matrices give it as the eigenvectors of a generalised eigenproblem. Where
two eigenvalues nearly coincide, the eigenvectors of a single pair mix; all matrices together tell
them apart. So the first guess is refined by first-order corrections `V (I + X)` that make all
off-diagonal entries vanish in the sense of least squares, in the manner of FFDIAG (Ziehe, Laskov,
Nolte & Mueller 2004).
"""

import numpy as np
from jaxtyping import Float

SWEEPS = 40
# Largest correction of one sweep, so that first order holds.
LARGEST = 0.5
# Corrections below this end the sweeps.
SETTLED = 1e-10
# Least part of two neurons' diagonals that must differ; less would divide by nearly nothing.
LEAST_DIFFERENCE = 1e-4
# Combinations tried for the first guess; the one with the fewest complex eigenvalues is kept.
TRIES = 3


def diagonalise(
    matrices: Float[np.ndarray, "matrices rank rank"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "rank rank"], float]:
    """Basis V, in columns, for which every `V.T @ matrix @ V` is as diagonal as can be.

    Args:
        matrices: Symmetric matrices, at least two, of about equal size.
        rng: Draws the combinations of the first guess.

    Returns:
        The basis, its columns of unit length, and the size of the off-diagonal entries relative to
        the diagonal ones: infinite where no basis was found.
    """
    try:
        basis = _guess(matrices, rng)
        for _ in range(SWEEPS):
            basis, correction = _sweep(matrices, basis)
            if correction < SETTLED:
                break
    except np.linalg.LinAlgError:
        return np.eye(matrices.shape[1]), np.inf
    basis = basis / np.linalg.norm(basis, axis=0)
    rotated = basis.T @ matrices @ basis
    within = float(np.sum(np.einsum("mii->mi", rotated) ** 2))
    left = float(np.sum(rotated**2)) - within
    off = float(np.sqrt(max(left, 0.0) / within)) if within > 0 else np.inf
    return basis, off if np.isfinite(off) else np.inf


def _guess(
    matrices: Float[np.ndarray, "matrices rank rank"], rng: np.random.Generator
) -> Float[np.ndarray, "rank rank"]:
    best: np.ndarray | None = None
    fewest = np.inf
    for _ in range(TRIES):
        one, other = np.tensordot(rng.standard_normal((2, len(matrices))), matrices, 1)
        found: tuple[np.ndarray, np.ndarray] = np.linalg.eig(np.linalg.solve(one, other))
        values, vectors = (np.asarray(part, dtype=np.complex128) for part in found)
        complex_values = int(np.sum(values.imag != 0.0))
        if complex_values < fewest:
            fewest = complex_values
            # Pairs of conjugates stand side by side: their plane is what is known of them.
            best = np.where(values.imag < 0.0, vectors.imag, vectors.real)
        if not fewest:
            break
    assert best is not None
    return best / np.linalg.norm(best, axis=0)


def _sweep(
    matrices: Float[np.ndarray, "matrices rank rank"], basis: Float[np.ndarray, "rank rank"]
) -> tuple[Float[np.ndarray, "rank rank"], float]:
    """One first-order correction of all columns, and its size."""
    rotated = basis.T @ matrices @ basis
    diagonal = np.einsum("mii->im", rotated)
    # Columns so long that every neuron's diagonal entries have length 1.
    scale = 1.0 / np.sqrt(np.maximum(np.linalg.norm(diagonal, axis=1), np.finfo(float).tiny))
    rotated = rotated * scale[:, None] * scale
    diagonal = diagonal * scale[:, None] ** 2
    # diagonal[i] * X[i, j] + diagonal[j] * X[j, i] = -rotated[i, j], over all matrices.
    alike = diagonal @ diagonal.T
    here = np.einsum("mij,im->ij", rotated, diagonal)
    there = np.einsum("mij,jm->ij", rotated, diagonal)
    correction = (alike * there - here) / np.maximum(1.0 - alike**2, LEAST_DIFFERENCE)
    np.fill_diagonal(correction, 0.0)
    size = float(np.linalg.norm(correction))
    correction *= min(1.0, LARGEST / max(size, np.finfo(float).tiny))
    return (basis * scale) @ (np.eye(len(basis)) + correction), size
