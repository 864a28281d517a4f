"""Coordinates of each neuron in which its own curvature is one: a preconditioner for hard inputs.

In coordinates in which the inputs are uncorrelated, a neuron that is saturated on most samples
still sees few of them, and for it they are as badly conditioned as ever: conjugate gradients spend
most of their iterations on such neurons. With E_k the second moments of the inputs weighted by the
squared slopes of neuron k, and L_k their Cholesky factor, the curvature of neuron k alone is the
identity for moves `L_k.T @ w_k`. What neurons share is kept by one block of neurons by neurons for
each coordinate, as in the inputs' own coordinates: for neurons that are not saturated the two are
nearly the same.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from expand_and_cluster.fitting.projection import Frame, Point

# Samples that moments are measured on, where there are more, drawn by how much they stand out: so
# many for every direction, or as many in all. And how many that blocks are measured on.
DRAWN, LEAST, SEEN = 20, 4096, 2048
# Share of a neuron's mean curvature that is added to all of its directions.
FLOOR = 1e-4
# The same for blocks of neurons that coincide.
RIDGE = 1e-6
# Share of a neuron's curvature that the drawn samples show at least, for it to be scaled up to.
LEAST_SHOWN = 1e-2
# Change of a neuron's slopes, relative to their square, after which its moments are measured anew.
CHANGED = 1e-2
# Rows of the samples that blocks are summed over at a time.
PART = 256


class Moments(NamedTuple):
    """What the coordinates are made of, all in single precision.

    Attributes:
        own: Second moments of the inputs for every neuron, weighted by its squared slopes.
        inputs: Some samples' uncorrelated inputs.
        slopes: Slopes there, times the root of what the sample stands for.
    """

    own: Float[Array, "neurons directions directions"]
    inputs: Float[Array, "seen directions"]
    slopes: Float[Array, "seen neurons"]


class OwnCoordinates(NamedTuple):
    """The preconditioner: into each neuron's coordinates, through the blocks, and back.

    Attributes:
        inverse: Inverses of the Cholesky factors of every neuron's curvature, damping included.
        blocks: Inverses of the Cholesky factors of the blocks, one for each coordinate.
    """

    inverse: Float[Array, "neurons directions directions"]
    blocks: Float[Array, "directions neurons neurons"]

    def apply(self, left: Float[Array, "neurons directions"]) -> Float[Array, "neurons directions"]:
        """The approximate inverse of the damped Gauss-Newton matrix, times a vector."""
        into = jnp.einsum("kij,kj->ki", self.inverse, left.astype(jnp.float32))
        half = jnp.einsum("ikl,li->ki", self.blocks, into)
        whole = jnp.einsum("ilk,li->ki", self.blocks, half)
        return jnp.einsum("kij,ki->kj", self.inverse, whole).astype(left.dtype)


class OwnMoments:
    """Measures moments of the neurons on some pairs, each again once its slopes have changed.

    They cost more than the iterations that they save, were they measured for every step; and while
    neurons are removed one after the other, those that stay hardly change.

    Args:
        frame: The pairs; rows that stand for themselves.
    """

    def __init__(self, frame: Frame) -> None:
        """Draw samples; nothing is measured yet."""
        directions, rows = frame.root.shape[1], frame.weights.size
        enough = max(DRAWN * directions, LEAST)
        self._many = _all(frame) if rows <= enough else _drawn(frame, enough)
        self._few = _drawn(frame, SEEN)
        self._slopes = jnp.zeros((rows, 0), jnp.float32)
        self._own = jnp.zeros((0, directions, directions), jnp.float32)

    def at(self, point: Point) -> Moments:
        """The moments at a point.

        Args:
            point: Where a step is taken, on the pairs of the frame.
        """
        slopes = point.slopes.astype(jnp.float32).reshape(-1, point.slopes.shape[-1])
        known, changed = _nearest(slopes, self._slopes)
        anew = np.flatnonzero(np.asarray(changed))
        places = np.asarray(known).copy()
        places[anew] = len(self._own) + np.arange(len(anew))
        if not np.array_equal(places, np.arange(len(self._own))):
            samples, share, inputs = self._many
            measured = [_moments(inputs, slopes[samples, neuron] * share) for neuron in anew]
            both = [*self._own, *measured]
            self._own = jnp.stack([both[place] for place in places])
            self._slopes = jnp.concatenate([self._slopes, slopes[:, anew]], axis=1)[:, places]
        samples, share, inputs = self._few
        return Moments(self._own, inputs, slopes[samples] * share[:, None])


def _all(frame: Frame) -> tuple[Array, Array, Array]:
    """All samples, roots of what each stands for, and their uncorrelated inputs."""
    white = frame.white.reshape(-1, frame.white.shape[-1])
    weights = frame.weights.astype(jnp.float32).reshape(-1)
    return jnp.arange(len(white)), jnp.sqrt(weights), white


def _drawn(frame: Frame, count: int) -> tuple[Array, Array, Array]:
    """The same of some samples, which stand for all."""
    _, root, white = _all(frame)
    weights = root**2
    # Samples that stand out are the only ones that tell of rare directions.
    length = jnp.sum(white**2, axis=1)
    standing = jnp.cumsum(weights * length)
    drawn = jnp.searchsorted(standing, (jnp.arange(count) + 0.5) / count * standing[-1])
    return drawn, jnp.sqrt(standing[-1] / (count * length[drawn])), white[drawn]


@jax.jit
def _nearest(
    slopes: Float[Array, "rows neurons"], known: Float[Array, "rows known"]
) -> tuple[Int[Array, " neurons"], Bool[Array, " neurons"]]:
    """For every neuron the known one with the most similar slopes, and whether these changed."""
    size = jnp.sum(slopes**2, axis=0)
    if known.shape[1] == 0:
        return jnp.zeros(slopes.shape[1], jnp.int32), jnp.ones(slopes.shape[1], bool)
    apart = size[:, None] - 2.0 * slopes.T @ known + jnp.sum(known**2, axis=0)
    return jnp.argmin(apart, axis=1), jnp.min(apart, axis=1) > CHANGED * size


@jax.jit
def _moments(
    inputs: Float[Array, "drawn directions"], column: Float[Array, " drawn"]
) -> Float[Array, "directions directions"]:
    """Second moments of the inputs, weighted by the squares of a column."""
    seen = inputs * column[:, None]
    return seen.T @ seen


def own_coordinates(
    moments: Moments,
    outputs: Float[Array, "neurons outputs"],
    damping: Float[Array, ""],
    metric: Float[Array, " directions"],
) -> OwnCoordinates:
    """Factor the damped curvature.

    Args:
        moments: See `OwnMoments`.
        outputs: Output weights of the neurons.
        damping: Damping of the step.
        metric: What damping holds on to in every direction.
    """
    outputs = outputs.astype(jnp.float32)
    size = jnp.sum(outputs**2, axis=1)
    shift = (damping * metric).astype(jnp.float32)
    identity = jnp.eye(len(metric), dtype=jnp.float32)
    mean = jnp.trace(moments.own, axis1=1, axis2=2) / len(metric)
    # Absent neurons have no curvature at all: any will do.
    floor = jnp.where(mean * size > 0.0, FLOOR * mean, 1.0)
    held = jnp.where(size > 0.0, 1.0 / jnp.where(size > 0.0, size, 1.0), 0.0)

    def factor(own: Array, floor: Array, held: Array) -> Array:
        damped = own + jnp.diag(shift * held + floor)
        return jsl.solve_triangular(jnp.linalg.cholesky(damped), identity, lower=True)

    inverse = jax.lax.map(lambda part: factor(*part), (moments.own, floor, held))
    # What damping and floor add to every neuron's own curvature, in its coordinates. The rest, to
    # one in all, is known better than the samples that were drawn show it.
    added = jnp.einsum("kij,kj->ki", inverse**2, shift * held[:, None] + floor[:, None])
    shared = _shared(moments, inverse)
    shown = jnp.diagonal(shared, axis1=1, axis2=2)
    known = jnp.maximum(1.0 - added.T, 0.0)
    right = jnp.sqrt(known / jnp.maximum(shown, LEAST_SHOWN * known + 1e-30))
    shared = shared * right[:, :, None] * right[:, None, :] * (outputs @ outputs.T)
    least = RIDGE * jnp.maximum(jnp.trace(shared, axis1=1, axis2=2) / len(size), 1e-12)
    alone = added * size[:, None] + jnp.where(size > 0.0, 0.0, 1.0)[:, None]
    eye = jnp.eye(len(size), dtype=jnp.float32)
    blocks = shared + jax.vmap(jnp.diag)(alone.T) + least[:, None, None] * eye
    every = jnp.broadcast_to(eye, blocks.shape)
    return OwnCoordinates(
        inverse, jsl.solve_triangular(jnp.linalg.cholesky(blocks), every, lower=True)
    )


def _shared(
    moments: Moments, inverse: Float[Array, "neurons directions directions"]
) -> Float[Array, "directions neurons neurons"]:
    """Second moments of the inputs of two neurons, each in its own coordinates."""

    def add(total: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
        inputs, slopes = part
        seen = jnp.einsum("kij,rj->ikr", inverse, inputs) * slopes.T
        return total + seen @ jnp.swapaxes(seen, 1, 2), None

    neurons, directions = inverse.shape[:2]
    start = jnp.zeros((directions, neurons, neurons), jnp.float32)
    parts = (
        moments.inputs.reshape(-1, PART, directions),
        moments.slopes.reshape(-1, PART, neurons),
    )
    return jax.lax.scan(add, start, parts)[0]
