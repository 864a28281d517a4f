"""On how many images each neuron of a piecewise linear teacher is on the side that fewer are on.

    python benchmarks/rarely_bent.py [--data mnist] [--activation relu leaky_relu] [--width 64]

A teacher is trained on images, as `reproduce given-data` does. A neuron that is on the same side of
its kink on all images is linear there; each image on the other side tells one number about its
weights, beside what all linear neurons tell together. Printed are, least first, the neurons that
have fewer such images than there are inputs which the spectrum mask leaves, and how far each moves
the outputs beyond a linear function of its pre-activation, relative to the outputs' spread.
"""

import argparse

import jax.numpy as jnp
import numpy as np

from expand_and_cluster.core.precision import double
from expand_and_cluster.datasets import load
from expand_and_cluster.experiments.given_data import BATCH, RATE
from expand_and_cluster.queries.masks import spectrum_mask
from expand_and_cluster.reconstruction.bending import beyond_linear
from expand_and_cluster.teachers.trained import trained


def main() -> None:
    """Train, count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--activation", nargs="+", default=["relu", "leaky_relu"])
    parser.add_argument("--width", type=int, default=64)
    chosen = parser.parse_args()
    images = load(chosen.data)
    inputs = images.train_inputs
    kept = int(np.sum(~spectrum_mask(inputs)))
    for activation in chosen.activation:
        sizes = (images.input_size, chosen.width, images.classes)
        teacher = trained(images, sizes, activation, seed=0, batch_size=BATCH, learning_rate=RATE)
        first, last = teacher.layers
        values = inputs @ first.weight.T + first.bias
        on = np.count_nonzero(values > 0.0, axis=0)
        fewer = np.minimum(on, len(values) - on)
        with double():
            given = np.array(teacher.activation.function(jnp.asarray(values)))
        spread = np.std(given @ last.weight.T, axis=0)
        moves = beyond_linear(values, given) * np.linalg.norm(last.weight / spread[:, None], axis=0)
        rare = [k for k in np.argsort(fewer) if fewer[k] < kept]
        print(
            f"{activation}: {len(rare)} of {chosen.width} neurons bend on fewer than {kept} of "
            f"{len(values)} images"
        )
        for k in rare:
            side = "on" if on[k] == fewer[k] else "off"
            print(f"  {side} on {fewer[k]:4d} images, moves the outputs by {moves[k]:.1e}")


if __name__ == "__main__":
    main()
