"""Teachers trained to classify images, as in the paper's experiments on real data."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from os import PathLike
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from expand_and_cluster.core.activations import Activation, resolve
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double, placed
from expand_and_cluster.datasets import Dataset, load

Parameters = list[tuple[Any, Any]]
Data = tuple[Array, Array]


@dataclass(frozen=True)
class _Training:
    """How a teacher is trained; the fields are explained at `trained`."""

    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    validation_fraction: float


def trained(
    dataset: Dataset | str,
    widths: Sequence[int],
    activation: str | Callable[[Array], Array] | Activation = "tanh",
    seed: int = 0,
    *,
    epochs: int = 200,
    patience: int = 20,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    validation_fraction: float = 0.1,
    cache: str | PathLike[str] | None = None,
) -> Network:
    """Train a classifier by cross-entropy, to be used as a teacher.

    Adam on mini-batches in float32, from Glorot-uniform weights and zero biases. After each epoch
    the cross-entropy on the validation part is taken; training stops when it has not improved for
    `patience` epochs, and the best epoch's weights are returned. The test part is never used.

    Args:
        dataset: A dataset, or a name for `datasets.load`.
        widths: Inputs, hidden layers, classes: for example (64, 32, 10).
        activation: A name of the catalogue, a `jax.numpy` function, or an `Activation`.
        seed: Fixes the initial weights, the validation part and the mini-batches.
        epochs: Most epochs to train.
        patience: Epochs without improvement after which to stop.
        batch_size: Images in a mini-batch; what is left over after the last full one sits out.
        learning_rate: Step size of Adam.
        validation_fraction: Share of the training images kept for validation, between 0 and 1.
        cache: Folder that keeps finished teachers; the same data, settings and seed are then
            trained only once. None: nothing is kept.

    Returns:
        The network; its outputs are logits.

    Raises:
        InvalidInputError: A setting makes no sense, or widths do not fit the dataset.

    Source: paper, A.6.3.
    """
    data = load(dataset) if isinstance(dataset, str) else dataset
    resolved = resolve(activation)
    sizes = tuple(int(width) for width in widths)
    training = _Training(epochs, patience, batch_size, learning_rate, validation_fraction)
    _check(data, sizes, seed, training)
    if cache is None:
        return Network.from_arrays(_train(data, sizes, resolved, seed, training), resolved)
    checkpoint = Checkpoint(cache)
    settings = {
        "dataset": data.name,
        "widths": sizes,
        "activation": resolved.name,
        "seed": int(seed),
    }
    settings |= asdict(training)
    name = f"teacher-{_fingerprint(data, resolved, settings)}"
    kept = checkpoint.load(name)
    if kept is not None:
        arrays = kept[0]
        pairs = [(arrays[f"{i}.weight"], arrays[f"{i}.bias"]) for i in range(len(sizes) - 1)]
        return Network.from_arrays(pairs, resolved)
    parameters = _train(data, sizes, resolved, seed, training)
    arrays = {}
    for i, (weight, bias) in enumerate(parameters):
        arrays |= {f"{i}.weight": weight, f"{i}.bias": bias}
    checkpoint.save(name, arrays, settings)
    return Network.from_arrays(parameters, resolved)


def accuracy(network: Network, inputs: ArrayLike, labels: ArrayLike) -> float:
    """Share of inputs whose largest output is that of their class.

    Args:
        network: A classifier with one output for each class.
        inputs: (samples, d_in).
        labels: (samples,) classes from 0.
    """
    return float(np.mean(network(inputs).argmax(axis=-1) == np.asarray(labels)))


def _train(
    data: Dataset, sizes: tuple[int, ...], activation: Activation, seed: int, training: _Training
) -> Parameters:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data.train_labels))
    held = max(1, round(training.validation_fraction * len(order)))
    count = len(order) - held
    batch = min(training.batch_size, count)
    batches = count // batch
    parameters = _glorot_uniform(sizes, rng)
    best, best_loss, since = parameters, np.inf, 0
    # Single precision whatever the caller has switched on: the same seed, the same teacher.
    with jax.enable_x64(False):
        validation, images = (_part(data, rows) for rows in (order[:held], order[held:]))
        rate = jnp.float32(training.learning_rate)
        state = optax.adam(rate).init(parameters)
        for _ in range(training.epochs):
            rows = rng.permutation(count)[: batch * batches].reshape(batches, batch)
            chosen = placed(rows.astype(np.int32))
            parameters, state, loss = _epoch(
                parameters, state, images, validation, chosen, rate, activation
            )
            since += 1
            if float(loss) < best_loss:
                best, best_loss, since = parameters, float(loss), 0
            if since >= training.patience:
                break
    return [(np.asarray(weight), np.asarray(bias)) for weight, bias in best]


@partial(jax.jit, static_argnames="activation")
def _epoch(
    parameters: Parameters,
    state: optax.OptState,
    images: Data,
    validation: Data,
    rows: Int[Array, "batches batch"],
    learning_rate: Float[Array, ""],
    activation: Activation,
) -> tuple[Parameters, optax.OptState, Array]:
    """One pass over the mini-batches; the loss is that of the validation part afterwards."""
    optimiser = optax.adam(learning_rate)
    inputs, labels = images

    def step(
        carry: tuple[Parameters, optax.OptState], chosen: Array
    ) -> tuple[tuple[Parameters, optax.OptState], None]:
        parameters, state = carry
        part = (inputs[chosen], labels[chosen])
        slope = jax.grad(_cross_entropy)(parameters, part, activation)
        updates, state = optimiser.update(slope, state)
        moved = cast(Parameters, optax.apply_updates(parameters, updates))
        return (moved, state), None

    (parameters, state), _ = jax.lax.scan(step, (parameters, state), rows)
    return parameters, state, _cross_entropy(parameters, validation, activation)


def _cross_entropy(parameters: Parameters, data: Data, activation: Activation) -> Array:
    values, labels = data
    for weight, bias in parameters[:-1]:
        values = activation(values @ weight.T + bias)
    weight, bias = parameters[-1]
    logits = values @ weight.T + bias
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def _glorot_uniform(sizes: tuple[int, ...], rng: np.random.Generator) -> Parameters:
    parameters = []
    for below, width in pairwise(sizes):
        bound = np.sqrt(6.0 / (below + width))
        weight = rng.uniform(-bound, bound, size=(width, below)).astype(np.float32)
        parameters.append((weight, np.zeros(width, dtype=np.float32)))
    return parameters


def _part(data: Dataset, rows: np.ndarray) -> Data:
    inputs = placed(data.train_inputs[rows].astype(np.float32))
    return inputs, placed(data.train_labels[rows].astype(np.int32))


def _fingerprint(data: Dataset, activation: Activation, settings: dict[str, Any]) -> str:
    """A name for everything that decides the result, the values of data and activation included."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(data.train_inputs).data)
    digest.update(np.ascontiguousarray(data.train_labels).data)
    with double():
        digest.update(np.asarray(activation(jnp.linspace(-5.1, 4.9, 41))).tobytes())
    return digest.hexdigest()[:24]


def _check(data: Dataset, sizes: tuple[int, ...], seed: int, training: _Training) -> None:
    if len(sizes) < 3 or min(sizes) < 1:
        raise InvalidInputError(
            f"widths must be at least three positive integers (inputs, hidden layers, classes), "
            f"got {sizes}."
        )
    if sizes[0] != data.input_size or sizes[-1] < data.classes:
        raise InvalidInputError(
            f"widths {sizes} do not fit {data.name!r}: it has {data.input_size} inputs and "
            f"{data.classes} classes."
        )
    if seed < 0:
        raise InvalidInputError(f"seed must be at least 0, got {seed}.")
    for name in ("epochs", "patience", "batch_size"):
        if getattr(training, name) < 1:
            raise InvalidInputError(f"{name} must be at least 1, got {getattr(training, name)}.")
    if not training.learning_rate > 0:
        raise InvalidInputError(f"learning_rate must be positive, got {training.learning_rate}.")
    count, share = len(data.train_labels), training.validation_fraction
    if not 0 < share < 1 or round(share * count) >= count:
        raise InvalidInputError(
            f"validation_fraction must lie between 0 and 1 and leave images to train on, got "
            f"{share} of {count} images."
        )
