"""The curvature of every neuron by itself: a preconditioner for all weights of a deep network.

The block of one neuron's weights in the Gauss-Newton matrix are the second moments of what it is
fed, weighted by the squared slopes of the outputs in what it takes in. Kronecker factors (K-FAC;
Martens & Grosse 2015) take all neurons of a layer to see the same moments. Near the end they do
not: a neuron that is saturated on most samples sees few of them, and what is left of the error is
almost all its own. `benchmarks/deep_steps.py` measures both.

The first layer has many weights, along directions of which some hardly vary: its blocks are taken
in coordinates in which the inputs are uncorrelated and of unit variance, so that single precision
is enough for them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
from jax import Array
from jaxtyping import Float

from expand_and_cluster.fitting.deep_equations import DeepData, DeepParameters, Passed, backward

# Share of a neuron's mean curvature that is added to all of its directions.
FLOOR = 1e-5
# Share of the largest variance that a direction of the inputs is taken to have at least.
FLAT = 1e-9
# Numbers in the blocks of a layer, at most (2 GiB): where there would be more, its neurons share
# the mean of theirs.
MOST = 1 << 29


class NeuronMoments(NamedTuple):
    """The blocks of all neurons at a point.

    Attributes:
        root: Moves of the first layer's weights for moves in its coordinates.
        own: For each layer, one block for every neuron; a single one for the last, whose outputs
            all see the same, and for layers where there would be too many.
        mean: Mean diagonal of the matrix, in the weights as they are.
    """

    root: Float[Array, "inputs_and_one inputs_and_one"]
    own: tuple[Float[Array, "_ fed fed"], ...]
    mean: Float[Array, ""]


class NeuronBlocks(NamedTuple):
    """The same with damping, as inverses of their Cholesky factors."""

    root: Float[Array, "inputs_and_one inputs_and_one"]
    inverse: tuple[Float[Array, "_ fed fed"], ...]

    def solve(self, left: DeepParameters) -> DeepParameters:
        """What the damped blocks make of a residual."""
        first, *above = (*left.hidden, left.outputs)
        parts = (first @ self.root, *above)
        solved = [_apply(each, part) for each, part in zip(self.inverse, parts, strict=True)]
        return DeepParameters((solved[0] @ self.root.T, *solved[1:-1]), solved[-1])


def neuron_moments(
    parameters: DeepParameters,
    fed: tuple[Float[Array, "blocks rows _"], ...],
    slopes: tuple[Float[Array, "blocks rows _"], ...],
    data: DeepData,
    inputs: tuple[Array, Array],
) -> NeuronMoments:
    """Measure the blocks at a point, on all pairs.

    Args:
        parameters: The weights.
        fed: What every layer above the first is fed.
        slopes: Derivatives of the activations.
        data: The pairs.
        inputs: Eigenvalues and eigenvectors of the inputs' second moments.
    """
    values, vectors = inputs
    variance = jnp.maximum(values, FLAT * values[-1])
    root = vectors / jnp.sqrt(variance)

    def add(
        total: tuple[list[Array], Array],
        part: tuple[DeepData, tuple[Array, ...], tuple[Array, ...]],
    ) -> tuple[tuple[list[Array], Array], None]:
        pairs, above, bends = part
        bent = backward(parameters, Passed((pairs.inputs, *above), bends))
        weights = pairs.weights[:, None]
        seen = (*(jnp.sum(each**2, axis=1) * weights for each in bent), weights)
        moments = []
        for old, rows, each in zip(total[0], (pairs.inputs @ root, *above), seen, strict=True):
            columns = each if len(old) > 1 else jnp.mean(each, axis=1, keepdims=True)
            moments.append(old + _moments(rows, columns))
        diagonal = jnp.sum(pairs.inputs**2 * jnp.sum(seen[0], axis=1)[:, None])
        return (moments, total[1] + diagonal), None

    layers = (*parameters.hidden, parameters.outputs)
    counts = [*(_blocks(*each.shape) for each in parameters.hidden), 1]
    dtype = data.inputs.dtype
    start = [
        jnp.zeros((count, each.shape[1], each.shape[1]), dtype)
        for count, each in zip(counts, layers, strict=True)
    ]
    own, whole = jax.lax.scan(add, (start, jnp.zeros((), dtype)), (data, fed, slopes))[0]
    for each, part in zip(own[1:], layers[1:], strict=True):
        whole += len(part) / len(each) * jnp.sum(jnp.trace(each, axis1=1, axis2=2))
    count = sum(leaf.size for leaf in jax.tree.leaves(parameters))
    return NeuronMoments(root, tuple(own), whole / count)


def _moments(
    rows: Float[Array, "rows fed"], columns: Float[Array, "rows neurons"]
) -> Float[Array, "neurons fed fed"]:
    """Second moments of rows, weighted by each column."""
    return jax.lax.map(lambda column: (rows * column[:, None]).T @ rows, columns.T)


def _blocks(neurons: int, fed: int) -> int:
    """Number of blocks of a layer."""
    return neurons if neurons * fed**2 <= MOST else 1


def damped(moments: NeuronMoments, damping: Float[Array, ""]) -> NeuronBlocks:
    """Factor the blocks.

    Args:
        moments: The blocks.
        damping: Added to the matrix's diagonal, in the weights as they are.
    """
    shift = damping * jnp.sum(moments.root**2, axis=0)
    first = _factored(moments.own[0], shift)
    above = [_factored(own, jnp.full(own.shape[1], damping)) for own in moments.own[1:]]
    return NeuronBlocks(moments.root, (first, *above))


def _factored(own: Float[Array, "_ fed fed"], shift: Float[Array, " fed"]) -> Array:
    identity = jnp.eye(own.shape[1], dtype=own.dtype)

    def one(block: Array) -> Array:
        floor = FLOOR * jnp.trace(block) / len(block)
        factor = jnp.linalg.cholesky(block + jnp.diag(shift + floor))
        return jsl.solve_triangular(factor, identity, lower=True)

    # One after the other: of many at once only so much more would be kept.
    return jax.lax.map(one, own)


def _apply(inverse: Float[Array, "_ fed fed"], left: Float[Array, "neurons fed"]) -> Array:
    if len(inverse) == 1:
        return left @ inverse[0].T @ inverse[0]
    into = jnp.einsum("kij,kj->ki", inverse, left)
    return jnp.einsum("kij,ki->kj", inverse, into)
