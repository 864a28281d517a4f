"""Conditioning of networks whose Jacobian does not fit anywhere, by Lanczos iterations.

With P the preconditioner of `fitting.conjugate_gradients` and l the smallest eigenvalue of the
preconditioned Gauss-Newton matrix, no weight can vary more than under `P * l`, whose inverse is
known: every weight's amplification is bounded at once. The bound is attained only by weights that
the loosest direction moves, so it errs on the side of saying that a weight is not held.

The eigenvalue itself is that of Lanczos, which lies above the true one, divided by a margin: where
it was followed to convergence (784-64-10: tanh, softplus) it had come within a factor of three.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float
from scipy.linalg import eigh_tridiagonal

from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double, placed
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.fitting.conjugate_gradients import (
    Curvature,
    blocks_at,
    by_blocks,
    by_transposes,
    curvature_at,
    inverse_factors,
    product,
)
from expand_and_cluster.fitting.projection import Frame, evaluate, frame_of
from expand_and_cluster.reconstruction.completion import Differences
from expand_and_cluster.students.training import TrainingData

# Iterations, and what the smallest eigenvalue that they find is divided by.
ITERATIONS = 60
MARGIN = 4.0
# Smallest eigenvalue, relative to the largest, that products in float32 can tell; below it they are
# done again in float64.
SINGLE = 1e-4
# In float64 it is rounding below this: the direction is free.
ROUNDING = 1e-12
# Part of an input's unit vector that lies in directions the pairs do not have.
UNSEEN = 1e-9


def bound_amplification(
    network: Network,
    data: TrainingData,
    differences: Differences | None = None,
    report: Reporter = silent,
) -> tuple[float, Float[np.ndarray, "neurons inputs_and_bias"]]:
    """Smallest singular value relative to the largest, and a bound on every amplification.

    Args:
        network: Solution in standardised coordinates, with one hidden layer.
        data: The pairs it was fitted to.
        differences: Pairs that it was fitted to as differences besides.
        report: Told about every iteration.

    Returns:
        The same quantities as `analyse_conditioning`, the second as upper bounds.
    """
    options = {}
    if differences is not None:
        data, options = differences.joined(data)
    frame = frame_of(data.inputs, data.targets, skip=network.skip is not None, **options)
    neurons, size = network.input_vectors.shape
    unknowns = neurons * frame.root.shape[1]
    unknowns += (neurons + frame.fixed.shape[2]) * data.targets.shape[1]
    if network.activation.symmetry.scale_free:
        unknowns -= neurons
    if data.targets.size < unknowns:
        # Iterations that end before they find such a direction would not tell.
        return 0.0, np.full((neurons, size), np.inf)
    # In float32 two rows a small step apart are the same.
    first = jnp.float32 if differences is None else jnp.float64
    smallest, largest, inverse, gram = _spectrum(network, frame, first, report)
    if first == jnp.float32 and smallest <= SINGLE * largest:
        smallest, largest, inverse, _ = _spectrum(network, frame, jnp.float64, report)
    root = np.asarray(frame.root)
    seen = np.sum((root / np.linalg.norm(root, axis=0)) ** 2, axis=1)
    if smallest <= ROUNDING * largest:
        return 0.0, np.full((neurons, size), np.inf)
    variance = (root**2 @ inverse).T / smallest
    variance[:, 1.0 - seen > UNSEEN] = np.inf
    # The free scale of a constant neuron is its bias: fixing one hides that the other is free.
    variance[spanned(gram, neurons)] = np.inf
    return float(np.sqrt(smallest / largest)), np.sqrt(variance / data.targets.shape[0])


def spanned(
    gram: Float[np.ndarray, "features features"], neurons: int
) -> Bool[np.ndarray, " neurons"]:
    """Neurons whose activations are a combination of other neurons' and of the constants.

    Args:
        gram: Second moments of the features, neurons first.
        neurons: Number of neurons.
    """
    size = np.sqrt(np.diag(gram))
    size = np.where(size > 0, size, 1.0)
    values, directions = np.linalg.eigh(gram / np.outer(size, size))
    free = directions[:neurons, values <= 1e-14 * len(values) * values[-1]]
    return np.asarray((np.abs(free) > 1e-6).any(axis=1))


def _spectrum(
    network: Network, frame: Frame, dtype: type, report: Reporter
) -> tuple[
    float,
    float,
    Float[np.ndarray, "directions neurons"],
    Float[np.ndarray, "features features"],
]:
    """Extreme eigenvalues, diagonal of the preconditioner's inverse, moments of the features."""
    neurons = network.hidden_widths[0]
    with double():
        vectors = placed(network.input_vectors)
        point = evaluate(vectors, jnp.ones(neurons), frame, network.activation)
        curvature, blocks = curvature_at(point, frame, dtype), blocks_at(point, frame, dtype)
        free = jnp.zeros((0, neurons, frame.root.shape[1]), dtype)
        if network.activation.symmetry.scale_free:
            free = _scale_directions(vectors, frame, blocks)
        factors = inverse_factors(blocks, jnp.zeros(len(blocks), dtype))
        smallest, largest = _extremes(curvature, factors, free, report)
        half = np.asarray(factors, dtype=np.float64)
        weighted = point.features * frame.weights[:, :, None]
        gram = np.asarray(jnp.einsum("brf,brg->fg", weighted, point.features))
    return smallest, largest, np.einsum("iak,iak->ik", half, half), gram


def _scale_directions(
    vectors: Float[Array, "neurons size"],
    frame: Frame,
    blocks: Float[Array, "directions neurons neurons"],
) -> Float[Array, "neurons neurons directions"]:
    """Moves along which a homogeneous activation's neurons only change their scale."""
    neurons, dtype = vectors.shape[0], blocks.dtype
    # The root has orthogonal columns.
    inward = (vectors @ (frame.root / jnp.sum(frame.root**2, axis=0))).astype(dtype)
    moves = jnp.eye(neurons, dtype=dtype)[:, :, None] * inward[None]
    factors = jnp.linalg.cholesky(blocks)
    shaped = jax.lax.map(lambda move: by_transposes(factors, move), moves)
    return shaped / jnp.linalg.norm(shaped.reshape(neurons, -1), axis=1)[:, None, None]


def _extremes(
    curvature: Curvature,
    half: Float[Array, "directions neurons neurons"],
    free: Float[Array, "fixed neurons directions"],
    report: Reporter,
) -> tuple[float, float]:
    """Smallest and largest eigenvalue of the preconditioned matrix, by Lanczos.

    Zero and one where products overflow, or the precision does not tell neurons apart.
    """
    shape = (half.shape[1], half.shape[0])
    most = min(ITERATIONS, shape[0] * shape[1])
    basis = np.zeros((most + 1, shape[0] * shape[1]))
    first = np.random.default_rng(0).standard_normal(basis.shape[1])
    basis[0] = first / np.linalg.norm(first)
    diagonal, beside = np.zeros(most), np.zeros(most)
    for k in range(most):
        report(Progress("see how firmly weights are held", k, most))
        move = placed(basis[k].reshape(shape), half.dtype)
        image = np.asarray(_apply(curvature, half, free, move), dtype=np.float64).ravel()
        if not np.all(np.isfinite(image)):
            return 0.0, 1.0
        diagonal[k] = basis[k] @ image
        # Twice against all earlier vectors: they lose their right angles otherwise.
        for _ in range(2):
            image = image - basis[: k + 1].T @ (basis[: k + 1] @ image)
        beside[k] = np.linalg.norm(image)
        if beside[k] <= 1e-12 * abs(diagonal[0]):
            most = k + 1
            break
        basis[k + 1] = image / beside[k]
    values = eigh_tridiagonal(diagonal[:most], beside[: most - 1], eigvals_only=True)
    return float(values[0]) / MARGIN, float(values[-1])


@jax.jit
def _apply(
    curvature: Curvature,
    half: Float[Array, "directions neurons neurons"],
    free: Float[Array, "fixed neurons directions"],
    move: Float[Array, "neurons directions"],
) -> Float[Array, "neurons directions"]:
    # What float32 can tell is far above what the ridge leaves.
    refined = move.dtype == jnp.float64
    inner = product(curvature, by_transposes(half, move), refined=refined)
    shifts = jnp.einsum("fki,ki->f", free, move)
    return by_blocks(half, inner) + jnp.einsum("f,fki->ki", shifts, free)
