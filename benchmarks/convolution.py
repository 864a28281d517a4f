"""A convolutional student and its gradient, by XLA's convolution and by windows written out.

    python benchmarks/convolution.py

A student of 32 and 32 channels (3 x 3 kernels, max-pooling) and 64 neurons for 28 x 28 images,
batches of 64, in single and in double precision: milliseconds of its outputs, and of the gradient
of a loss in all weights; medians of several, the two ways in turn.
"""

import time
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from expand_and_cluster.core import conv_layer
from expand_and_cluster.core.conv_geometry import Conv, Convolutional
from expand_and_cluster.core.conv_network import ConvNetwork

BATCH, CHANNELS, NEURONS, OUTPUTS, REPEATS = 64, 32, 64, 10, 15


def by_windows(layer: conv_layer.ConvLayer, images: Array) -> Array:
    """The convolution as one product of matrices, all windows written out as slices."""
    pad, stride, kernel = layer.geometry.padding, layer.geometry.stride, layer.geometry.kernel
    wide = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    places = layer.geometry.positions(images.shape[1])
    reach = stride * (places - 1) + 1
    seen = [
        wide[:, i : i + reach : stride, j : j + reach : stride]
        for i in range(kernel)
        for j in range(kernel)
    ]
    channels = len(layer.weight)
    vectors = jnp.moveaxis(layer.weight, 1, -1).reshape(channels, -1)
    rows = jnp.concatenate(seen, axis=-1).reshape(-1, vectors.shape[1])
    return (rows @ vectors.T + layer.bias).reshape(len(images), places, places, channels)


WAYS = {"library": conv_layer._convolved, "windows": by_windows}


def main() -> None:
    """Measure in both precisions, print a table."""
    print("| precision | what | library, ms | windows, ms | ratio |")
    print("|---|---|---:|---:|---:|")
    for precise in (False, True):
        with jax.enable_x64(precise):
            measure("double" if precise else "single")


def measure(precision: str) -> None:
    """Two lines of the table."""
    rng = np.random.default_rng(0)
    architecture = Convolutional((1, 28, 28), [Conv(3, pool="max"), Conv(3, pool="max")])
    size = CHANNELS * architecture.sides[-1] ** 2
    student: Any = ConvNetwork.from_arrays(
        architecture,
        [
            (rng.normal(size=(CHANNELS, below, 3, 3)), rng.normal(size=CHANNELS))
            for below in (1, CHANNELS)
        ],
        [
            (rng.normal(size=(NEURONS, size)) / size, rng.normal(size=NEURONS)),
            (rng.normal(size=(OUTPUTS, NEURONS)), rng.normal(size=OUTPUTS)),
        ],
        "relu",
    )
    student = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), student)
    images = jnp.asarray(rng.normal(size=(BATCH, 784)), float)

    for what in ("outputs", "gradient"):
        programs = {
            name: compiled(what == "gradient", way, student, images) for name, way in WAYS.items()
        }
        times: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(REPEATS):
            for name, program in programs.items():
                began = time.perf_counter()
                jax.block_until_ready(program(student, images))
                times[name].append(time.perf_counter() - began)
        library, windows = (1e3 * float(np.median(times[name])) for name in WAYS)
        ratio = windows / library
        print(f"| {precision} | {what} | {library:.1f} | {windows:.1f} | {ratio:.2f} |", flush=True)


def compiled(gradient: bool, way: Any, student: Any, images: Any) -> Any:
    """A student's outputs, or the gradient of a loss, with convolutions made in one way."""

    # A function of its own for each way: what was traced once is not traced again.
    def outputs(student: Any, images: Any) -> Any:
        return student.apply(images)

    def loss(student: Any, images: Any) -> Any:
        return jnp.mean(student.apply(images) ** 2)

    with patch.object(conv_layer, "_convolved", way):
        function = jax.grad(loss) if gradient else outputs
        return jax.jit(function).lower(student, images).compile()


if __name__ == "__main__":
    main()
