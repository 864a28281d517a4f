"""What each neuron sees of the inputs: second moments weighted by its squared slopes.

And what of that is linear in the inputs, which all neurons share (see `fitting.own_coordinates`).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from expand_and_cluster.core.precision import placed
from expand_and_cluster.fitting.projection import ROWS, Frame, Point, features_factor

# Rows of the matrix that couples what is linear, at most (400 MB); where there would be more,
# neurons are taken by themselves.
MOST_COUPLED = 10_000
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
