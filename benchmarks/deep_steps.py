"""How far conjugate gradients come in one Gauss-Newton step, by Kronecker factors and by the block.

    python benchmarks/deep_steps.py [--noise 1e-2] [--steps 3] [--damping 1e-8] [--lacking]

A 784-30-30-30-10 of g, trained on MNIST, all weights moved by noise in proportion to their layer's
spread, on 54,000 images; some steps lead back from there, and what they leave is harder. It may
lack the neuron of the last hidden layer that costs least, as a network on the way does. Printed is
the share of the squared error that the step's linear model leaves after so many iterations, with
Kronecker factors for all layers and with the block of all weights above the first layer written
out, and seconds of both.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from expand_and_cluster.core.precision import double
from expand_and_cluster.datasets import load
from expand_and_cluster.fitting.deep_blocks import EQUATIONS, block_size, leading, upper_block
from expand_and_cluster.fitting.deep_equations import deep_parameters
from expand_and_cluster.fitting.deep_gauss_newton import (
    DeepGaussNewton,
    DeepGaussNewtonSettings,
)
from expand_and_cluster.fitting.deep_pairs import DeepPairs
from expand_and_cluster.fitting.deep_products import factors_at, solve_deep_step, solve_outputs
from expand_and_cluster.reconstruction.deep_bench import DeepBench
from expand_and_cluster.students.standardisation import UNSTRETCHED, Standardisation
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.teachers.trained import trained


def main() -> None:
    """Move the teacher, solve one step in both ways, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noise", type=float, default=1e-2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--lacking", action="store_true")
    parser.add_argument("--damping", type=float, default=1e-8)
    chosen = parser.parse_args()
    data = load("mnist")
    teacher = trained(data, (784, 30, 30, 30, 10), "g", seed=0)
    answers = teacher(data.train_inputs)
    standard = Standardisation.fit(data.train_inputs, answers, UNSTRETCHED)
    pairs = DeepPairs(
        standard.inputs(data.train_inputs)[:54_000], standard.targets(answers)[:54_000]
    )
    rng = np.random.default_rng(0)
    network = jax.tree.map(
        lambda leaf: leaf + chosen.noise * leaf.std() * rng.normal(size=leaf.shape),
        standard.enter(teacher).at_rest(),
    )
    if chosen.lacking:
        bench = DeepBench(
            TrainingData(standard.inputs(data.train_inputs)[:4096], np.zeros((4096, 10)))
        )
        last = len(network.hidden_widths) - 1
        network = bench.without(network, last, int(np.argmin(bench.removal_costs(network, last))))
    descent = DeepGaussNewton(network, pairs, DeepGaussNewtonSettings(steps=chosen.steps))
    for _ in descent.run():
        pass
    network = descent.network()
    with double():
        parameters, point = solve_outputs(
            deep_parameters(network), pairs.double, network.activation
        )
        single = jax.tree.map(lambda part: part.astype(jnp.float32), (parameters, point))
        began = time.monotonic()
        rows, outputs = pairs.single.targets.shape[1:]
        blocks = -(-EQUATIONS * block_size(parameters) // (rows * outputs))
        block = upper_block(
            single[0], single[1].fed, single[1].slopes, pairs.single,
            leading(pairs.spectrum), blocks,
        )  # fmt: skip
        jax.block_until_ready(block)
        print(
            f"error {float(point.loss / outputs) ** 0.5:.2e}; block of {len(block.values)} ", end=""
        )
        print(f"weights, {time.monotonic() - began:.1f} s with compiling")
        factors = factors_at(single[0], single[1], pairs.single, pairs.spectrum)
        solve = jax.jit(solve_deep_step)
        for name, way in (("Kronecker factors", None), ("block", block)):
            for iterations in (50, 100, 200, 400):
                began = time.monotonic()
                _, predicted, _ = solve(
                    single[0], single[1], pairs.single, factors, way, jnp.float32(chosen.damping),
                    jnp.float32(0.0), jnp.asarray(iterations),
                )  # fmt: skip
                left = 1.0 - float(predicted) / float(point.loss)
                print(f"{name:18s} {iterations:4d} iterations leave {left:.4f}, ", end="")
                print(f"{time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
