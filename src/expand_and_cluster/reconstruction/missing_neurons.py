"""The neuron that what a network leaves of the targets tells of.

A network that lacks a neuron, and is polished, leaves what none of its weights can make up for.
Whatever a new neuron gives moves the outputs, to first order, by its activation times the slopes of
the layer above it; what the others' weights, moving along, can make up for is taken off. The share
of the squared error that this explains is a function of the neuron's input vector alone, cheap to
evaluate and to differentiate: many random vectors are looked at, the best are followed uphill.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float
from scipy.optimize import minimize

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.fitting.deep_blocks import MOST, block_size, leading, upper_jacobian
from expand_and_cluster.fitting.deep_equations import (
    DeepParameters,
    Passed,
    backward,
    deep_parameters,
    forward,
)
from expand_and_cluster.fitting.deep_gauss_newton import DeepPairs
from expand_and_cluster.fitting.deep_products import all_here
from expand_and_cluster.fitting.gauss_newton import FAR
from expand_and_cluster.fitting.projection import cauchy_weights

# Equations for every weight that moves along.
EQUATIONS = 15
# Random input vectors of a layer, how many at once, and how many of the best are followed.
CANDIDATES, TOGETHER, FOLLOWED = 300, 20, 3
# Most iterations of following one.
ITERATIONS = 150
# Share of the squared error from which no other neuron is looked for.
SURE = 0.6
# Share of the samples whose errors are ordinary: others are told by weights, not by a neuron.
ORDINARY = 0.9
# Added to what is inverted, relative to its largest eigenvalue, or to its mean diagonal.
RIDGE, RIDGE_ABOVE = 1e-6, 1e-5


@dataclass(frozen=True)
class MissingNeuron:
    """A neuron that would explain what a network leaves.

    Attributes:
        layer: Hidden layer, 0 for the first.
        vector: Its input vector, bias last.
        above: Weights by which the layer above reads it.
        share: Share of the squared error that it explains, all others moving along.
    """

    layer: int
    vector: Float[np.ndarray, " inputs_and_one"]
    above: Float[np.ndarray, " neurons_above"]
    share: float


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


def find_missing(
    network: Network, pairs: DeepPairs, rng: np.random.Generator, report: Reporter = silent
) -> MissingNeuron | None:
    """The neuron, of any hidden layer, that explains most of what a polished network leaves.

    The last hidden layer is looked at first; those below only where nothing explains most of it.

    Args:
        network: The network.
        pairs: All pairs; as many of the first as are needed are looked at.
        rng: Draws input vectors to begin with.
        report: Receives progress.

    Returns:
        None where so many weights move along that their Gram matrix would be too large.
    """
    with double():
        parameters = deep_parameters(network)
        if block_size(parameters) > MOST:
            return None
        everything = _everything(parameters, pairs, network.activation)
    best: MissingNeuron | None = None
    hidden = len(network.hidden_widths)
    for done, layer in enumerate(range(hidden - 1, -1, -1)):
        report(Progress("look for a missing neuron", done, hidden, note=f"layer {layer + 1}"))
        found = _best(network, everything[layer], layer, rng)
        if best is None or found.share > best.share:
            best = found
        if best.share >= SURE:
            break
    return best


def with_neuron(network: Network, missing: MissingNeuron) -> Network:
    """The network with the neuron as the last one of its layer."""
    layers = list(network.layers)
    own, above = layers[missing.layer], layers[missing.layer + 1]
    layers[missing.layer] = Layer(
        np.vstack([own.weight, missing.vector[:-1]]), np.append(own.bias, missing.vector[-1])
    )
    layers[missing.layer + 1] = Layer(np.column_stack([above.weight, missing.above]), above.bias)
    return network.replace(layers=tuple(layers))


def _best(
    network: Network, evidence: Evidence, layer: int, rng: np.random.Generator
) -> MissingNeuron:
    own = network.layers[layer]
    spread = np.append(own.weight.std(axis=0), own.bias.std())
    candidates = rng.normal(size=(CANDIDATES, len(spread))) * spread
    shares = np.asarray(
        _screened(jnp.asarray(candidates, jnp.float32), evidence, network.activation)
    )
    best: tuple[float, np.ndarray] | None = None
    for index in np.argsort(-shares)[:FOLLOWED]:

        def loss(vector: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = _followed(jnp.asarray(vector, jnp.float32), evidence, network.activation)
            return float(value), np.asarray(slope, np.float64)

        end = minimize(
            loss, candidates[index], jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}
        )
        if best is None or -end.fun > best[0]:
            best = float(-end.fun), end.x
        if best[0] >= SURE:
            break
    assert best is not None
    above = _explained(jnp.asarray(best[1], jnp.float32), evidence, network.activation)[1]
    return MissingNeuron(layer, best[1], np.asarray(above, np.float64), best[0])


def _everything(
    parameters: DeepParameters, pairs: DeepPairs, activation: Activation
) -> list[Evidence]:
    """Evidence for every hidden layer."""
    outputs = pairs.double.targets.shape[2]
    blocks, rows = pairs.double.targets.shape[:2]
    count = min(EQUATIONS * block_size(parameters) // outputs, blocks * rows)
    whole = jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:])[:count], pairs.double)
    through = forward(parameters, all_here(parameters), activation, whole.inputs)
    left = whole.targets - through.values[-1] @ parameters.outputs.T
    weights = cauchy_weights(
        left[None], whole.weights[None], jnp.asarray(ORDINARY), jnp.asarray(FAR)
    )[0]
    roots = jnp.sqrt(weights / jnp.sum(weights))
    left = left * roots[:, None]
    single = jax.tree.map(lambda part: part.astype(jnp.float32), (parameters, through, left, roots))
    common, left, parts = _laid_out(*single, leading(pairs.spectrum))
    return [Evidence(common[0], common[1], common[2], fed, above, left) for fed, above in parts]


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


def _explained(
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
    ridge = RIDGE_ABOVE * jnp.trace(gram) / size * jnp.eye(size, dtype=gram.dtype)
    above = jnp.linalg.solve(gram + ridge, onto)
    return onto @ above / jnp.sum(evidence.left**2), above


@partial(jax.jit, static_argnames="activation")
def _screened(
    vectors: Float[Array, "candidates inputs_and_one"], evidence: Evidence, activation: Activation
) -> Float[Array, " candidates"]:
    def one(vector: Array) -> Array:
        return _explained(vector, evidence, activation)[0]

    return jax.lax.map(one, vectors, batch_size=TOGETHER)


@partial(jax.jit, static_argnames="activation")
def _followed(
    vector: Float[Array, " inputs_and_one"], evidence: Evidence, activation: Activation
) -> tuple[Float[Array, ""], Float[Array, " inputs_and_one"]]:
    def loss(vector: Array) -> Array:
        return -_explained(vector, evidence, activation)[0]

    return jax.value_and_grad(loss)(vector)
