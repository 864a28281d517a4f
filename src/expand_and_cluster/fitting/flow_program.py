"""Gradient flow of one network: the compiled part."""

from functools import partial
from typing import Any, cast

import diffrax
import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from expand_and_cluster.core.network import Network
from expand_and_cluster.fitting import squared_error
from expand_and_cluster.fitting.squared_error import Blocks


@jax.jit
def value_and_gradient(flat: Array, template: Network, data: Blocks) -> tuple[Array, Array]:
    """Mean squared error and gradient at weights laid out flat, in the form of `template`."""
    network = ravel_pytree(template)[1](flat)
    value, gradient = squared_error.value_and_gradient(network, data)
    return value, ravel_pytree(gradient)[0]


def _velocity(_: Any, flat: Array, args: tuple[Network, Blocks, Array, Array]) -> Array:
    template, data, *_ends = args
    return -value_and_gradient(flat, template, data)[1]


def _arrived(
    _: Any, flat: Array, args: tuple[Network, Blocks, Array, Array], **_rest: Any
) -> Array:
    template, data, target, slope = args
    value, gradient = value_and_gradient(flat, template, data)
    return (value <= target) | (jnp.linalg.norm(gradient) <= slope)


@partial(jax.jit, static_argnames=("solver", "steps"))
def follow(
    solver: diffrax.AbstractSolver,
    flat: Array,
    args: tuple[Network, Blocks, Array, Array],
    span: tuple[Array, Array, Array],
    tolerances: tuple[Array, Array],
    steps: int,
) -> tuple[Array, Float[Array, " steps"], Array]:
    """Take at most `steps` steps of the flow.

    Args:
        solver: How to step.
        flat: Weights at the start.
        args: Network of the right form, pairs, loss and gradient norm at which to stop.
        span: Time now, time of the end, length of the first step.
        tolerances: Relative and absolute.
        steps: Steps at most, rejected ones included.

    Returns:
        Weights, times after accepted steps (infinity after the last), number of steps.
    """
    now, end, length = span
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(_velocity),
        solver,
        now,
        end,
        length,
        flat,
        args,
        saveat=diffrax.SaveAt(
            subs=(
                diffrax.SubSaveAt(t1=True),
                diffrax.SubSaveAt(steps=True, fn=lambda time, _flat, _args: time),
            )
        ),
        stepsize_controller=diffrax.PIDController(rtol=tolerances[0], atol=tolerances[1]),
        event=diffrax.Event(_arrived),
        max_steps=steps,
        throw=False,
    )
    weights, times = cast(tuple[Array, Array], solution.ys)
    return weights[0], times, solution.stats["num_steps"]
