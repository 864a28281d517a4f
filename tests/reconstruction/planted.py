"""Teachers, and students put together by hand from a teacher's neurons and known clutter."""

from typing import NamedTuple

import numpy as np

from expand_and_cluster.core.network import Layer, Network


def teacher(widths, activation, seed=0):
    """Neurons in random directions whose hyperplanes cross the data; variance of about one."""
    rng = np.random.default_rng((seed, *widths))
    inputs, width, outputs = widths
    weight = rng.normal(size=(width, inputs))
    weight *= 2.0 / np.linalg.norm(weight, axis=1, keepdims=True)
    amounts = rng.choice([-1.0, 1.0], size=(outputs, width)) * rng.uniform(
        0.5, 1.2, size=(outputs, width)
    )
    return Network.from_arrays(
        [(weight, rng.uniform(-1.0, 1.0, size=width)), (amounts, rng.normal(size=outputs))],
        activation,
    )


def rarely_bent(widths, activation, inputs, *shares):
    """A teacher of which the last neurons are on for these shares of the samples."""
    source = teacher(widths, activation)
    first, last = source.layers
    bias = first.bias.copy()
    for neuron, share in zip(range(len(bias) - len(shares), len(bias)), shares, strict=True):
        bias[neuron] = -np.quantile(inputs @ first.weight[neuron], 1.0 - share)
    return source.replace(layers=(Layer(first.weight, bias), last))


def gaussian(samples, size, seed=0):
    """Standard normal inputs."""
    return np.random.default_rng((seed, size)).normal(size=(samples, size))


USUAL = -0.2


def images(samples, always, *shown):
    """Inputs that all samples show, and one for each number of samples that show it.

    Where it is not shown, an input is at `USUAL`.
    """
    rng = np.random.default_rng(3)
    rare = np.full((samples, len(shown)), USUAL)
    for column, count in enumerate(shown):
        some = rng.choice(samples, count, replace=False)
        rare[some, column] = rng.uniform(0.5, 1.5, count)
    return np.concatenate([gaussian(samples, always), rare], axis=1)


class Clutter(NamedTuple):
    """What a student holds besides the teacher's neurons."""

    duplicates: int = 0  # of these first neurons; output weights are shared out
    zero_pairs: int = 0  # equal input vectors, opposite output weights
    constants: int = 0  # no input weights
    idle: int = 0  # tiny output weights, the same input vector in every student


def student(source, clutter, seed, *, noise=0.0):
    """One student with these neurons, shuffled.

    Signs (odd activations) and scales (homogeneous ones) are drawn where the activation hides
    them; the affine left-over of even + linear activations is left out, for only input vectors
    matter to clustering. Input vectors are moved by `noise`.
    """
    rng = np.random.default_rng((seed, 77))
    symmetry = source.activation.symmetry
    vectors, outputs = source.input_vectors.copy(), source.output_vectors.copy()
    share = rng.uniform(0.3, 0.7, size=(clutter.duplicates, 1))
    copies = slice(0, clutter.duplicates)
    twins, weights = vectors[copies].copy(), outputs[copies] * share
    outputs[copies] *= 1.0 - share
    size = vectors.shape[1]
    zero = rng.normal(size=(clutter.zero_pairs, size)) * 1.5
    amount = rng.uniform(0.5, 1.0, size=(clutter.zero_pairs, outputs.shape[1]))
    constant = np.zeros((clutter.constants, size))
    constant[:, -1] = rng.normal(size=clutter.constants)
    idle = np.tile(np.linspace(-1, 1, size), (clutter.idle, 1))
    vectors = np.vstack([vectors, twins, zero, zero, constant, idle])
    outputs = np.vstack(
        [
            outputs,
            weights,
            amount,
            -amount,
            rng.normal(size=(clutter.constants, outputs.shape[1])),
            np.full((clutter.idle, outputs.shape[1]), 1e-4),
        ]
    )
    moving = np.linalg.norm(vectors[:, :-1], axis=1, keepdims=True) > 0
    vectors = vectors + noise * moving * rng.normal(size=vectors.shape)
    if symmetry.flip is not None:
        signs = rng.choice([-1.0, 1.0], size=(len(vectors), 1))
        vectors, outputs = signs * vectors, np.where(signs < 0, symmetry.flip.sign, 1) * outputs
    if symmetry.scale_free:
        scales = rng.uniform(0.5, 2.0, size=(len(vectors), 1))
        vectors, outputs = scales * vectors, outputs / scales
    order = rng.permutation(len(vectors))
    vectors, outputs = vectors[order], outputs[order]
    return Network.from_arrays(
        [(vectors[:, :-1], vectors[:, -1]), (outputs.T, source.layers[1].bias)], source.activation
    )


def distance(found, wanted, symmetry):
    """Largest distance from a wanted input vector to its nearest found one, and back.

    Up to the sign and scale that the symmetry hides; scale-free vectors are compared by direction.
    """
    if symmetry.scale_free:
        found, wanted = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (found, wanted))
    gaps = np.linalg.norm(found[:, None] - wanted[None], axis=2)
    if symmetry.flip is not None:
        gaps = np.minimum(gaps, np.linalg.norm(found[:, None] + wanted[None], axis=2))
    return max(gaps.min(axis=0).max(), gaps.min(axis=1).max())
