"""Squared errors of a whole ensemble on shared samples, in as few and as large products as can be.

Activations are laid out as (students, neurons, samples). The first layer of all students is then
one matrix product, as is the gradient of its weights, and the small layers above it are batched
products of contiguous matrices: nothing large is ever transposed or copied.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Layer, Matrix, Network
from expand_and_cluster.fitting.squared_error import Blocks


def errors_and_gradients(
    students: Network,
    inputs: Float[Array, "samples inputs"],
    targets: Float[Array, "samples outputs"],
) -> tuple[Float[Array, " students"], Network]:
    """Mean squared error of every student and its gradient.

    Args:
        students: Ensemble.
        inputs: Samples that all students see.
        targets: Outputs to imitate.
    """

    def total(students: Network) -> tuple[Array, Array]:
        errors = jnp.mean(_residuals(students, inputs, targets) ** 2, axis=(1, 2))
        # Students share no weights, so the gradient of the sum holds the gradient of each.
        return jnp.sum(errors), errors

    (_, errors), gradients = jax.value_and_grad(total, has_aux=True)(students)
    return errors, gradients


def mean_squared_errors(students: Network, data: Blocks) -> Float[Array, " students"]:
    """Mean over samples and outputs of the squared error of every student.

    Args:
        students: Ensemble.
        data: All pairs; activations of one block at a time are in memory.
    """

    def add(total: Array, block: Blocks) -> tuple[Array, None]:
        squares = _residuals(students, jnp.asarray(block.inputs), block.targets) ** 2
        return total + jnp.sum(block.weights * jnp.sum(squares, axis=1), axis=-1), None

    count = students.layers[0].bias.shape[0]
    return jax.lax.scan(add, jnp.zeros(count, data.inputs.dtype), data)[0]


def _residuals(
    students: Network, inputs: Array, targets: Matrix
) -> Float[Array, "students outputs samples"]:
    values = _of_inputs(students.layers[0], inputs)
    for layer in students.layers[1:]:
        values = layer.weight @ _activated(students.activation, values) + layer.bias[..., None]
    if students.skip is not None:
        values = values + _of_inputs(students.skip, inputs)
    return values - targets.T


def _of_inputs(layer: Layer, inputs: Array) -> Float[Array, "students neurons samples"]:
    count, neurons, size = layer.weight.shape
    rows = jnp.reshape(layer.weight, (count * neurons, size))
    return jnp.reshape(rows @ inputs.T, (count, neurons, -1)) + layer.bias[..., None]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _activated(activation: Activation, values: Array) -> Array:
    # The derivative as it is written shares its terms with the function, which the compiler sees;
    # JAX's own of `logaddexp` and the like does not.
    return activation.by_rows()(values)


@_activated.defjvp
def _activated_jvp(
    activation: Activation, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    rows = activation.by_rows()
    return rows(*primals), rows.derivative(*primals) * tangents[0]
