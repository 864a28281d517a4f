"""Normal equations of deep networks, all in one compiled program or with products left to BLAS.

    python benchmarks/deep_equations.py [--cores 1]

For each size of student, seconds of one assembly, the rate of the Gram matrix alone (each of its
entries counted, though one half is copied), and the ratio of both; medians of several, alternating.
The last column is the largest difference between the two, relative to the largest entry. `--cores`
is the number of BLAS threads; give as many cores to the process.
"""

import argparse
import time
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from threadpoolctl import threadpool_limits

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting.deep_descent import (
    all_present,
    deep_step_operations,
    hidden_weights,
)
from expand_and_cluster.fitting.deep_equations import (
    DeepData,
    DeepEquations,
    DeepModel,
    DeepParameters,
    Present,
    deep_parameters,
    lay_out,
    written_out,
)

# Sizes of students, and pairs that they see.
SIZES = (
    ((8, 8, 4, 1), 2500),
    ((8, 16, 8, 1), 2500),
    ((10, 16, 16, 1), 2500),
    ((16, 16, 8, 2), 6000),
    ((8, 24, 24, 1), 2900),
    ((10, 40, 40, 1), 6000),
    ((20, 24, 24, 24, 1), 6000),
)
REPEATS = 7


def main() -> None:
    """Measure all sizes, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=1)
    chosen = parser.parse_args()
    print("| student | pairs | operations | compiled, s | BLAS, s | ratio | GF/s | difference |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    with threadpool_limits(chosen.cores, user_api="blas"), double():
        for widths, samples in SIZES:
            print(row(widths, samples), flush=True)


def row(widths: tuple[int, ...], samples: int) -> str:
    """One line of the table."""
    rng = np.random.default_rng(0)
    layers = [
        (rng.normal(size=(many, few)) / np.sqrt(few), rng.normal(size=many))
        for few, many in pairwise(widths)
    ]
    network = Network.from_arrays(layers, "g")
    inputs = rng.normal(size=(samples, widths[0]))
    data = lay_out(inputs, network(inputs) + 0.1, hidden_weights(widths))
    parameters = deep_parameters(network)
    present = jax.tree.map(jnp.asarray, all_present(network))
    ways = (
        partial(compiled_assembly, activation=network.activation),
        DeepModel(network.activation, 0.0).assemble,
    )
    found: list[Any] = [jax.block_until_ready(way(parameters, present, data)) for way in ways]
    apart = max(
        float(jnp.max(jnp.abs(one - other)) / jnp.max(jnp.abs(other)))
        for one, other in zip(*found, strict=True)
    )
    times: list[list[float]] = [[], []]
    for _ in range(REPEATS):
        for way, mine in zip(ways, times, strict=True):
            began = time.perf_counter()
            jax.block_until_ready(way(parameters, present, data))
            mine.append(time.perf_counter() - began)
    compiled, blas = (float(np.median(mine)) for mine in times)
    gram = 2.0 * samples * widths[-1] * hidden_weights(widths) ** 2
    name = "-".join(map(str, widths))
    rates = f"{gram / compiled / 1e9:.0f}, {gram / blas / 1e9:.0f}"
    return (
        f"| {name} | {samples:,} | {deep_step_operations(samples, widths):.1e} | {compiled:.3g} | "
        f"{blas:.3g} | {compiled / blas:.2f} | {rates} | {apart:.0e} |"
    )


@partial(jax.jit, static_argnames="activation")
def compiled_assembly(
    parameters: DeepParameters, masks: Present, data: DeepData, *, activation: Activation
) -> DeepEquations:
    """Everything in one program, summed block by block."""

    def add(total: DeepEquations, part: DeepData) -> tuple[DeepEquations, None]:
        features, rows, error = written_out(parameters, masks, part, activation)
        flat = rows.reshape(-1, rows.shape[-1])
        new = DeepEquations(
            hidden_gram=flat.T @ flat,
            cross_gram=jnp.einsum("sf,sop->ofp", features, rows),
            feature_gram=features.T @ features,
            hidden_gradient=error.reshape(-1) @ flat,
            feature_gradient=features.T @ error,
            loss=jnp.sum(error**2),
        )
        return jax.tree.map(jnp.add, total, new), None

    weights = sum(vectors.size for vectors in parameters.hidden)
    outputs, size = parameters.outputs.shape
    empty = DeepEquations(
        jnp.zeros((weights, weights)),
        jnp.zeros((outputs, size, weights)),
        jnp.zeros((size, size)),
        jnp.zeros(weights),
        jnp.zeros((size, outputs)),
        jnp.zeros(()),
    )
    return jax.lax.scan(add, empty, data)[0]


if __name__ == "__main__":
    main()
