"""Normal equations of a one-hidden-layer network, assembled from its structure.

The Jacobian of sample s with respect to the weight from input i into neuron k is
`a_k activation'(z_ks) x_is`, one row for each output. Written out, its Gram matrix costs
`outputs * samples * (neurons * inputs)**2` multiplications. Three facts remove most of them:

* summed over outputs it is `(a_k . a_l) * sum_s d_ks d_ls x_is x_js`, so outputs cost nothing;
* the sum is symmetric in (k, l) and in (i, j) *separately*, so one product of pair matrices
  (`d_k d_l` by `x_i x_j`) with a quarter of the entries gives it all, and the input pairs are the
  same in every step;
* the output weights enter linearly with one block shared by all outputs, so they are eliminated
  (Schur complement) and the system solved has one unknown for each input weight only, however
  many outputs there are.
"""

from typing import NamedTuple

import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import placed


class Parameters(NamedTuple):
    """Weights of a one-hidden-layer network, arranged for the solver.

    Attributes:
        inputs: Input vectors, bias last.
        outputs: Output weights.
        constants: Weights of the fixed features: the output bias, preceded by the skip's weights
            if there is one.
    """

    inputs: Float[Array, "neurons inputs"]
    outputs: Float[Array, "outputs neurons"]
    constants: Float[Array, "outputs features"]


class Masks(NamedTuple):
    """Which neurons take part (1 or 0), and which of their input vectors may move."""

    present: Float[Array, " neurons"]
    free: Float[Array, " neurons"]


class Data(NamedTuple):
    """A training set and what can be computed of it once.

    Attributes:
        inputs: Inputs with a column of ones appended.
        pairs: Products of two input columns, lower triangle row by row.
        features: Fixed features of the output: ones, preceded by the inputs for a skip.
        targets: Outputs to be matched, transposed.
    """

    inputs: Float[Array, "samples inputs"]
    pairs: Float[Array, "samples input_pairs"]
    features: Float[Array, "features samples"]
    targets: Float[Array, "outputs samples"]


class NormalEquations(NamedTuple):
    """Gram blocks and gradient of half the summed squares over samples, per sample.

    Attributes:
        input_gram: Input weights with input weights, output weights still to be multiplied in.
        cross_gram: Output features with input weights, likewise.
        feature_gram: Output features among themselves.
        input_gradient: Gradient in the input weights.
        feature_gradient: Gradient in the weights of the output features.
        loss: Squared error summed over outputs, mean over samples.
    """

    input_gram: Float[Array, "weights weights"]
    cross_gram: Float[Array, "all_features weights"]
    feature_gram: Float[Array, "all_features all_features"]
    input_gradient: Float[Array, " weights"]
    feature_gradient: Float[Array, "all_features outputs"]
    loss: Float[Array, ""]


def prepare(
    inputs: Float[np.ndarray, "samples inputs"],
    targets: Float[np.ndarray, "samples outputs"],
    *,
    skip: bool,
) -> Data:
    """Everything that is computed from the data alone; call inside double precision."""
    ones = np.ones((len(inputs), 1))
    extended = np.concatenate([inputs, ones], axis=1)
    i, j = np.tril_indices(extended.shape[1])
    return Data(
        placed(extended),
        placed(extended[:, i] * extended[:, j]),
        placed((extended if skip else ones).T),
        placed(targets.T),
    )


def parameters_of(network: Network) -> Parameters:
    """Arrange a single network's weights for the solver; call inside double precision."""
    first, last = network.layers
    constants = last.bias[:, None]
    if network.skip is not None:
        constants = np.concatenate(
            [network.skip.weight, (last.bias + network.skip.bias)[:, None]], axis=1
        )
    return Parameters(
        placed(np.concatenate([first.weight, first.bias[:, None]], axis=1)),
        placed(last.weight),
        placed(constants),
    )


def network_of(
    parameters: Parameters, activation: Activation, present: Bool[np.ndarray, " neurons"]
) -> Network:
    """The network with these weights, absent neurons left out."""
    inputs, outputs, constants = (np.asarray(leaf) for leaf in parameters)
    layers = (
        Layer(inputs[present, :-1], inputs[present, -1]),
        Layer(outputs[:, present], constants[:, -1]),
    )
    skip = Layer(constants[:, :-1], np.zeros(len(constants))) if constants.shape[1] > 1 else None
    return Network(layers, activation, skip)


def hidden(
    parameters: Parameters, masks: Masks, activation: Activation, data: Data
) -> tuple[Float[Array, "neurons samples"], Float[Array, "neurons samples"]]:
    """Pre-activations and activations; absent neurons give zero."""
    pre = parameters.inputs @ data.inputs.T
    return pre, activation.by_rows().function(pre) * masks.present[:, None]


def residual(
    parameters: Parameters, activations: Float[Array, "neurons samples"], data: Data
) -> Float[Array, "outputs samples"]:
    """Network output minus target."""
    return parameters.outputs @ activations + parameters.constants @ data.features - data.targets


def loss(parameters: Parameters, masks: Masks, activation: Activation, data: Data) -> Array:
    """Squared error summed over outputs, mean over samples."""
    _, activations = hidden(parameters, masks, activation, data)
    return jnp.sum(residual(parameters, activations, data) ** 2) / data.targets.shape[1]


def assemble(
    parameters: Parameters, masks: Masks, activation: Activation, data: Data
) -> NormalEquations:
    """Gram blocks and gradient at these weights."""
    neurons, size = parameters.inputs.shape
    samples = data.targets.shape[1]
    pre, activations = hidden(parameters, masks, activation, data)
    error = residual(parameters, activations, data)
    slopes = activation.by_rows().derivative(pre) * (masks.present * masks.free)[:, None]
    one, other = np.tril_indices(neurons)
    # Rows are neurons and samples lie along memory, so that taking pairs copies whole rows.
    products = (slopes[one] * slopes[other]) @ data.pairs / samples
    gram = products[
        pair_index(neurons)[:, None, :, None], pair_index(size)[None, :, None, :]
    ].reshape(neurons * size, neurons * size)
    features = jnp.concatenate([activations, data.features])
    tangents = (slopes[:, None, :] * data.inputs.T[None]).reshape(neurons * size, samples)
    return NormalEquations(
        input_gram=gram,
        cross_gram=features @ tangents.T / samples,
        feature_gram=features @ features.T / samples,
        input_gradient=(((parameters.outputs.T @ error) * slopes) @ data.inputs).reshape(-1)
        / samples,
        feature_gradient=features @ error.T / samples,
        loss=jnp.sum(error**2) / samples,
    )


def solve(
    parameters: Parameters, equations: NormalEquations, damping: Array, ridge: float
) -> tuple[Parameters, Array]:
    """Damped Gauss-Newton step, the output features eliminated first.

    Args:
        parameters: Where the equations were assembled.
        equations: The Gram blocks and gradient.
        damping: Added to the diagonal of every weight.
        ridge: Added to the output features' diagonal besides, relative to its mean: keeps exact
            duplicates, whose features are equal, from making it singular.

    Returns:
        The moved weights, and the decrease of the loss that the quadratic model predicts.
    """
    outputs = parameters.outputs
    neurons, size = parameters.inputs.shape
    block = equations.feature_gram
    extra = damping + ridge * jnp.trace(block) / block.shape[0]
    factor = jnp.linalg.cholesky(block + extra * jnp.eye(block.shape[0]))
    half = jsl.solve_triangular(factor, equations.cross_gram, lower=True)
    mixing = jnp.repeat(jnp.repeat(outputs.T @ outputs, size, axis=0), size, axis=1)
    reduced = mixing * (equations.input_gram - half.T @ half)
    shifted = jsl.cho_solve((factor, True), equations.feature_gradient)
    correction = (equations.cross_gram.T @ shifted).reshape(neurons, size, -1)
    right = equations.input_gradient - jnp.einsum("kio,ok->ki", correction, outputs).reshape(-1)
    upper = jnp.linalg.cholesky(reduced + damping * jnp.eye(neurons * size))
    step = -jsl.cho_solve((upper, True), right)
    moved = step.reshape(neurons, size)
    weighted = (outputs.T[:, None, :] * moved[:, :, None]).reshape(neurons * size, -1)
    linear = -jsl.cho_solve(
        (factor, True), equations.feature_gradient + equations.cross_gram @ weighted
    )
    descent = step @ equations.input_gradient + jnp.sum(linear * equations.feature_gradient)
    predicted = -descent + damping * (step @ step) + extra * jnp.sum(linear**2)
    new = Parameters(
        parameters.inputs + moved,
        outputs + linear[:neurons].T,
        parameters.constants + linear[neurons:].T,
    )
    return new, predicted


def pair_index(size: int) -> np.ndarray:
    """Position of each unordered pair in the lower triangle, as a full symmetric table."""
    table = np.zeros((size, size), dtype=np.int64)
    rows, columns = np.tril_indices(size)
    table[rows, columns] = table[columns, rows] = np.arange(len(rows))
    return table
