"""What a network leaves of the targets, and the share of it that a new neuron would explain.

Whatever a neuron gives moves the outputs, to first order, by its activation times the slopes of the
layer above it; what the others' weights, moving along, can make up for is taken off both this and
the error. The rest is least squares in the weights by which the neuron is read.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting.deep_equations import (
    DeepData,
    DeepParameters,
    Passed,
    backward,
    deep_parameters,
    forward,
)
from expand_and_cluster.fitting.deep_pairs import DeepPairs
from expand_and_cluster.fitting.deep_products import all_here
from expand_and_cluster.fitting.gauss_newton import FAR
from expand_and_cluster.fitting.projection import cauchy_weights
from expand_and_cluster.fitting.upper_jacobian import leading, upper_jacobian, weight_count

# Most weights that move along, of whose Gram matrix the eigenvectors take seconds, and equations
# for each of them.
MOST, EQUATIONS = 6000, 15
# Candidates that are looked at at once.
TOGETHER = 20
# Share of the samples whose errors are ordinary: others are told by weights, not by a neuron.
ORDINARY = 0.9
# Added to what is inverted, relative to its largest eigenvalue, or to its mean diagonal.
RIDGE, RIDGE_ABOVE = 1e-6, 1e-5


class Evidence(NamedTuple):
    """What is left, and what may move along, in single precision.

    Attributes:
        jacobian: Derivatives of the outputs in the weights that move along.
        vectors: Eigenvectors of its Gram matrix.
        inverse: Inverses of the eigenvalues.
        fed: What the layer is fed, ones appended.
        above: Slopes of the outputs in what the layer above takes in.
        left: The error that nothing can make up for.
    """

    jacobian: Float[Array, "rows outputs weights"]
    vectors: Float[Array, "weights weights"]
    inverse: Float[Array, " weights"]
    fed: Float[Array, "rows inputs_and_one"]
    above: Float[Array, "rows outputs neurons_above"]
    left: Float[Array, "rows outputs"]


def gather_evidence(network: Network, pairs: DeepPairs) -> list[Evidence] | None:
    """Evidence for every hidden layer.

    Args:
        network: The network, polished.
        pairs: All pairs; as many of the first as are needed are looked at.

    Returns:
        None where so many weights move along that their Gram matrix would be too large.
    """
    with double():
        parameters = deep_parameters(network)
        if weight_count(parameters) > MOST:
            return None
        return _all_evidence(parameters, pairs, network.activation)


def _all_evidence(
    parameters: DeepParameters, pairs: DeepPairs, activation: Activation
) -> list[Evidence]:
    """Evidence for every hidden layer."""
    outputs = pairs.double.targets.shape[2]
    blocks, rows = pairs.double.targets.shape[:2]
    count = min(EQUATIONS * weight_count(parameters) // outputs, blocks * rows)
    single = _weighed(parameters, pairs.double, activation, count)
    common, left, parts = _laid_out(*single, leading(pairs.spectrum))
    return [Evidence(common[0], common[1], common[2], fed, above, left) for fed, above in parts]


@partial(jax.jit, static_argnames=("activation", "count"))
def _weighed(
    parameters: DeepParameters, data: DeepData, activation: Activation, count: int
) -> tuple[DeepParameters, Passed, Array, Array]:
    """The network, what it makes of the first pairs, what it leaves, and how much each counts.

    In single precision, once what is left has been found in double.
    """
    whole = jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:])[:count], data)
    through = forward(parameters, all_here(parameters), activation, whole.inputs)
    left = whole.targets - through.values[-1] @ parameters.outputs.T
    weights = cauchy_weights(
        left[None], whole.weights[None], jnp.asarray(ORDINARY), jnp.asarray(FAR)
    )[0]
    roots = jnp.sqrt(weights / jnp.sum(weights))
    left = left * roots[:, None]
    return jax.tree.map(lambda part: part.astype(jnp.float32), (parameters, through, left, roots))


@jax.jit
def _laid_out(
    parameters: DeepParameters,
    through: Passed,
    left: Float[Array, "rows outputs"],
    roots: Float[Array, " rows"],
    directions: Float[Array, "inputs_and_one leading"],
) -> tuple[tuple[Array, Array, Array], Array, list[tuple[Array, Array]]]:
    """Jacobian, eigenvectors and inverse eigenvalues; what is left; what is each layer's own."""
    jacobian = upper_jacobian(parameters, through, directions) * roots[:, None, None]
    flat = jacobian.reshape(-1, jacobian.shape[2])
    values, vectors = jnp.linalg.eigh(flat.T @ flat)
    inverse = 1.0 / (jnp.maximum(values, 0.0) + RIDGE * values[-1])
    # Twice, for single precision.
    for _ in range(2):
        made_up = vectors @ (inverse * (vectors.T @ (flat.T @ left.reshape(-1))))
        left = left - (flat @ made_up).reshape(left.shape)
    outputs = jnp.eye(left.shape[1], dtype=left.dtype)
    slopes = (
        *backward(parameters, through)[1:],
        jnp.broadcast_to(outputs, (len(left), *outputs.shape)),
    )
    parts = [
        (fed, above * roots[:, None, None])
        for fed, above in zip(through.values[:-1], slopes, strict=True)
    ]
    return (jacobian, vectors, inverse), left, parts


def explained(
    vector: Float[Array, " inputs_and_one"], evidence: Evidence, activation: Activation
) -> tuple[Float[Array, ""], Float[Array, " neurons_above"]]:
    """Share of the squared error that a neuron explains, and how it is read for that."""
    given = activation(evidence.fed @ vector)
    moved = evidence.above * given[:, None, None]
    onto = jnp.einsum("ro,rok->k", evidence.left, moved)
    flat = evidence.jacobian.reshape(-1, evidence.jacobian.shape[2])
    along = evidence.vectors.T @ (flat.T @ moved.reshape(len(flat), -1))
    gram = jnp.einsum("roj,rok->jk", moved, moved) - along.T @ (evidence.inverse[:, None] * along)
    size = len(gram)
    # A neuron that is off everywhere has no Gram matrix, and explains nothing.
    ridge = RIDGE_ABOVE * jnp.trace(gram) / size + jnp.finfo(gram.dtype).tiny
    above = jnp.linalg.solve(gram + ridge * jnp.eye(size, dtype=gram.dtype), onto)
    return onto @ above / jnp.sum(evidence.left**2), above


def screened(
    vectors: Float[np.ndarray, "candidates inputs_and_one"],
    evidence: Evidence,
    activation: Activation,
) -> Float[np.ndarray, " candidates"]:
    """What each of many vectors explains; one program serves any number of them."""
    padded = np.pad(np.float32(vectors), ((0, -len(vectors) % TOGETHER), (0, 0)))
    blocks = np.split(padded, len(padded) // TOGETHER)
    shares = [np.asarray(_screened(block, evidence, activation)) for block in blocks]
    return np.concatenate(shares)[: len(vectors)]


@partial(jax.jit, static_argnames="activation")
def _screened(
    vectors: Float[Array, "together inputs_and_one"], evidence: Evidence, activation: Activation
) -> Float[Array, " together"]:
    return jax.vmap(lambda vector: explained(vector, evidence, activation)[0])(vectors)


@partial(jax.jit, static_argnames="activation")
def followed(
    vector: Float[Array, " inputs_and_one"], evidence: Evidence, activation: Activation
) -> tuple[Float[Array, ""], Float[Array, " inputs_and_one"]]:
    """What a vector explains, with a minus, and its gradient."""

    def loss(vector: Array) -> Array:
        return -explained(vector, evidence, activation)[0]

    return jax.value_and_grad(loss)(vector)
