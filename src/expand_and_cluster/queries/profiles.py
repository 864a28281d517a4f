"""One neuron at a time: along a line that moves one pre-activation and leaves all others alone.

There every output is `a * s(slope * t + offset)` plus a constant: a curve with two numbers to find.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jax import Array
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.precision import double, placed

# Places on a line, in units of the questions' coordinates.
PLACES = np.array([-2.0, -1.2, -0.7, -0.3, -0.1, 0.1, 0.3, 0.7, 1.2, 2.0])
# Starts of the fit: every slope with every offset.
SLOPES = np.geomspace(0.1, 30.0, 20)
OFFSETS = np.linspace(-6.0, 6.0, 25)
STEPS = 60
# Starts from which the fit is tried: peaks of the likeness, the highest ones.
TRIES = 64


def fit_profiles(
    rises: Float[np.ndarray, "lines places outputs"], activation: Activation
) -> tuple[
    Float[np.ndarray, " lines"], Float[np.ndarray, " lines"], Float[np.ndarray, "lines outputs"]
]:
    """Slope, offset and output weights of the neuron that moves along each line.

    Args:
        rises: Outputs at `PLACES` on each line, less those at its middle.
        activation: The neuron's activation.
    """
    left, values, right = np.linalg.svd(rises, full_matrices=False)
    profiles = left[:, :, 0] * values[:, :1]
    starts = np.stack(
        np.meshgrid(np.concatenate([SLOPES, -SLOPES]), OFFSETS, indexing="ij"), axis=-1
    )
    with double():
        fitted, sizes = _fit(placed(profiles), placed(starts), placed(PLACES), activation)
        found, sizes = np.asarray(fitted), np.asarray(sizes)
    return found[:, 0], found[:, 1], sizes[:, None] * right[:, 0, :]


def _curve(
    numbers: Float[Array, " 2"], places: Float[Array, " places"], activation: Activation
) -> Float[Array, " places"]:
    slope, offset = numbers
    return activation.function(slope * places + offset) - activation.function(offset)


def _size(curve: Float[Array, " places"], profile: Float[Array, " places"]) -> Float[Array, ""]:
    """The multiple of a curve that is nearest to a profile."""
    return (curve @ profile) / jnp.maximum(curve @ curve, 1e-300)


def _peaks(likeness: Float[Array, "slopes offsets"]) -> Float[Array, "slopes offsets"]:
    """The likeness where no neighbouring offset does better, else less than any.

    At one slope a profile may look alike at several offsets, left and right of a bend, and only
    one of them leads down to the neuron.
    """
    beside = jnp.pad(likeness, ((0, 0), (1, 1)), constant_values=-1.0)
    peak = (likeness >= beside[:, :-2]) & (likeness >= beside[:, 2:])
    return jnp.where(peak, likeness, -1.0)


@jax.jit(static_argnames=("activation",))
def _fit(
    profiles: Float[Array, "lines places"],
    starts: Float[Array, "slopes offsets 2"],
    places: Float[Array, " places"],
    activation: Activation,
) -> tuple[Float[Array, "lines 2"], Float[Array, " lines"]]:
    slopes, offsets, _ = starts.shape
    curves = jax.vmap(lambda start: _curve(start, places, activation))(starts.reshape(-1, 2))
    units = curves / jnp.maximum(jnp.linalg.norm(curves, axis=1, keepdims=True), 1e-300)

    def residual(
        numbers: Float[Array, " 2"], profile: Float[Array, " places"]
    ) -> Float[Array, " places"]:
        curve = _curve(numbers, places, activation)
        return (_size(curve, profile) * curve - profile) / jnp.linalg.norm(profile)

    solver = optimistix.LevenbergMarquardt(rtol=1e-12, atol=1e-12)

    def descend(
        start: Float[Array, " 2"], profile: Float[Array, " places"]
    ) -> tuple[Float[Array, " 2"], Float[Array, ""]]:
        found = optimistix.least_squares(
            residual, solver, start, profile, max_steps=STEPS, throw=False
        ).value
        return found, jnp.sum(residual(found, profile) ** 2)

    def one(profile: Float[Array, " places"]) -> tuple[Float[Array, " 2"], Float[Array, ""]]:
        likeness = ((units @ profile) ** 2).reshape(slopes, offsets)
        highest = jax.lax.top_k(_peaks(likeness).ravel(), TRIES)[1]
        begun = starts.reshape(-1, 2)[highest]
        found, left = jax.vmap(lambda start: descend(start, profile))(begun)
        best = found[jnp.argmin(jnp.where(jnp.isfinite(left), left, jnp.inf))]
        return best, _size(_curve(best, places, activation), profile)

    return jax.vmap(one)(profiles)
