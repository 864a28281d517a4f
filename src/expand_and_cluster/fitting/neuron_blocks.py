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
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from expand_and_cluster.fitting.deep_equations import DeepData, DeepParameters, Passed, backward

# Share of a neuron's mean curvature that is added to all of its directions.
FLOOR = 1e-5
# Share of the largest variance that a direction of the inputs is taken to have at least.
FLAT = 1e-9
# Change of what a neuron's samples count for, relative to its square, after which its block is
# measured anew.
CHANGED = 1e-2


class NeuronMoments(NamedTuple):
    """The blocks of all neurons at a point.

    Attributes:
        root: Moves of the first layer's weights for moves in its coordinates.
        own: For each layer, one block for every neuron; for the last, whose outputs all see the
            same, a single one.
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


class FirstLayer:
    """Blocks of the first layer on some inputs, each measured again once it has changed.

    They cost more than all else of a step, the more the wider the layer; and from step to step, and
    where neurons come and go, most hardly change.

    Args:
        inputs: Inputs with a column of ones, in blocks of rows.
        spectrum: Eigenvalues and eigenvectors of their second moments, in ascending order.
    """

    def __init__(
        self,
        inputs: Float[Array, "blocks rows inputs_and_one"],
        spectrum: tuple[Float[Array, " inputs_and_one"], Float[Array, "inputs_and_one _"]],
    ) -> None:
        """Bring the inputs to their coordinates; nothing is measured yet."""
        values, vectors = spectrum
        size = inputs.shape[-1]
        self.root = vectors / jnp.sqrt(jnp.maximum(values, FLAT * values[-1]))
        self._white = inputs.reshape(-1, size) @ self.root
        self._columns = jnp.zeros((len(self._white), 0), inputs.dtype)
        self._own = jnp.zeros((0, size, size), inputs.dtype)

    def at(self, columns: Float[Array, "rows neurons"]) -> Float[Array, "neurons fed fed"]:
        """The blocks.

        Args:
            columns: What every sample counts for with every neuron.
        """
        nearest, changed = _nearest(columns, self._columns)
        anew, places = np.flatnonzero(np.asarray(changed)), np.asarray(nearest).copy()
        places[anew] = len(self._own) + np.arange(len(anew))
        if not np.array_equal(places, np.arange(len(self._own))):
            measured = [_moments(self._white, columns[:, neuron]) for neuron in anew]
            both = [*self._own, *measured]
            self._own = jnp.stack([both[place] for place in places])
            self._columns = jnp.concatenate([self._columns, columns[:, anew]], axis=1)[:, places]
        return self._own


@jax.jit
def _nearest(
    columns: Float[Array, "rows neurons"], known: Float[Array, "rows known"]
) -> tuple[Int[Array, " neurons"], Bool[Array, " neurons"]]:
    """For every neuron the known one with the most similar column, and whether this changed."""
    size = jnp.sum(columns**2, axis=0)
    if known.shape[1] == 0:
        return jnp.zeros(columns.shape[1], jnp.int32), jnp.ones(columns.shape[1], bool)
    apart = size[:, None] - 2.0 * columns.T @ known + jnp.sum(known**2, axis=0)
    return jnp.argmin(apart, axis=1), jnp.min(apart, axis=1) > CHANGED * size


@jax.jit
def _moments(rows: Float[Array, "rows fed"], column: Float[Array, " rows"]) -> Array:
    return (rows * column[:, None]).T @ rows


def neuron_moments(
    parameters: DeepParameters,
    fed: tuple[Float[Array, "blocks rows _"], ...],
    slopes: tuple[Float[Array, "blocks rows _"], ...],
    data: DeepData,
    first: FirstLayer,
) -> NeuronMoments:
    """Measure the blocks at a point, on all pairs.

    Args:
        parameters: The weights.
        fed: What every layer above the first is fed.
        slopes: Derivatives of the activations.
        data: The pairs.
        first: What is known of the first layer's blocks on these inputs.
    """
    columns, above, mean = _above(parameters, fed, slopes, data)
    return NeuronMoments(first.root, (first.at(columns), *above), mean)


@jax.jit
def _above(
    parameters: DeepParameters,
    fed: tuple[Float[Array, "blocks rows _"], ...],
    slopes: tuple[Float[Array, "blocks rows _"], ...],
    data: DeepData,
) -> tuple[Float[Array, "samples neurons"], list[Array], Float[Array, ""]]:
    """What samples count for with the first layer; the blocks above it; the mean diagonal."""

    def add(
        total: tuple[list[Array], Array],
        part: tuple[DeepData, tuple[Array, ...], tuple[Array, ...]],
    ) -> tuple[tuple[list[Array], Array], Array]:
        pairs, above, bends = part
        bent = backward(parameters, Passed((pairs.inputs, *above), bends))
        weights = pairs.weights[:, None]
        first, *others = (*(jnp.sum(each**2, axis=1) * weights for each in bent), weights)
        moments = [
            old + jnp.einsum("rk,ri,rj->kij", each, rows, rows)
            for old, rows, each in zip(total[0], above, others, strict=True)
        ]
        diagonal = jnp.sum(pairs.inputs**2 * jnp.sum(first, axis=1)[:, None])
        return (moments, total[1] + diagonal), first

    layers = (*parameters.hidden[1:], parameters.outputs[:1])
    dtype = data.inputs.dtype
    start = [jnp.zeros((*each.shape, each.shape[1]), dtype) for each in layers]
    (own, whole), columns = jax.lax.scan(add, (start, jnp.zeros((), dtype)), (data, fed, slopes))
    *traces, last = [jnp.sum(jnp.trace(each, axis1=1, axis2=2)) for each in own]
    whole = whole + sum(traces, start=len(parameters.outputs) * last)
    count = sum(leaf.size for leaf in jax.tree.leaves(parameters))
    return columns.reshape(-1, columns.shape[-1]), own, whole / count


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
