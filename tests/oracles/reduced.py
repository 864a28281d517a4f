"""The Gauss-Newton matrix of the input vectors alone, written out from the dense Jacobian."""

from typing import NamedTuple

import numpy as np
from tests.oracles import jacobian


class Reduced(NamedTuple):
    """Matrices over the entries of the input vectors, means over samples.

    Attributes:
        whole: Jacobian products, output weights held; with a skip, less what the mean slope of
            each neuron moves, which is a linear map of the inputs.
        matrix: The same with what output weights can make up for projected out (Kaufman).
        gradient: Of half the squared error.
    """

    whole: np.ndarray
    matrix: np.ndarray
    gradient: np.ndarray


def reduced(network, inputs, targets, *, present=None):
    """At a network whose output weights are those of least squares."""
    neurons, size = network.input_vectors.shape
    last, skip = network.layers[1], network.skip is not None
    constants = last.bias[:, None]
    if skip:
        constants = np.hstack([network.skip.weight, (last.bias + network.skip.bias)[:, None]])
    flat = jacobian.flatten(network.input_vectors, last.weight, constants)
    shape = (neurons, size, *constants.shape)
    error, dense = jacobian.dense(
        flat, shape, inputs, targets, network.activation.name, skip=skip, present=present
    )
    moving, solved = np.split(dense / np.sqrt(len(inputs)), [neurons * size], axis=1)
    left, values, _ = np.linalg.svd(solved, full_matrices=False)
    span = left[:, values > 1e-10 * values[0]]
    rest = moving - span @ (span.T @ moving)
    if skip:
        # Rows of a bias are slope times output weight, and those of a weight that times the input.
        rows = moving.reshape(len(inputs), -1, neurons, size)
        mean = rows[..., -1].mean(axis=0)
        extended = np.column_stack([inputs, np.ones(len(inputs))])
        moving = (rows - mean[None, :, :, None] * extended[:, None, None, :]).reshape(moving.shape)
    return Reduced(moving.T @ moving, rest.T @ rest, moving.T @ error / np.sqrt(len(inputs)))


def in_coordinates(matrix, root, neurons):
    """A matrix over input vectors in the coordinates of moves `move @ root.T`."""
    change = np.kron(np.eye(neurons), root)
    return change.T @ matrix @ change
