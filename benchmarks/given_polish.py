"""What do the neurons' own coordinates gain when given images are fitted to the end?

    python benchmarks/given_polish.py [--dataset fashion_mnist] [--activation tanh] [--rows 27000]
        [--steps 6]

A 784-64-10 teacher, trained on the images with batches of 640 and rate 1e-3, is moved by noise:
alike in every direction of the images, but by no more than 0.05 in any weight. Gauss-Newton without
a matrix brings it back, preconditioned by blocks in the images' uncorrelated coordinates or in each
neuron's own. Printed after every step are the root mean squared error relative to the outputs'
spread, the iterations of conjugate gradients so far, and the seconds; and before the steps with own
coordinates, the seconds that it takes to measure all neurons' second moments.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.datasets.loading import load
from expand_and_cluster.fitting.gauss_newton import GaussNewton, GaussNewtonSettings
from expand_and_cluster.fitting.own_moments import OwnMoments
from expand_and_cluster.fitting.projection import Frame, evaluate, frame_of
from expand_and_cluster.students.standardisation import UNSTRETCHED, Standardisation
from expand_and_cluster.teachers.trained import trained

WIDTH = 64
NOISE, LARGEST = 3e-3, 0.05


def moved(network: Network, frame: Frame, seed: int = 0) -> Network:
    """The network with every input vector moved."""
    root = np.asarray(frame.root)
    size = np.minimum(NOISE, LARGEST / np.linalg.norm(root, axis=0))
    noise = np.random.default_rng(seed).normal(size=(network.hidden_widths[0], root.shape[1]))
    vectors = network.input_vectors + (noise * size) @ root.T
    first = Layer(vectors[:, :-1], vectors[:, -1])
    return network.replace(layers=(first, network.layers[1]))


def measuring(network: Network, frame: Frame) -> float:
    """Seconds that it takes to measure the moments of all neurons, none of them known."""
    with double():
        vectors, present = jnp.asarray(network.input_vectors), jnp.ones(WIDTH)
        point = evaluate(vectors, present, frame, network.activation)
        began = time.monotonic()
        jax.block_until_ready(OwnMoments(frame).at(point))
    return time.monotonic() - began


def main() -> None:
    """Polish twice from the same start and print every step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--activation", default="tanh")
    parser.add_argument("--rows", type=int, default=27_000)
    parser.add_argument("--steps", type=int, default=6)
    chosen = parser.parse_args()
    data = load(chosen.dataset)
    sizes = (data.input_size, WIDTH, data.classes)
    teacher = trained(data, sizes, chosen.activation, batch_size=640, learning_rate=1e-3)
    rows = np.random.default_rng(0).permutation(len(data.train_inputs))[: chosen.rows]
    images = data.train_inputs[rows]
    standard = Standardisation.fit(images, teacher(images), UNSTRETCHED)
    frame = frame_of(standard.inputs(images), standard.targets(teacher(images)))
    start = moved(standard.enter(teacher), frame)
    seconds = measuring(start, frame)
    for own in (False, True):
        settings = GaussNewtonSettings(iterations=400, steps=chosen.steps, own=own)
        began = time.monotonic()
        descent = GaussNewton(start, frame, settings)
        print("own coordinates" if own else "common coordinates", f"from {descent.loss**0.5:.1e}")
        if own:
            print(f"  {WIDTH} neurons measured in {seconds:.1f} s")
        for _ in descent.run():
            print(
                f"  step {descent.step}: error {descent.loss**0.5:.1e}, {descent.iterations:,} "
                f"iterations, {time.monotonic() - began:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
