"""One hidden layer with its output weights solved for: the point at which a step is taken."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import double, placed

# Samples in a block: large enough for full-speed products, small enough to add little memory.
ROWS = 8192
# Directions of the inputs whose variance is below this share of the largest are left alone: in
# double precision they are rounding.
LEAST_VARIANCE = 1e-13
# Ridge on the features, relative to their mean square: exact duplicates make them singular.
RIDGE = 1e-13
REFINEMENTS = 2


class ComparedRows(NamedTuple):
    """Rows compared with a partner: `gain * (value - compared * value[partner])`.

    Differences of answers one small step apart tell about the gradient, but with a weight that is
    the square of the step beside that of whole answers. Fitted as differences, multiplied by a
    gain, they count in full; the solution of an exact problem is the same.

    Attributes:
        partner: Row of the block that a row is compared with.
        compared: 1 for rows that stand for a difference to their partner, 0 for others.
        gain: What rows, or differences, are multiplied by.
    """

    partner: Int[Array, "*blocks rows"]
    compared: Float[Array, "*blocks rows"]
    gain: Float[Array, "*blocks rows"]

    def apply(self, values: Float[Array, "rows columns"]) -> Float[Array, "rows columns"]:
        """Values on the rows of one block, compared."""
        other = values[self.partner] * self.compared[:, None].astype(values.dtype)
        return self.gain[:, None].astype(values.dtype) * (values - other)

    def transpose(self, values: Float[Array, "rows columns"]) -> Float[Array, "rows columns"]:
        """The transpose of `apply`."""
        scaled = self.gain[:, None].astype(values.dtype) * values
        back = scaled * self.compared[:, None].astype(values.dtype)
        return scaled.at[self.partner].add(-back)


class Frame(NamedTuple):
    """Pairs in blocks of equal size, the last filled up with rows of weight zero.

    Attributes:
        inputs: Inputs with a column of ones.
        white: The same in coordinates in which they are uncorrelated and of unit variance, float32.
        targets: Outputs to be matched.
        weights: Share of every row in the mean over samples.
        fixed: Features of the output that do not move: ones, preceded by the inputs for a skip.
        root: Maps inputs to their uncorrelated coordinates, and moves back to input vectors.
        differences: What turns values on rows into what is fitted.
        ridge: What the squares of the neurons' output weights add to the squared error.
    """

    inputs: Float[Array, "blocks rows size"]
    white: Float[Array, "blocks rows directions"]
    targets: Float[Array, "blocks rows outputs"]
    weights: Float[Array, "blocks rows"]
    fixed: Float[Array, "blocks rows fixed"]
    root: Float[Array, "size directions"]
    differences: ComparedRows
    ridge: Float[Array, ""]


class Point(NamedTuple):
    """A network's features on all pairs, its output weights and what is left of the error.

    Attributes:
        features: Activations, followed by the fixed features.
        slopes: Derivatives of the activations; where the affine map of a skip is among the fixed
            features, less their means, which it makes up for: nothing else changes, but each
            neuron's own curvature is then what is left of it.
        outputs: Least-squares weights of all features.
        factor: Cholesky factor of the features' second moments, ridge included.
        residual: Output minus target.
        loss: Mean squared error over samples and outputs, and the ridge's share.
    """

    features: Float[Array, "blocks rows features"]
    slopes: Float[Array, "blocks rows neurons"]
    outputs: Float[Array, "features outputs"]
    factor: Float[Array, "features features"]
    residual: Float[Array, "blocks rows outputs"]
    loss: Float[Array, ""]


def frame_of(
    inputs: Float[np.ndarray, "samples inputs"],
    targets: Float[np.ndarray, "samples outputs"],
    *,
    skip: bool = False,
    partner: Int[np.ndarray, " samples"] | None = None,
    gain: Float[np.ndarray, " samples"] | None = None,
    moves: Float[np.ndarray, "size kinds"] | None = None,
) -> Frame:
    """Lay pairs out for all steps.

    Args:
        inputs: Training inputs.
        targets: Training targets.
        skip: Whether the network carries an affine map from input to output.
        partner: For each row, the row that it is compared with; itself for a row that stands alone.
        gain: What a row, or a difference, is multiplied by.
        moves: Directions in which input vectors may move; None for all.
    """
    samples = len(inputs)
    blocks = 1 if partner is not None else -(-samples // ROWS)
    rows = -(-samples // blocks)
    extended = np.concatenate([inputs, np.ones((samples, 1))], axis=1)
    own = np.arange(samples) % rows
    mate = own if partner is None else partner
    compared = (mate != own).astype(float)
    factor = np.ones(samples) if gain is None else gain
    seen_as, wanted = extended, targets
    if partner is not None:
        seen_as, wanted = (
            factor[:, None] * (values - compared[:, None] * values[mate])
            for values in (extended, targets)
        )
    projected = seen_as if moves is None else seen_as @ moves
    variance, directions = np.linalg.eigh(projected.T @ projected / samples)
    seen = variance > LEAST_VARIANCE * variance[-1]
    root = directions[:, seen] / np.sqrt(variance[seen])
    if moves is not None:
        root = moves @ root

    def laid_out(values: np.ndarray) -> np.ndarray:
        filled = np.zeros((blocks * rows, *values.shape[1:]), values.dtype)
        filled[:samples] = values
        return filled.reshape(blocks, rows, *values.shape[1:])

    white = np.empty((samples, root.shape[1]), np.float32)
    for first in range(0, samples, ROWS):
        white[first : first + ROWS] = extended[first : first + ROWS] @ root
    with double():
        laid = placed(laid_out(extended))
        return Frame(
            laid,
            placed(laid_out(white)),
            placed(laid_out(wanted)),
            placed(laid_out(np.full(samples, 1.0 / samples))),
            laid if skip else laid[:, :, -1:],
            placed(root),
            ComparedRows(
                placed(laid_out(mate)),
                placed(laid_out(compared)),
                placed(laid_out(factor)),
            ),
            # Typed as later ridges are: a weakly typed number is another program.
            placed(0.0),
        )


def network_at(vectors: Float[Array, "neurons size"], point: Point, like: Network) -> Network:
    """The network of these input vectors with the output weights of the point."""
    inputs, outputs = np.asarray(vectors), np.asarray(point.outputs).T
    count = len(inputs)
    layers = (
        Layer(inputs[:, :-1], inputs[:, -1]),
        Layer(outputs[:, :count], outputs[:, -1]),
    )
    skip = None
    if like.skip is not None:
        skip = Layer(outputs[:, count:-1], np.zeros(len(outputs)))
    return like.replace(layers=layers, skip=skip)


@partial(jax.jit, static_argnames="activation")
def evaluate(
    vectors: Float[Array, "neurons size"],
    present: Float[Array, " neurons"],
    frame: Frame,
    activation: Activation,
) -> Point:
    """Features, least-squares output weights and residual of these input vectors.

    Args:
        vectors: Input vectors.
        present: 1 for neurons that take part, 0 for others: these give nothing and do not move.
        frame: The pairs.
        activation: Activation of the neurons.
    """

    def block(part: tuple[Array, Array, ComparedRows]) -> tuple[Array, Array]:
        inputs, fixed, differences = part
        pre = inputs @ vectors.T
        active = activation.function(pre) * present
        features = differences.apply(jnp.concatenate([active, fixed], axis=1))
        return features, activation.derivative(pre) * present

    features, slopes = jax.lax.map(block, (frame.inputs, frame.fixed, frame.differences))
    if frame.fixed.shape[-1] > 1:
        slopes = slopes - jnp.einsum("br,brk->k", frame.weights, slopes)
    weighted = features * frame.weights[:, :, None]
    held = jnp.where(jnp.arange(features.shape[-1]) < len(vectors), frame.ridge, 0.0)
    factor = features_factor(features, weighted, held)
    outputs = jnp.zeros((len(factor), frame.targets.shape[-1]))
    # What is left is computed from the features themselves, so that each pass gains the digits
    # that the Gram matrix lost.
    for _ in range(1 + REFINEMENTS):
        left = frame.targets - features @ outputs
        pull = jnp.einsum("brf,bro->fo", weighted, left) - held[:, None] * outputs
        outputs = outputs + jsl.cho_solve((factor, True), pull)
    residual = features @ outputs - frame.targets
    squares = jnp.sum(frame.weights[:, :, None] * residual**2) + jnp.sum(held @ outputs**2)
    loss = squares / residual.shape[-1]
    return Point(features, slopes, outputs, factor, residual, loss)


def features_factor(
    features: Float[Array, "blocks rows features"],
    weighted: Float[Array, "blocks rows features"],
    held: Float[Array, " features"],
) -> Float[Array, "features features"]:
    """Cholesky factor of the features' second moments, `weighted` by each row's share.

    The ridge by which each weight is `held` is added to their diagonal.
    """
    gram = jnp.einsum("brf,brg->fg", weighted, features)
    scale = jnp.trace(gram) / gram.shape[0]
    return jnp.linalg.cholesky(gram + jnp.diag(RIDGE * scale + held))


@jax.jit
def cauchy_weights(
    residual: Float[Array, "blocks rows outputs"],
    weights: Float[Array, "blocks rows"],
    quantile: Float[Array, ""],
    multiple: Float[Array, ""],
) -> Float[Array, "blocks rows"]:
    """Shares of the rows in the mean where those with large errors count less.

    Args:
        residual: What is left on every row.
        weights: Shares without regard to errors; rows of share zero keep it.
        quantile: Share of the rows whose errors are ordinary.
        multiple: Error, in units of the largest ordinary one, at which a row counts half.
    """
    squares = jnp.sum(residual**2, axis=-1)
    ordinary = jnp.nanquantile(jnp.where(weights > 0, squares, jnp.nan), quantile)
    scale = jnp.maximum(multiple**2 * ordinary, jnp.finfo(squares.dtype).tiny)
    counted = weights / (1.0 + squares / scale)
    return counted / jnp.sum(counted) * jnp.sum(weights)


def median_square(
    outputs: Float[Array, "features outputs"], present: Float[Array, " neurons"]
) -> Float[Array, ""]:
    """Squared length of the weights by which a neuron is read, the median of those present."""
    squares = jnp.sum(outputs[: len(present)] ** 2, axis=1)
    return jnp.nanmedian(jnp.where(present > 0, squares, jnp.nan))


@jax.jit
def slopes_gradient(point: Point, frame: Frame) -> Float[Array, "neurons directions"]:
    """Gradient of half the squared error (mean over samples) in uncorrelated coordinates.

    With a ridge, that of half of both: output weights follow, so that it adds nothing of its own.
    """
    neurons = point.slopes.shape[-1]

    def add(total: Array, part: tuple[Any, ...]) -> tuple[Array, None]:
        slopes, residual, weights, inputs, differences = part
        left = differences.transpose(residual * weights[:, None])
        pulled = slopes * (left @ point.outputs[:neurons].T)
        return total + pulled.T @ inputs, None

    start = jnp.zeros((neurons, frame.inputs.shape[-1]))
    parts = (
        point.slopes,
        point.residual,
        frame.weights,
        frame.inputs,
        frame.differences,
    )
    return jax.lax.scan(add, start, parts)[0] @ frame.root
