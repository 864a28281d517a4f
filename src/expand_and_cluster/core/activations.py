"""The catalogue of activations, and any function of the user's."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import erf

from expand_and_cluster.core.activation import Activation, Elementwise, mixture
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.precision import double
from expand_and_cluster.core.symmetry import PROBES, Flip, Symmetry, detect_symmetry

ActivationLike = str | Callable[[Array], Array] | Activation | Sequence[str | Activation]
"""What a user may give for an activation; see `resolve`."""

LEAK = 0.01
SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717


def softplus(z: Array) -> Array:
    """`log(1 + exp(z))`, without overflow."""
    return jnp.logaddexp(z, 0.0)


def g(z: Array) -> Array:
    """`softplus(z) + sigmoid(4 z)`: the paper's activation without symmetries."""
    return softplus(z) + jax.nn.sigmoid(4.0 * z)


def _g_derivative(z: Array) -> Array:
    steep = jax.nn.sigmoid(4.0 * z)
    return jax.nn.sigmoid(z) + 4.0 * steep * (1.0 - steep)


def _sigmoid_derivative(z: Array) -> Array:
    s = jax.nn.sigmoid(z)
    return s * (1.0 - s)


def _gelu(z: Array) -> Array:
    return 0.5 * z * (1.0 + erf(z * jnp.sqrt(0.5)))


def _gelu_derivative(z: Array) -> Array:
    density = jnp.exp(-0.5 * z * z) / jnp.sqrt(2.0 * jnp.pi)
    return 0.5 * (1.0 + erf(z * jnp.sqrt(0.5))) + z * density


def _silu_derivative(z: Array) -> Array:
    s = jax.nn.sigmoid(z)
    return s * (1.0 + z * (1.0 - s))


def _mish(z: Array) -> Array:
    return z * jnp.tanh(softplus(z))


def _mish_derivative(z: Array) -> Array:
    t = jnp.tanh(softplus(z))
    return t + z * (1.0 - t * t) * jax.nn.sigmoid(z)


def _elu(z: Array, alpha: float = 1.0) -> Array:
    return jnp.where(z > 0, z, alpha * jnp.expm1(jnp.minimum(z, 0.0)))


def _elu_derivative(z: Array, alpha: float = 1.0) -> Array:
    return jnp.where(z > 0, 1.0, alpha * jnp.exp(jnp.minimum(z, 0.0)))


_ODD = Symmetry(flip=Flip(sign=-1, linear=0.0, constant=0.0))
_ODD_AND_CONSTANT = Symmetry(flip=Flip(sign=-1, linear=0.0, constant=1.0))
_EVEN_AND_LINEAR = Symmetry(flip=Flip(sign=1, linear=-1.0, constant=0.0))
_NONE = Symmetry()


def _entries() -> list[Activation]:
    return [
        Activation("g", g, _g_derivative, _NONE),
        Activation("tanh", jnp.tanh, lambda z: 1.0 - jnp.tanh(z) ** 2, _ODD),
        Activation("sigmoid", jax.nn.sigmoid, _sigmoid_derivative, _ODD_AND_CONSTANT),
        Activation("softplus", softplus, jax.nn.sigmoid, _EVEN_AND_LINEAR),
        Activation(
            "relu",
            lambda z: jnp.maximum(z, 0.0),
            lambda z: jnp.where(z > 0, 1.0, 0.0),
            Symmetry(flip=Flip(sign=1, linear=-1.0, constant=0.0), homogeneity=1.0),
        ),
        Activation(
            "leaky_relu",
            lambda z: jnp.where(z > 0, z, LEAK * z),
            lambda z: jnp.where(z > 0, 1.0, LEAK),
            Symmetry(flip=Flip(sign=1, linear=-(1.0 + LEAK), constant=0.0), homogeneity=1.0),
        ),
        Activation("gelu", _gelu, _gelu_derivative, _EVEN_AND_LINEAR),
        Activation("silu", lambda z: z * jax.nn.sigmoid(z), _silu_derivative, _EVEN_AND_LINEAR),
        Activation("mish", _mish, _mish_derivative, _NONE),
        Activation(
            "selu",
            lambda z: SELU_SCALE * _elu(z, SELU_ALPHA),
            lambda z: SELU_SCALE * _elu_derivative(z, SELU_ALPHA),
            _NONE,
        ),
        Activation("elu", _elu, _elu_derivative, _NONE),
    ]


catalogue: Mapping[str, Activation] = MappingProxyType({entry.name: entry for entry in _entries()})
"""Activations by name."""


def named(name: str) -> Activation | None:
    """The activation of this name, None if there is none; names with commas make a mixture."""
    kinds = [catalogue.get(each.strip()) for each in name.split(",")]
    known = [kind for kind in kinds if kind is not None]
    return mixture(known) if len(known) == len(kinds) else None


def in_catalogue(activation: Activation) -> bool:
    """Whether the name alone says what the activation is."""
    return named(activation.name) == activation


def resolve(activation: ActivationLike) -> Activation:
    """The activation that a user names or writes.

    Args:
        activation: A name of the catalogue, an `Activation`, or an elementwise function written
            with `jax.numpy`, whose derivative is taken by JAX and whose symmetry is found from its
            values. Several names, as a sequence or with commas between them, make a mixture.

    Raises:
        InvalidInputError: The name is unknown, or the function is no activation: see
            `detect_symmetry`; or its derivative is not finite.
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        found = named(activation)
        if found is None:
            raise InvalidInputError(
                f"activation={activation!r} is not in the catalogue; choose one of "
                f"{', '.join(catalogue)}, or give a function written with jax.numpy."
            )
        return found
    if isinstance(activation, Sequence):
        return _resolve_mixture(activation)
    if not callable(activation):
        raise InvalidInputError(
            f"activation must be a name or a function, not {type(activation).__name__}."
        )
    name = getattr(activation, "__name__", "activation")
    try:
        symmetry = detect_symmetry(activation)
        _refuse_derivative(activation)
    except InvalidInputError:
        raise
    except Exception as error:
        first_line = str(error).strip().split("\n")[0]
        raise InvalidInputError(
            f"activation {name!r} failed on a float64 vector ({first_line}); write it elementwise "
            "with jax.numpy."
        ) from error
    return Activation(name, activation, _derivative_of(activation), symmetry)


def _resolve_mixture(several: Sequence[str | Activation]) -> Activation:
    kinds = [catalogue.get(each) if isinstance(each, str) else each for each in several]
    known = [kind for kind in kinds if isinstance(kind, Activation) and kind in catalogue.values()]
    if not kinds or len(known) < len(kinds):
        raise InvalidInputError(
            f"activation={several!r} must hold names of the catalogue, one or more of "
            f"{', '.join(catalogue)}."
        )
    return mixture(known)


def _derivative_of(function: Elementwise) -> Elementwise:
    def derivative(z: Array) -> Array:
        return jax.jvp(function, (z,), (jnp.ones_like(z),))[1]

    return derivative


def _refuse_derivative(function: Elementwise) -> None:
    # In reverse mode, as first-order training takes it: there, and not in forward mode, the branch
    # of a `where` that is not taken can still turn a gradient into NaN.
    points = np.concatenate([PROBES, -PROBES])
    with double():
        _, pull_back = jax.vjp(function, jnp.asarray(points))
        slopes = np.asarray(pull_back(jnp.ones(points.shape))[0])
    if not np.all(np.isfinite(slopes)):
        raise InvalidInputError(
            f"activation's derivative is not finite at z = {points[~np.isfinite(slopes)][0]:.3g}; "
            "in jnp.where, keep the branch that is not taken finite too."
        )
