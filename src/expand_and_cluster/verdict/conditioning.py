"""How firmly the pairs hold every weight of a solution in its place."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.core.progress import Reporter, silent
from expand_and_cluster.fitting.normal_equations import (
    Data,
    Masks,
    Parameters,
    assemble,
    parameters_of,
    prepare,
)
from expand_and_cluster.reconstruction.completion import Differences
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.verdict.lanczos import bound_amplification, spanned

# Amplification of rounding (1e-16) beyond which a bias is not known to six digits.
LOOSE = 1e9
# Input weights beyond which the Jacobian is not written out but bounded.
MOST_DENSE = 2000
# The same where only the Jacobian itself can tell: half a minute.
MOST_WRITTEN = 5000


@dataclass(frozen=True)
class Conditioning:
    """What a small error of the outputs means for the weights.

    Attributes:
        smallest: Smallest singular value of the Jacobian (root mean square over samples, output
            weights eliminated, every input scaled to unit length), relative to the largest.
        amplification: For each input weight, the standard deviation of its error for unit standard
            deviation of independent errors in the outputs; infinite where the pairs do not hold it.
    """

    smallest: float
    amplification: Float[np.ndarray, "neurons inputs_and_bias"]


def analyse_conditioning(
    network: Network,
    data: TrainingData,
    *,
    most_dense: int | None = None,
    differences: Differences | None = None,
    report: Reporter = silent,
) -> Conditioning:
    """Analyse the Jacobian at a solution with one hidden layer.

    The free scale of neurons whose activation has one is fixed first: it is no uncertainty.

    Args:
        network: Solution in standardised coordinates.
        data: The pairs it was fitted to.
        most_dense: Input weights beyond which amplifications are bounded and not computed; None
            means 2,000.
        differences: Pairs that it was fitted to as differences besides; amplifications are then
            bounded, with the gain by which the rounding of differences counts.
        report: Told about iterations, where amplifications are bounded.
    """
    if differences is not None:
        smallest, amplification = bound_amplification(network, data, differences, report)
        # A unit error of the answers is this large in what is fitted.
        return Conditioning(smallest, amplification * differences.gain)
    if network.input_vectors.size > (MOST_DENSE if most_dense is None else most_dense):
        return Conditioning(*bound_amplification(network, data, report=report))
    with double():
        gram, whole, features = (
            np.asarray(part)
            for part in _reduced_gram(
                parameters_of(network),
                prepare(data.inputs, data.targets, skip=network.skip is not None),
                network.activation,
            )
        )
    vectors = network.input_vectors
    neurons, size = vectors.shape
    # What elimination leaves of a weight's column, if it is no more than rounding of that column,
    # is nothing: the output weights can do the same.
    left = np.diag(gram) > 1e-12 * whole
    gram = gram.copy()
    for k in np.flatnonzero(np.isfinite(network.activation.degrees(neurons))):
        block = slice(k * size, (k + 1) * size)
        left[block] = True
        unit = vectors[k] / np.linalg.norm(vectors[k])
        gram[block, block] += np.trace(gram[block, block]) * np.outer(unit, unit)
    scale = np.sqrt(np.maximum(np.diag(gram), 0.0))
    held = left & (scale > 1e-12 * scale.max()) & np.repeat(~spanned(features, neurons), size)
    safe = np.where(held, scale, 1.0)
    scaled = gram / np.outer(safe, safe)
    scaled[~held] = 0.0
    scaled[:, ~held] = 0.0
    values, directions = np.linalg.eigh(scaled)
    # Below this an eigenvalue of a matrix in double precision is rounding: the pairs say nothing
    # about the direction, and what it mixes is not held.
    least = 1e-13 * values[-1] * len(values)
    known = values > max(least, np.finfo(np.float64).tiny)
    inverse = np.full_like(values, np.inf)
    inverse[known] = 1.0 / values[known]
    weight = directions**2
    weight[weight < 1e-16] = 0.0
    with np.errstate(invalid="ignore"):
        variance = np.where(weight > 0, weight * inverse, 0.0).sum(axis=1)
    count = data.targets.shape[0]
    deviation = np.where(held, np.sqrt(variance / count) / safe, np.inf)
    moving = values[int((~held).sum()) :]
    smallest = float(np.sqrt(max(moving[0], 0.0) / values[-1])) if len(moving) else 0.0
    return Conditioning(smallest, deviation.reshape(neurons, size))


def is_held(
    network: Network, data: TrainingData, least_width: int = 0, report: Reporter = silent
) -> bool:
    """Whether an exact network has no direction in which all biases could move freely.

    Args:
        network: Solution in standardised coordinates.
        data: The pairs it was fitted to.
        least_width: Width that every network with these outputs has at least, where it is known
            (the rank of the outputs' gradients). A network of this width has no neuron to spare,
            and a bound is enough; of a wider one only the Jacobian itself can tell.
        report: Told about iterations, where a bound is enough.
    """
    minimal = network.hidden_widths[0] <= least_width
    found = analyse_conditioning(
        network, data, most_dense=None if minimal else MOST_WRITTEN, report=report
    )
    return bool(np.all(found.amplification[:, -1] < LOOSE))


@jax.jit(static_argnames=("activation",))
def _reduced_gram(
    parameters: Parameters, data: Data, activation: Activation
) -> tuple[
    Float[Array, "weights weights"], Float[Array, " weights"], Float[Array, "features features"]
]:
    neurons, size = parameters.inputs.shape
    ones = jnp.ones(neurons)
    blocks = assemble(parameters, Masks(ones, ones), activation, data)
    gram = blocks.feature_gram
    # By eigenvalues, not a Cholesky factor: a neuron that the others span makes the block singular.
    values, directions = jnp.linalg.eigh(gram)
    least = 1e-15 * values[-1] * gram.shape[0]
    half = (directions / jnp.sqrt(jnp.maximum(values, least))).T @ blocks.cross_gram
    mixing = jnp.repeat(
        jnp.repeat(parameters.outputs.T @ parameters.outputs, size, axis=0), size, axis=1
    )
    whole = jnp.diag(mixing) * jnp.diag(blocks.input_gram)
    return mixing * (blocks.input_gram - half.T @ half), whole, gram
