"""What small weights of inputs that hardly any image shows gain on unseen images.

    python benchmarks/rare_inputs.py [--data mnist] [--activation g] [--widths 784-30-30-30-10]
        [--off 1e-6]

A teacher is trained on images, as `reproduce given-data` and `deep-images-given` do, and taken for
recovered but for weights that its answers on these images do not tell: those of pixels that too few
images show are replaced by random ones as large as the others, and all others are off by a
millionth (`--off`). Printed are errors of the logits on images that were seen and on unseen ones,
as it is, with those weights at zero, and with the smallest that explain what was seen: those of
rare pixels alone, and solved for along with pixels that are shown a little more often.
"""

import argparse
import time

import numpy as np

from expand_and_cluster.core.network import Layer, Matrix, Network
from expand_and_cluster.datasets import load
from expand_and_cluster.experiments.given_data import BATCH, RATE
from expand_and_cluster.reconstruction import rare_inputs as rare_weights
from expand_and_cluster.reconstruction.rare_inputs import rare_inputs, with_least_weights
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.teachers.trained import trained


def main() -> None:
    """Train, spoil, mend, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--activation", default="g")
    parser.add_argument("--widths", default="784-30-30-30-10")
    parser.add_argument("--off", type=float, default=1e-6)
    chosen = parser.parse_args()
    images = load(chosen.data)
    widths = tuple(map(int, chosen.widths.split("-")))
    how = {"batch_size": BATCH, "learning_rate": RATE} if len(widths) == 3 else {}
    teacher = trained(images, widths, chosen.activation, seed=0, **how)
    pairs = TrainingData(images.train_inputs, teacher(images.train_inputs))
    rare = rare_inputs(pairs.shown, widths[1], widths[-1])
    shown = pairs.shown.showing(rare)
    print(f"{rare.sum()} rare pixels, shown by {shown.sum()} of {len(shown)} images")

    rng = np.random.default_rng(0)
    first = teacher.layers[0]
    off = first.weight * (1.0 + chosen.off * rng.normal(size=first.weight.shape))
    off[:, np.ptp(pairs.inputs, axis=0) == 0.0] = 0.0
    spread = float(first.weight[:, ~rare].std())

    def with_rare(weights: Matrix | float) -> Network:
        weight = off.copy()
        weight[:, rare] = weights
        return teacher.replace(layers=(Layer(weight, first.bias), *teacher.layers[1:]))

    random = with_rare(spread * rng.normal(size=(widths[1], int(rare.sum()))))
    start = with_rare(first.weight[:, rare])
    began = time.monotonic()
    least = with_least_weights(start, pairs, rare)
    seconds = time.monotonic() - began
    rare_weights.SELDOM = rare_weights.MARGIN
    alone = with_least_weights(start, pairs, rare)
    for name, network in (
        ("random", random),
        ("zero", with_rare(0.0)),
        ("smallest, of rare pixels alone", alone),
        ("smallest", least),
    ):
        seen, unseen = (
            float(np.sqrt(np.mean((network(inputs) - teacher(inputs)) ** 2)))
            for inputs in (images.train_inputs, images.test_inputs)
        )
        print(f"{name:30} seen {seen:.1e}, unseen {unseen:.1e}")
    print(f"smallest in {seconds:.0f} s")


if __name__ == "__main__":
    main()
