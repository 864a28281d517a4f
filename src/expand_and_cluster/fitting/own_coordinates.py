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

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax import Array
from jaxtyping import Float
from scipy.linalg import get_lapack_funcs

from expand_and_cluster.core.precision import placed
from expand_and_cluster.fitting.own_moments import Moments

# Share of a neuron's mean curvature, what is linear included, that is added to all directions of
# its own. With a tenth of it, rounding in single precision can leave the inverse indefinite.
FLOOR = 1e-3
# Shares of the coupling's diagonal that are added to it, until it can be factored in single
# precision.
STEADY = (1e-5, 1e-4, 1e-3, 1e-2)
# Rows of a triangle that are mirrored at a time.
PART = 512


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


def own_coordinates(
    moments: Moments,
    outputs: Float[Array, "neurons outputs"],
    damping: Float[Array, ""],
    metric: Float[Array, " directions"],
) -> OwnCoordinates:
    """Factor the damped curvature.

    Args:
        moments: See `fitting.own_moments`.
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
