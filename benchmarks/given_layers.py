"""How many of a teacher's neurons does a student of several layers hold, by Adam and by Muon?

    python benchmarks/given_layers.py [--kind deep | convolutions] [--seconds 60]
        [--ways adam:2e-3:160 muon:5e-3:160]

A 784-30-30-30-10 of g, trained on MNIST, with a student of 60 neurons in each layer, or a relu
network of two convolutions with 16 channels, trained on Fashion-MNIST, with a student of 32. All
60,000 images are given. A way is an optimiser, its first learning rate and the batch size; the rate
falls to zero like a cosine while the seconds last. Printed are root mean squared errors relative to
the outputs' spread, and for every hidden layer the teacher's neurons whose pre-activations one of
the student's has to within a cosine distance of 1e-3 and 1e-2, on unseen images.
"""

import argparse
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from expand_and_cluster.convolutions_given import ConvStandard
from expand_and_cluster.core.conv_geometry import Conv, Convolutional
from expand_and_cluster.core.layer_blocks import look_at_layers
from expand_and_cluster.datasets import load
from expand_and_cluster.fitting.muon import (
    MuonData,
    MuonDescent,
    MuonSettings,
    batches_in_call,
    on_device,
)
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.students.grown import random_student
from expand_and_cluster.students.standardisation import UNSTRETCHED, Standardisation
from expand_and_cluster.teachers.convolutional import trained_convolutional
from expand_and_cluster.teachers.trained import trained


def by_adam(student: Any, data: MuonData, rate: float, batch: int, seconds: float) -> Any:
    """Train a student by Adam while the seconds last."""
    student = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), student)
    state = optax.scale_by_adam().init(student)
    rng, began = np.random.default_rng(0), 0.0
    share = 0.0
    while share < 1.0:
        rows = rng.integers(len(data.inputs), size=(batches_in_call(student), batch)).astype(
            np.int32
        )
        now = rate * 0.5 * (1.0 + np.cos(np.pi * share))
        student, state = adam_steps(student, state, data, jnp.asarray(rows), jnp.float32(now))
        jax.block_until_ready(state)
        began = began or time.monotonic()  # The first call compiles.
        share = (time.monotonic() - began) / seconds
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), student)


@partial(jax.jit, donate_argnums=(0, 1))
def adam_steps(student: Any, state: Any, data: MuonData, rows: Any, rate: Any) -> Any:
    """One call's batches."""

    def one(carry: Any, batch: Any) -> Any:
        student, state = carry

        def error(student: Any) -> Any:
            return jnp.mean((student.apply(data.inputs[batch]) - data.targets[batch]) ** 2)

        moves, state = optax.scale_by_adam().update(jax.grad(error)(student), state)
        return (jax.tree.map(lambda w, m: w - rate * m, student, moves), state), None

    start = (student, state)
    return one(start, rows[0])[0] if len(rows) == 1 else jax.lax.scan(one, start, rows)[0]


def by_muon(student: Any, data: MuonData, rate: float, batch: int, seconds: float) -> Any:
    """Train a student by Muon while the seconds last."""
    descent = MuonDescent(student, data, MuonSettings(rate, batch, seconds=seconds))
    for _ in descent.run():
        pass
    return descent.network()


def held(teacher: Any, inputs: np.ndarray, student: Any, seen: np.ndarray) -> list[str]:
    """Neurons of every hidden layer that the student holds; both on inputs of their own."""
    found = []
    pairs = zip(
        look_at_layers(teacher, inputs, 4000), look_at_layers(student, seen, 4000), strict=True
    )
    for mine, theirs in pairs:
        own = mine.taken_in / np.linalg.norm(mine.taken_in, axis=0)
        others = theirs.taken_in / np.linalg.norm(theirs.taken_in, axis=0)
        far = 1.0 - (own.T @ others).max(axis=1)
        found.append(f"{(far < 1e-3).sum()} and {(far < 1e-2).sum()} of {len(far)}")
    return found


def main() -> None:
    """Train one student in each way and print what it holds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=("deep", "convolutions"), default="deep")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--ways", nargs="+")
    chosen = parser.parse_args()
    teacher: Any
    if chosen.kind == "deep":
        data = load("mnist")
        teacher = trained(data, (784, 30, 30, 30, 10), "g", seed=0)
        widths, ways = (60, 60, 60), ("adam:2e-3:160", "muon:5e-3:160")
        standard = Standardisation.fit(data.train_inputs, teacher(data.train_inputs), UNSTRETCHED)
        inputs, targets = standard.inputs(data.train_inputs), standard.targets
        seen = standard.inputs(data.test_inputs[:2000])
    else:
        data = load("fashion_mnist")
        architecture = Convolutional((1, 28, 28), [Conv(3, pool="max"), Conv(3, pool="max")])
        teacher = trained_convolutional(data, architecture, [16, 16], (32,), seed=2, steps=800)
        widths, ways = (32, 32, 64), ("adam:1e-3:64", "muon:5e-3:64")
        scale = ConvStandard.fit(QueryPairs(data.train_inputs, teacher(data.train_inputs)))
        inputs = data.train_inputs / scale.input_scale
        seen = data.test_inputs[:2000] / scale.input_scale
        targets = scale.targets

    pairs = on_device(inputs, targets(teacher(data.train_inputs)))
    start = random_student(teacher, widths, np.random.default_rng(0))
    unseen = targets(teacher(data.test_inputs[:2000]))
    for way in chosen.ways or ways:
        name, rate, batch = way.split(":")
        train = by_adam if name == "adam" else by_muon
        student = train(start, pairs, float(rate), int(batch), chosen.seconds)
        error = np.sqrt(np.mean((student(seen) - unseen) ** 2))
        layers = held(teacher, data.test_inputs[:2000], student, seen)
        print(
            f"{way:>14}: error on unseen images {error:.1e}; neurons within 1e-3 and 1e-2: "
            + "; ".join(layers),
            flush=True,
        )


if __name__ == "__main__":
    main()
