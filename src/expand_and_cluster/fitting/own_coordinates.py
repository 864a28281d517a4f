"""Each neuron by itself, and all of them where they are linear: a preconditioner for hard inputs.

In coordinates in which the inputs are uncorrelated, a neuron that is saturated on most samples
still sees few of them, and for it they are as badly conditioned as ever: conjugate gradients spend
most of their iterations on such neurons. So each neuron has its own curvature, the second moments
of the inputs weighted by its squared slopes.

What two neurons share is for the most part what of both is linear in the inputs. The inputs x,
weighted by the slopes s_k of a neuron, are split into their regression on the inputs and the rest,
`s_k x = T_k x + r_k`. A move v_k of its input vector then changes the outputs by the linear map
`a_k (T_k v_k) . x`, which adds to those of all others, and by `a_k (r_k . v_k)`, which is its own.
So the Gauss-Newton matrix is near to

    diagonal(|a_k|^2 E[r_k r_k']) + U U',    U_k = a_k x T_k R^(1/2)

with R the part of the inputs' second moments that the outputs' features cannot make up for. The
second term has the rank of outputs times directions, and is inverted by the identity of Sherman,
Morrison and Woodbury. Neurons that are linear on most samples have little curvature of their own
beside what they share, and are badly conditioned without the split.

Beside a skip, the affine map makes up for all that is linear, and only the rest is left.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int
from scipy.linalg import get_lapack_funcs

from expand_and_cluster.core.precision import placed
from expand_and_cluster.fitting.projection import ROWS, Frame, Point, features_factor

# Share of a neuron's mean curvature, what is linear included, that is added to all directions of
# its own. With a tenth of it, rounding in single precision can leave the inverse indefinite.
FLOOR = 1e-3
# Rows of the matrix that couples what is linear, at most (400 MB); where there would be more,
# neurons are taken by themselves.
MOST_COUPLED = 10_000
# Shares of its diagonal that are added to it, until it can be factored in single precision.
STEADY = (1e-5, 1e-4, 1e-3, 1e-2)
# Rows of a triangle that are mirrored at a time.
PART = 512
# Neurons that are measured, half a second each where inputs are many, between two reports.
TELL = 8
# Change of a neuron's slopes, relative to their square, after which its moments are measured anew.
CHANGED = 1e-2


class Moments(NamedTuple):
    """What the preconditioner is made of, all in single precision.

    Attributes:
        own: Second moments of the inputs for every neuron, weighted by its squared slopes, less
            what of them is linear in the inputs if that is coupled or made up for.
        mean: Mean diagonal of the same with nothing taken off.
        linear: `T_k R^(1/2)`, what is linear in the inputs and not made up for; None where
            neurons are taken by themselves.
    """

    own: Float[Array, "neurons directions directions"]
    mean: Float[Array, " neurons"]
    linear: Float[Array, "neurons directions directions"] | None


class OwnCoordinates(NamedTuple):
    """The approximate inverse of the damped Gauss-Newton matrix.

    Attributes:
        inverse: Inverses of the Cholesky factors of every neuron's own curvature, damping included.
        outputs: Output weights.
        held: One over their square, for every neuron; zero for absent ones.
        seen: These inverses times what is linear (see `Moments`); None where neurons are taken by
            themselves.
        coupling: Inverse of the matrix that couples linear maps of the inputs; None likewise.
    """

    inverse: Float[Array, "neurons directions directions"]
    outputs: Float[Array, "neurons outputs"]
    held: Float[Array, " neurons"]
    seen: Float[Array, "neurons directions directions"] | None
    coupling: Float[Array, "maps maps"] | None

    def apply(self, left: Float[Array, "neurons directions"]) -> Float[Array, "neurons directions"]:
        """The approximate inverse, times a vector; all its time is in reading the matrices."""
        half = jnp.einsum("kij,kj->ki", self.inverse, left.astype(jnp.float32))
        if self.coupling is not None:
            linear = jnp.einsum("kij,ki->kj", self.seen, half)
            maps = (self.outputs * self.held[:, None]).T @ linear
            shared = (self.coupling @ maps.reshape(-1)).reshape(maps.shape)
            half = half - jnp.einsum("kij,kj->ki", self.seen, self.outputs @ shared)
        whole = jnp.einsum("kij,ki->kj", self.inverse, half) * self.held[:, None]
        return whole.astype(left.dtype)


class _Measured(NamedTuple):
    """Moments of one neuron.

    Attributes:
        own: Second moments of the inputs weighted by its squared slopes, or what of them is not
            linear in the inputs.
        mean: Mean diagonal of the same with nothing taken off.
        linear: Regression of the inputs weighted by its slopes on the inputs; None where neurons
            are not coupled.
    """

    own: Float[np.ndarray, "directions directions"]
    mean: np.floating
    linear: Float[np.ndarray, "directions directions"] | None


class OwnMoments:
    """Measures moments of the neurons on some pairs, each again once its slopes have changed.

    To measure all of them takes as long as some hundred iterations; from step to step, and while
    neurons are removed one after the other, most of those that stay hardly change.

    Args:
        frame: The pairs; rows that stand for themselves.
    """

    def __init__(self, frame: Frame) -> None:
        """Lay the pairs out in rows; nothing is measured yet."""
        directions = frame.root.shape[1]
        self._frame = frame
        self._inputs = np.asarray(frame.white).reshape(-1, directions)
        self._weights = np.asarray(frame.weights, np.float32).reshape(-1)
        self._slopes = jnp.zeros((len(self._inputs), 0), jnp.float32)
        self._known: list[_Measured] = []
        beside_skip = frame.fixed.shape[-1] > 1
        small = frame.targets.shape[-1] * directions <= MOST_COUPLED
        self._coupled, self._apart = small and not beside_skip, small or beside_skip

    def at(self, point: Point, tell: Callable[[str], None] = lambda note: None) -> Moments:
        """The moments at a point.

        Args:
            point: Where a step is taken, on the pairs of the frame.
            tell: Told after every few neurons that are measured.
        """
        slopes = point.slopes.astype(jnp.float32).reshape(-1, point.slopes.shape[-1])
        nearest, changed = _nearest(slopes, self._slopes)
        anew = np.flatnonzero(np.asarray(changed))
        places = np.asarray(nearest).copy()
        places[anew] = len(self._known) + np.arange(len(anew))
        columns = np.asarray(slopes[:, anew]).T
        both = list(self._known)
        for number, column in enumerate(columns):
            if number % TELL == 0:
                tell(f"{number} of {len(columns)} neurons measured")
            both.append(self._measured(column))
        self._known = [both[place] for place in places]
        self._slopes = jnp.concatenate([self._slopes, slopes[:, anew]], axis=1)[:, places]
        own = placed(np.stack([each.own for each in self._known]))
        mean = placed(np.stack([each.mean for each in self._known]))
        if not self._coupled:
            return Moments(own, mean, None)
        linear = placed(np.stack([each.linear for each in self._known if each.linear is not None]))
        return Moments(own, mean, linear @ _unmatched(point, self._frame))

    def _measured(self, slopes: Float[np.ndarray, " samples"]) -> _Measured:
        """Measure one neuron."""
        low, high = slopes.min(), slopes.max()
        if np.all((slopes == low) | (slopes == high)):
            return self._measured_at_kink(slopes == high, low, high)
        own = _second_moments(self._inputs, self._weights * slopes**2)
        mean = np.trace(own) / len(own)
        if not self._apart:
            return _Measured(own, mean, None)
        # A product with itself is half the work of any other, and needs weights that have a root.
        least = min(low, np.float32(0.0))
        linear = _second_moments(self._inputs, self._weights * (slopes - least))
        linear[np.diag_indices(len(own))] += least
        return _Measured(own - linear @ linear, mean, linear if self._coupled else None)

    def _measured_at_kink(
        self, above: Bool[np.ndarray, " samples"], low: np.floating, high: np.floating
    ) -> _Measured:
        """Measure a neuron that has one slope or another.

        All its moments follow from those of the samples with one of the two, and these from the
        ones with the other, for those of all are the identity.

        Args:
            above: Which samples have the higher slope.
            low: The lower slope.
            high: The higher one; the same for a neuron that bends nowhere, or is absent.
        """
        fewer = above if 2 * np.sum(above) <= len(above) else ~above
        here = _second_moments(self._inputs[fewer], self._weights[fewer])
        identity = np.eye(len(here), dtype=np.float32)
        higher = here if fewer is above else identity - here
        total = low**2 * identity + (high**2 - low**2) * higher
        mean = np.trace(total) / len(total)
        if not self._apart:
            return _Measured(total, mean, None)
        linear = low * identity + (high - low) * higher
        own = (high - low) ** 2 * (here - here @ here)
        return _Measured(own, mean, linear if self._coupled else None)


def _second_moments(
    inputs: Float[np.ndarray, "samples directions"], weights: Float[np.ndarray, " samples"]
) -> Float[np.ndarray, "directions directions"]:
    """Sum over samples of weight times input times input."""
    root = np.sqrt(weights)[:, None]
    total = np.zeros((inputs.shape[1], inputs.shape[1]), np.float32)
    scaled = np.empty_like(inputs[:ROWS])
    for first in range(0, len(inputs), ROWS):
        rows = slice(first, first + ROWS)
        part = np.multiply(inputs[rows], root[rows], out=scaled[: len(root[rows])])
        # NumPy computes one half of a product with itself.
        total += part.T @ part
    return total


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
def _unmatched(point: Point, frame: Frame) -> Float[Array, "directions directions"]:
    """Root of the inputs' second moments less what the features of the outputs make up for."""

    def add(total: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
        weighted, white = part
        return total + weighted.T @ white, None

    weighted, directions = point.features * frame.weights[:, :, None], frame.root.shape[1]
    start = jnp.zeros((weighted.shape[-1], directions), weighted.dtype)
    cross = jax.lax.scan(add, start, (weighted, frame.white))[0]
    factor = features_factor(point.features, weighted, jnp.zeros(weighted.shape[-1]))
    matched = jsl.solve_triangular(factor, cross, lower=True)
    values, vectors = jnp.linalg.eigh(jnp.eye(directions) - matched.T @ matched)
    root = (vectors * jnp.sqrt(jnp.maximum(values, 0.0))) @ vectors.T
    return root.astype(jnp.float32)


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
    inverse, held = _factored(moments, outputs, (damping * metric).astype(jnp.float32))
    if moments.linear is None:
        return OwnCoordinates(inverse, outputs, held, None, None)
    maps, seen = _coupled(moments.linear, inverse, outputs, held)
    coupling = _inverted(np.asarray(maps).T)
    if coupling is None:
        # A poor preconditioner, but one with which the step can be tried, and damped more.
        return OwnCoordinates(inverse, outputs, held, None, None)
    return OwnCoordinates(inverse, outputs, held, seen, placed(coupling))


@jax.jit
def _factored(
    moments: Moments, outputs: Float[Array, "neurons outputs"], shift: Float[Array, " directions"]
) -> tuple[Float[Array, "neurons directions directions"], Float[Array, " neurons"]]:
    """Inverses of the Cholesky factors, and one over the squares of the output weights."""
    size = jnp.sum(outputs**2, axis=1)
    # Absent neurons have no curvature at all: any will do.
    floor = jnp.where(moments.mean * size > 0.0, FLOOR * moments.mean, 1.0)
    held = jnp.where(size > 0.0, 1.0 / jnp.where(size > 0.0, size, 1.0), 0.0)
    identity = jnp.eye(len(shift), dtype=jnp.float32)

    def factor(part: tuple[Array, Array, Array]) -> Array:
        own, floor, held = part
        damped = own + jnp.diag(shift * held + floor)
        return jsl.solve_triangular(jnp.linalg.cholesky(damped), identity, lower=True)

    return jax.lax.map(factor, (moments.own, floor, held)), held


@jax.jit
def _coupled(
    linear: Float[Array, "neurons directions directions"],
    inverse: Float[Array, "neurons directions directions"],
    outputs: Float[Array, "neurons outputs"],
    held: Float[Array, " neurons"],
) -> tuple[Float[Array, "maps maps"], Float[Array, "neurons directions directions"]]:
    """What moves of all neurons by themselves do to linear maps of the inputs, plus one.

    And each neuron's part of it, `OwnCoordinates.seen`.
    """

    def square(part: tuple[Array, Array]) -> tuple[Array, Array]:
        seen = part[1] @ part[0]
        return seen.T @ seen, seen

    squares, seen = jax.lax.map(square, (linear, inverse))
    squares = squares * held[:, None, None]
    maps = jnp.einsum("ko,kp,kij->oipj", outputs, outputs, squares)
    size = outputs.shape[1] * linear.shape[1]
    return maps.reshape(size, size) + jnp.eye(size, dtype=jnp.float32), seen


def _inverted(matrix: Float[np.ndarray, "maps maps"]) -> Float[np.ndarray, "maps maps"] | None:
    """Inverse of a symmetric matrix whose eigenvalues are one and more.

    None if it is far from that, or not finite.
    """
    factored, inverted = get_lapack_funcs(("potrf", "potri"), dtype=np.float32)
    for steady in STEADY:
        factor = np.array(matrix, order="F")
        factor[np.diag_indices(len(factor))] *= 1.0 + steady
        factor, failed = factored(factor, lower=1, overwrite_a=1)
        if not failed and np.isfinite(factor.diagonal()).all():
            break
    else:
        return None
    inverse, _ = inverted(factor, lower=1, overwrite_c=1)
    for first in range(0, len(inverse), PART):
        here, below = slice(first, first + PART), slice(first + PART, None)
        inverse[here, below] = inverse[below, here].T
        square = np.tril(inverse[here, here])
        inverse[here, here] = square + np.tril(square, -1).T
    return inverse
