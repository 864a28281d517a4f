"""How far conjugate gradients come in one Gauss-Newton step, by Kronecker factors and by neurons.

    python benchmarks/deep_steps.py [--noise 1e-2] [--steps 3] [--damping 1e-8] [--lacking]

A 784-30-30-30-10 of g, trained on MNIST, all weights moved by noise in proportion to their layer's
spread, on 54,000 images; some steps lead back from there, and what they leave is harder. It may
lack the neuron of the last hidden layer that costs least, as a network on the way does. Printed is
the share of the squared error that the step's linear model leaves after so many iterations, and
seconds, preconditioned by a Kronecker product for each layer (K-FAC; Martens & Grosse 2015) and by
the block of each neuron.
"""

import argparse
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from expand_and_cluster.core.precision import double
from expand_and_cluster.datasets import load
from expand_and_cluster.fitting.deep_equations import (
    DeepData,
    DeepParameters,
    Passed,
    backward,
    deep_parameters,
)
from expand_and_cluster.fitting.deep_gauss_newton import (
    DeepGaussNewton,
    DeepGaussNewtonSettings,
)
from expand_and_cluster.fitting.deep_pairs import DeepPairs, spectrum
from expand_and_cluster.fitting.deep_products import DeepPoint, solve_deep_step, solve_outputs
from expand_and_cluster.fitting.neuron_blocks import NeuronBlocks, damped, neuron_moments
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
        print(f"error {float(point.loss / pairs.double.targets.shape[2]) ** 0.5:.2e}")
        began = time.monotonic()
        here, there = single
        moments = jax.jit(neuron_moments)(
            here, there.fed, there.slopes, pairs.single, pairs.spectrum
        )
        jax.block_until_ready(moments)
        print(f"blocks of all neurons: {time.monotonic() - began:.1f} s with compiling")
        factors = jax.jit(kronecker_factors)(here, there, pairs.single, pairs.spectrum)
        damping = jnp.float32(chosen.damping) * moments.mean
        ways = {
            "Kronecker factors": DampedFactors(factors, damping),
            "neurons": damped(moments, damping),
        }
        for name, way in ways.items():
            for iterations in (50, 100, 200, 400):
                began = time.monotonic()
                most = jnp.asarray(iterations)
                predicted = _predicted(here, there, pairs.single, way, damping, most)
                left = 1.0 - float(predicted) / float(point.loss)
                print(f"{name:18s} {iterations:4d} iterations leave {left:.4f}, ", end="")
                print(f"{time.monotonic() - began:.1f} s")


@jax.jit
def _predicted(
    parameters: DeepParameters,
    point: DeepPoint,
    data: DeepData,
    way: "NeuronBlocks | DampedFactors",
    damping: Array,
    most: Array,
) -> Array:
    """Decrease of the loss that the linear model says."""
    none = jnp.float32(0.0)
    return solve_deep_step(parameters, point, data, way.solve, damping, none, most)[1]


class DampedFactors(NamedTuple):
    """Kronecker factors with damping.

    Attributes:
        factors: The factors.
        damping: Added to the products' diagonal.
    """

    factors: "Factors"
    damping: Array

    def solve(self, left: DeepParameters) -> DeepParameters:
        """Inverse of the Kronecker products plus damping, layer by layer."""
        solved = []
        parts = (*left.hidden, left.outputs)
        for part, (small, below), (large, above) in zip(
            parts, self.factors.fed, self.factors.slopes, strict=True
        ):
            turned = above.T @ part @ below / (large[:, None] * small + self.damping)
            solved.append(above @ turned @ below.T)
        return DeepParameters(tuple(solved[:-1]), solved[-1])


class Factors(NamedTuple):
    """Eigenvalues and eigenvectors of the Kronecker factors of every layer.

    Attributes:
        fed: Of the second moments of what each layer is fed.
        slopes: Of the second moments of the outputs' slopes.
    """

    fed: tuple[tuple[Array, Array], ...]
    slopes: tuple[tuple[Array, Array], ...]


def kronecker_factors(
    parameters: DeepParameters, point: DeepPoint, data: DeepData, inputs: tuple[Array, Array]
) -> Factors:
    """Kronecker factors at a point: what a layer is fed taken as independent of its slopes."""

    def add(total: tuple[list[Array], list[Array]], part):  # noqa: ANN001, ANN202 - a scan
        pairs, above, bends = part
        bent = backward(parameters, Passed((pairs.inputs, *above), bends))
        fed = [
            old + (v * pairs.weights[:, None]).T @ v for old, v in zip(total[0], above, strict=True)
        ]
        slopes = [
            old + jnp.einsum("ron,rom,r->nm", each, each, pairs.weights)
            for old, each in zip(total[1], bent, strict=True)
        ]
        return (fed, slopes), None

    start = (
        [jnp.zeros((each.shape[-1],) * 2, jnp.float32) for each in point.fed],
        [jnp.zeros((len(each),) * 2, jnp.float32) for each in parameters.hidden],
    )
    fed, slopes = jax.lax.scan(add, start, (data, point.fed, point.slopes))[0]
    outputs = len(parameters.outputs)
    last = (jnp.ones(outputs, jnp.float32), jnp.eye(outputs, dtype=jnp.float32))
    return Factors((inputs, *map(spectrum, fed)), (*map(spectrum, slopes), last))


if __name__ == "__main__":
    main()
