"""The paper's synthetic teachers (A.4) and the inputs they are asked on."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import qmc

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.activations import ActivationLike, resolve
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network

HALF_WIDTH = np.sqrt(3.0)
"""Inputs are uniform in [-HALF_WIDTH, HALF_WIDTH]: zero mean, unit variance."""
STEEPNESS = 3.0
BIAS_STEP = np.sqrt(3.0) / 3.0
# A scrambled Sobol sequence of 2**15 points gives means and standard deviations of the family
# several times more accurately than as many independent draws (the paper's 30,000).
SAMPLE_EXPONENT = 15

MOST_DRAWS = 20_000

Samples = Float[np.ndarray, "samples inputs"]
Drawn = Int[np.ndarray, "neurons inputs_and_bias"]


def synthetic(
    input_size: int,
    width: int,
    seed: int,
    activation: ActivationLike = "g",
) -> Network:
    """A teacher of the paper's synthetic family: one hidden layer, one output.

    Input weights are drawn from {-1, 0, 1} and normalised, biases from {-2, -1, 0, 1, 2} times
    sqrt(3)/3; both are then multiplied by 3. Output weights are drawn from {-1, 1}. A neuron that
    equals another up to what the activation hides is drawn again. The output has zero mean and
    unit variance over the inputs.

    Args:
        input_size: Number of inputs, d.
        width: Number of hidden neurons, r.
        seed: Not negative; the same seed, sizes and activation give the same network.
        activation: A name of the catalogue, a `jax.numpy` function, or an `Activation`; or a
            sequence of names, one for each hidden neuron.

    Returns:
        The network; mean and standard deviation of its output are taken over a scrambled Sobol
        sequence of 2**15 inputs that the seed fixes.

    Raises:
        InvalidInputError: There are not that many different neurons for so few inputs.

    Source: paper, A.4.
    """
    return synthetic_deep((input_size, width, 1), seed, activation)


def synthetic_deep(
    widths: Sequence[int],
    seed: int,
    activation: ActivationLike = "g",
) -> Network:
    """Synthetic teachers stacked: every layer is drawn like that of `synthetic`.

    Each input of a hidden layer is standardised over the input distribution, by a scale and shift
    that the layer's weights and biases take in. Two kinds of neurons that nobody could find are
    avoided, about which the paper says nothing: a neuron whose hyperplane leaves all inputs on one
    side is drawn again (it cannot occur in the first layer), and where a draw leaves a hidden
    neuron without any use in the hidden layer above, one weight there, chosen at random, becomes
    -1 or 1.

    Args:
        widths: Inputs, hidden layers, outputs: for example (8, 4, 2, 1).
        seed: As for `synthetic`.
        activation: As for `synthetic`.

    Returns:
        The network; every output has zero mean and unit variance over the inputs.

    Raises:
        InvalidInputError: A width is not positive, there is no hidden layer, or a layer has more
            neurons than its inputs allow different ones.

    Source: paper, A.4 and A.5.
    """
    sizes = tuple(widths)
    if len(sizes) < 3 or not all(isinstance(n, int | np.integer) and n > 0 for n in sizes):
        raise InvalidInputError(
            f"widths must be at least three positive integers (inputs, hidden layers, outputs), "
            f"got {sizes}."
        )
    resolved = resolve(activation)
    rng = np.random.default_rng([_checked(seed), *sizes])
    sobol = qmc.Sobol(sizes[0], scramble=True, rng=rng)
    values = HALF_WIDTH * (2.0 * sobol.random_base2(SAMPLE_EXPONENT) - 1.0)
    layers = []
    mean, deviation = np.zeros(sizes[0]), np.ones(sizes[0])
    for depth, width in enumerate(sizes[1:-1]):
        standard = (values - mean) / deviation
        weight, bias = _draw_layer(standard, width, rng, resolved, every_input=depth > 0)
        values = resolved.values(standard @ weight.T + bias)
        layers.append((weight / deviation, bias - weight @ (mean / deviation)))
        mean, deviation = values.mean(axis=0), values.std(axis=0)
    signs = rng.choice([-1.0, 1.0], size=(sizes[-1], sizes[-2]))
    outputs = values @ signs.T
    scale = outputs.std(axis=0)
    layers.append((signs / scale[:, None], -outputs.mean(axis=0) / scale))
    return Network.from_arrays(layers, resolved)


def synthetic_inputs(count: int, input_size: int, seed: int) -> Float[np.ndarray, "count inputs"]:
    """Independent inputs of the synthetic tasks: uniform in [-sqrt(3), sqrt(3)].

    Args:
        count: How many rows.
        input_size: How many columns.
        seed: Not negative.

    Raises:
        InvalidInputError: A number is not a positive integer, or the seed is negative.

    Source: paper, A.4.
    """
    if count < 1 or input_size < 1:
        raise InvalidInputError(
            f"count and input_size must be positive, got {count} and {input_size}."
        )
    rng = np.random.default_rng([_checked(seed), input_size])
    return rng.uniform(-HALF_WIDTH, HALF_WIDTH, size=(count, input_size))


def _draw_layer(
    standard: Samples,
    width: int,
    rng: np.random.Generator,
    activation: Activation,
    every_input: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases of one hidden layer, for standardised inputs."""
    inputs = standard.shape[1]
    sign_free = bool(activation.flips(width).possible.any())
    # Weights of equal length: two neurons never differ by a positive scale alone. A neuron and
    # its negative are one neuron where the activation hides the sign.
    different = (3**inputs - 1) * 5 // (2 if sign_free else 1)
    if width > different:
        raise InvalidInputError(
            f"width={width} is impossible: with {inputs} input(s) and activation "
            f"{activation.name!r} the family has only {different} different neurons; ask for at "
            "most that many."
        )
    neurons: list[tuple[int, ...]] = []
    taken: set[tuple[int, ...]] = set()
    for _ in range(MOST_DRAWS):
        neuron = (*rng.integers(-1, 2, size=inputs).tolist(), int(rng.integers(-2, 3)))
        if neuron in taken or not any(neuron[:-1]):
            continue
        if not _within(standard, *_scaled(np.array([neuron]))):
            continue
        neurons.append(neuron)
        taken.add(neuron)
        if sign_free:
            taken.add(tuple(-entry for entry in neuron))
        if len(neurons) == width:
            drawn = np.array(neurons)
            if every_input:
                _use_every_input(drawn[:, :-1], rng)
            weight, bias = _scaled(drawn)
            if _within(standard, weight, bias):
                return weight, bias
            neurons, taken = [], set()
    raise InvalidInputError(
        f"no layer of {width} different neurons was found for {inputs} input(s) and activation "
        f"{activation.name!r} in {MOST_DRAWS} draws; ask for fewer neurons or take another seed."
    )


def _scaled(neurons: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """Weights of length 3 and the biases that go with them."""
    weights, steps = neurons[:, :-1], neurons[:, -1]
    unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    return STEEPNESS * unit, STEEPNESS * BIAS_STEP * steps


def _within(standard: Samples, weight: np.ndarray, bias: np.ndarray) -> bool:
    """Whether every neuron's hyperplane has inputs on both sides."""
    z = standard @ weight.T + bias
    return bool(np.all((z.min(axis=0) < 0) & (z.max(axis=0) > 0)))


def _use_every_input(weights: Int[np.ndarray, "neurons inputs"], rng: np.random.Generator) -> None:
    """Give every input that no neuron reads to one neuron, in place.

    No two neurons become equal: only one of them reads that input.
    """
    for column in np.flatnonzero(~weights.any(axis=0)):
        weights[rng.integers(len(weights)), column] = rng.choice([-1, 1])


def _checked(seed: int) -> int:
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise InvalidInputError(f"seed must be an integer of at least 0, got {seed!r}.")
    return int(seed)
