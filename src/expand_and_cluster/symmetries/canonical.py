"""One form for all networks that differ only by what their activation hides."""

import numpy as np
from jaxtyping import Bool, Float, Int

from expand_and_cluster.core.activation import Flips
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Layer, Network

# Two numbers that differ by this share of their size are a tie, which something else has to break.
TIE = 1e-9


def canonical(network: Network) -> Network:
    """The same function, with order, signs and scales fixed.

    Two networks without spare neurons compute the same function up to the symmetries of their
    class exactly when their canonical forms are close. What is a symmetry depends on the class:

    - order: always; of neurons with activations of their own, by the activation's name first;
    - sign, for odd activations, up to a constant (tanh, sigmoid): always; the constant goes into
      the next bias;
    - sign, for even + linear activations (relu, softplus, gelu, ...): only with one hidden layer
      and a skip, which takes up the affine map that a flip leaves. Without a skip the signs are
      not free, and stay;
    - scale (relu, leaky_relu): always; input vectors, bias included, get unit length.

    Signs and order follow from the projection of each input vector on a fixed direction whose
    entries have no rational relation: a coordinate that is zero, or equal to another, decides
    nothing. No rule can be continuous for all vectors: near the plane at right angles to that
    direction a second one takes over. Applied twice it changes nothing.

    Args:
        network: A single network of any depth.

    Raises:
        InvalidInputError: The network is an ensemble.

    Source: A.2.3; the paper fixes the sign by one coordinate.
    """
    if network.students is not None:
        raise InvalidInputError(
            f"network is an ensemble of {network.students} networks; give one of them, for example "
            "network.student(0)."
        )
    central = network.centred()
    activation = central.activation
    layers = [(np.asarray(x.weight), np.asarray(x.bias)) for x in central.layers]
    skip = None
    if central.skip is not None:  # its bias is the output's
        skip = np.asarray(central.skip.weight)
        layers[-1] = (layers[-1][0], layers[-1][1] + central.skip.bias)
    absorbs = len(layers) == 2 and skip is not None
    for place in range(len(layers) - 1):
        vectors = np.column_stack(layers[place])
        weight, bias = layers[place + 1]
        rules = activation.flips(len(vectors))
        free = rules.possible & ((rules.linear == 0.0) | absorbs)
        vectors, weight, rest = _turned(vectors, weight, free, rules)
        bias = bias + rest[:, -1]
        skip = None if skip is None else skip + rest[:, :-1]
        vectors, weight = _scaled(vectors, weight, activation.degrees(len(vectors)))
        order = _order(vectors, weight, last=place == len(layers) - 2)
        if activation.kinds:
            kinds = [activation.of(neuron).name for neuron in order]
            order = order[np.argsort(kinds, kind="stable")]
            activation = activation.only(order)
        layers[place] = (vectors[order, :-1], vectors[order, -1])
        layers[place + 1] = (weight[:, order], bias)
    done = central.replace(
        layers=tuple(Layer(*pair) for pair in layers),
        skip=None if skip is None else Layer(skip, np.zeros(len(skip))),
        activation=activation,
    )
    return done if activation.kinds else done.uncentred(network.activation)


def _turned(
    vectors: Float[np.ndarray, "neurons inputs_and_bias"],
    weight: Float[np.ndarray, "outputs neurons"],
    free: Bool[np.ndarray, " neurons"],
    rules: Flips,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input vectors on the positive side, output weights to match, and what that leaves over."""
    keys = _projections(vectors)
    size = np.linalg.norm(vectors, axis=1)
    decides = np.where(np.abs(keys[:, 0]) > TIE * size, keys[:, 0], keys[:, 1])
    chosen = free & (decides < 0.0)
    slope = -rules.linear[chosen, None] * vectors[chosen]
    slope[:, -1] += rules.constant[chosen]
    rest = weight[:, chosen] @ slope
    return (
        np.where(chosen[:, None], -vectors, vectors),
        np.where(chosen, rules.sign, 1) * weight,
        rest,
    )


def _scaled(
    vectors: Float[np.ndarray, "neurons inputs_and_bias"],
    weight: Float[np.ndarray, "outputs neurons"],
    degrees: Float[np.ndarray, " neurons"],
) -> tuple[np.ndarray, np.ndarray]:
    size = np.linalg.norm(vectors, axis=1)
    # What is of unit length to rounding stays to the last bit; a neuron without weights too.
    size[(size == 0.0) | (np.abs(size - 1.0) < 1e-15 * vectors.shape[1])] = 1.0
    size[np.isnan(degrees)] = 1.0
    return vectors / size[:, None], weight * size ** np.nan_to_num(degrees)


def _order(
    vectors: Float[np.ndarray, "neurons inputs_and_bias"],
    weight: Float[np.ndarray, "outputs neurons"],
    *,
    last: bool,
) -> Int[np.ndarray, " neurons"]:
    """Order by projection; what ties in it by the next one, copies by their output weights."""
    outputs = weight.T
    if not last:  # order and signs of the next layer are not fixed yet
        outputs = np.sort(np.abs(outputs), axis=1)
    keys = np.column_stack([_projections(vectors), _projections(outputs)])
    sizes = np.repeat([np.abs(vectors).max(initial=0.0), np.abs(outputs).max(initial=0.0)], 2)
    return np.array(_sorted(np.arange(len(vectors)), keys, TIE * sizes, 0), dtype=int)


def _sorted(rows: np.ndarray, keys: np.ndarray, ties: np.ndarray, level: int) -> list[int]:
    if len(rows) < 2 or level == keys.shape[1]:
        return rows.tolist()
    rising = rows[np.argsort(keys[rows, level], kind="stable")]
    breaks = np.flatnonzero(np.diff(keys[rising, level]) > ties[level]) + 1
    return [row for run in np.split(rising, breaks) for row in _sorted(run, keys, ties, level + 1)]


def _projections(vectors: Float[np.ndarray, "rows size"]) -> Float[np.ndarray, "rows 2"]:
    """Projections on two fixed directions: fractional parts of roots of primes, moved from zero."""
    size = vectors.shape[1]
    # The n-th prime is below n (log n + log log n) for n above 5.
    limit = int(2 * size * (np.log(2 * size + 6) + np.log(np.log(2 * size + 6)))) + 16
    prime = np.ones(limit, dtype=bool)
    prime[:2] = False
    for number in range(2, int(limit**0.5) + 1):
        prime[number * number :: number] = False
    roots = np.sqrt(np.flatnonzero(prime)[: 2 * size].astype(float)) % 1.0 + 0.5
    # A sum in fixed order: the same row gives the same bits among any others.
    return np.einsum("rs,ds->rd", vectors, roots.reshape(2, size))
