"""What an activation lets a neuron hide: its sign, its scale, and what is left over (A.2)."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from expand_and_cluster.core.center import candidate_centers
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.precision import double

# A function is taken to obey a symmetry when it does so to this share of its own size on the probe
# points: far above double precision's rounding of a few operations, and far below any asymmetry
# that changes a fitted network.
TOLERANCE = 1e-11
# Probe points: unevenly spaced, so that no periodic function looks simpler than it is.
PROBES = np.concatenate([np.geomspace(1e-3, 12.0, 97), np.sqrt(2.0) * np.arange(1, 9)])
# Some of them, asked once more alone: an elementwise function answers the same. The step does not
# divide the number of probes, so that these points are not symmetric about zero.
SUBSET = slice(3, None, 8)


@dataclass(frozen=True)
class Flip:
    """How a neuron's activation answers the opposite pre-activation.

    `activation(-z) = sign * activation(z) + linear * z + constant`.

    Attributes:
        sign: +1 for even activations (up to a linear part), -1 for odd ones (up to a constant).
        linear: Slope of the left-over, zero for odd activations.
        constant: Constant of the left-over, zero for even activations.
    """

    sign: int
    linear: float
    constant: float


@dataclass(frozen=True)
class Symmetry:
    """Everything an activation hides about a single neuron (paper, A.2.3).

    Attributes:
        flip: The sign symmetry, or None if the activation has none.
        homogeneity: Degree p with `activation(c z) = c**p activation(z)` for all c > 0, or None.
        center: Pre-activation about which all this holds: z stands for the distance from it. Zero
            for every activation of the catalogue.
    """

    flip: Flip | None = None
    homogeneity: float | None = None
    center: float = 0.0

    @property
    def scale_free(self) -> bool:
        """Whether a positive scale can move between input vector and output weights."""
        return self.homogeneity is not None

    def describe(self) -> tuple[str, ...]:
        """What stays unknown about every neuron: a subset of ("sign", "scale")."""
        return ("sign",) * (self.flip is not None) + ("scale",) * self.scale_free


def leading_sign(vectors: Float[np.ndarray, "*rows size"]) -> Float[np.ndarray, "*rows 1"]:
    """Sign of each vector's first coordinate that is at least half as large as its largest.

    A coordinate that is zero, or zero up to rounding, never decides; the zero vector gets +1.
    """
    size = np.abs(vectors)
    first = np.argmax(size >= 0.5 * size.max(axis=-1, keepdims=True), axis=-1)
    leading = np.take_along_axis(vectors, first[..., None], axis=-1)
    return np.where(leading < 0, -1.0, 1.0)


def detect_symmetry(function: Callable[[Array], Array]) -> Symmetry:
    """Find an activation's symmetries from its values.

    Args:
        function: Elementwise function written with `jax.numpy`.

    Returns:
        The symmetry that the function obeys on the probe points to `TOLERANCE` of its size.

    Raises:
        InvalidInputError: The function is constant or affine (no network can be told from a
            linear map), not finite, not elementwise, or does not keep double precision.
    """
    points = np.concatenate([PROBES, -PROBES])
    with double():
        # Traced first: a function that needs concrete values would fail later, inside a fit.
        traced = jax.eval_shape(function, jax.ShapeDtypeStruct(points.shape, jnp.float64))
        shape, dtype = getattr(traced, "shape", None), getattr(traced, "dtype", None)
        if shape != points.shape:
            raise InvalidInputError(
                f"activation must be elementwise: {points.size} values gave shape {shape}."
            )
        if dtype != jnp.float64:
            raise InvalidInputError(
                f"activation gives {dtype} for float64 values; keep the precision of its input."
            )
        values = np.asarray(function(jnp.asarray(points)))
        some = np.asarray(function(jnp.asarray(points[SUBSET])))
    if not np.all(np.isfinite(values)):
        raise InvalidInputError(
            f"activation is not finite at z = {points[~np.isfinite(values)][0]:.3g}; give a "
            "function that is finite on the whole line."
        )
    if np.any(np.abs(some - values[SUBSET]) > TOLERANCE * (1.0 + np.abs(some))):
        raise InvalidInputError(
            "activation must be elementwise: the value at one point changes with the other points."
        )
    _refuse_affine(points, values)
    at_zero = _symmetry_about(function, 0.0)
    if at_zero != Symmetry():
        return at_zero
    for center in candidate_centers(_in_numpy(function)):
        elsewhere = _symmetry_about(function, _tidy(center))
        if elsewhere.flip is not None:
            return elsewhere
    return at_zero


def _in_numpy(function: Callable[[Array], Array]) -> Callable[[np.ndarray], np.ndarray]:
    def values(points: np.ndarray) -> np.ndarray:
        with double():
            return np.asarray(function(jnp.asarray(points)), dtype=np.float64)

    return values


def _symmetry_about(function: Callable[[Array], Array], center: float) -> Symmetry:
    values = _in_numpy(function)
    plus, minus = values(center + PROBES), values(center - PROBES)
    degree = _find_homogeneity(values, center, plus, minus)
    return Symmetry(_find_flip(plus, minus), degree, center)


def _refuse_affine(points: np.ndarray, values: np.ndarray) -> None:
    design = np.stack([points, np.ones_like(points)], axis=1)
    rest = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    if np.max(np.abs(rest)) <= TOLERANCE * max(1.0, float(np.max(np.abs(values)))):
        raise InvalidInputError(
            "activation is an affine function, so every width gives the same linear map; give a "
            "nonlinear one."
        )


def _find_flip(plus: np.ndarray, minus: np.ndarray) -> Flip | None:
    # Errors are judged against the values themselves, point by point, so that a function that
    # grows fast hides no asymmetry near zero.
    size = 1.0 + np.abs(plus) + np.abs(minus)
    constant = float(np.mean(plus[:10] + minus[:10]))
    if np.all(np.abs(plus + minus - constant) <= TOLERANCE * size):
        return Flip(sign=-1, linear=0.0, constant=_tidy(constant))
    weight = PROBES / size
    linear = float(weight @ ((minus - plus) / size) / (weight @ weight))
    if np.all(np.abs(minus - plus - linear * PROBES) <= TOLERANCE * size):
        return Flip(sign=1, linear=_tidy(linear), constant=0.0)
    return None


def _find_homogeneity(
    values_at: Callable[[np.ndarray], np.ndarray],
    center: float,
    plus: np.ndarray,
    minus: np.ndarray,
) -> float | None:
    scale = 2.75
    wide = values_at(center + scale * np.concatenate([PROBES, -PROBES]))
    values = np.concatenate([plus, minus])
    largest = int(np.argmax(np.abs(values)))
    ratio = wide[largest] / values[largest]
    if not np.isfinite(ratio) or ratio <= 0:
        return None
    degree = _tidy(float(np.log(ratio) / np.log(scale)))
    error = np.abs(wide - scale**degree * values)
    return degree if np.all(error <= TOLERANCE * np.abs(wide).clip(min=1e-300)) else None


def _tidy(number: float) -> float:
    """The nearby number with few digits, where rounding alone explains the difference."""
    short = round(number, 9)
    return short if abs(number - short) <= 100 * TOLERANCE else number
