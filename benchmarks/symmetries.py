"""Hand-built students of every legal type: is each neuron named, does the teacher come back?

    python benchmarks/symmetries.py [--cases 500] [--activations tanh relu ...] [--seed 0]
        [--bounded]

For each activation of the catalogue, random teachers (2 to 6 inputs, 2 to 6 neurons, 1 to 3
outputs) and students that hold every type of neuron that is legal for it, with noise added to all
weights. `classify` and `reduce` are told nothing but the network and the inputs. Printed are the
students with a neuron of a wrong type, group or side; those not reduced to the teacher's width
without a skip; and the largest errors of the reduced network: of input vectors and output weights
as multiples of the noise, of all weights as a multiple of the student's own error on the inputs
(its bias cannot be known better than its outputs). Without noise, all are in units of 1e-15.
Noise is normal with the printed standard deviation; with `--bounded` it is uniform, and no weight
is moved further than what is printed.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.reduce import reduce
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.symmetries.classify import classify
from expand_and_cluster.symmetries.terms import rms

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.oracles.legal_students import case

NOISES = (0.0, 1e-10, 1e-6)


def in_order(groups: list[int]) -> list[int]:
    """Group numbers by first appearance."""
    seen: dict[int, int] = {}
    return [seen.setdefault(group, len(seen)) for group in groups]


def named(made: Any) -> bool:
    """Whether every neuron's type, group and side are right."""
    neurons = classify(made.student, made.inputs).neurons
    return (
        [str(neuron.type) for neuron in neurons] == list(made.types)
        and in_order([neuron.group for neuron in neurons]) == in_order(list(made.groups))
        and [neuron.side for neuron in neurons] == list(made.sides)
    )


def neuron_error(found: Network, true: Network) -> float:
    """Largest error of an input vector or output weight, in the teacher's order and scale."""
    mine, wanted = found.input_vectors, true.input_vectors
    symmetry = true.activation.symmetry
    odd = symmetry.flip is not None and symmetry.flip.sign < 0
    sizes = np.linalg.norm(mine, axis=1), np.linalg.norm(wanted, axis=1)
    alike = mine @ wanted.T / np.outer(*sizes)
    rows, columns = linear_sum_assignment(-np.abs(alike) if odd else -alike)
    factor = np.ones((len(rows), 1))
    if odd:
        factor[:, 0] = np.sign(alike[rows, columns])
    if symmetry.scale_free:
        factor[:, 0] = sizes[1][columns] / sizes[0][rows]
    outputs = found.output_vectors[rows] / factor
    return max(
        float(np.abs(factor * mine[rows] - wanted[columns]).max()),
        float(np.abs(outputs - true.output_vectors[columns]).max()),
    )


def run(name: str, noise: float, cases: int, seed: int, bounded: bool) -> str:
    """One line of the table."""
    unit = max(noise, 1e-15)
    wrong = unreduced = 0
    neurons, weights, steps = [], [], []
    begin = time.perf_counter()
    for number in range(cases):
        made = case(name, seed + number, noise, bounded)
        wrong += not named(made)
        reduction = reduce(made.student, made.inputs)
        network = reduction.network
        if network.widths != made.teacher.widths or network.skip is not None:
            unreduced += 1
            continue
        true = made.teacher(made.inputs)
        own = rms(made.student(made.inputs) - true)
        neurons.append(neuron_error(network, made.teacher) / unit)
        weights.append(compare(network, made.teacher).max_weight_error / max(own, unit))
        steps.append(max(step.error for step in reduction.steps))
    seconds = time.perf_counter() - begin
    return (
        f"{name:11s} {noise:7.0e} {cases:6d} {wrong:6d} {unreduced:10d} {max(neurons):13.1f} "
        f"{max(weights):12.1f} {max(steps):11.1e} {seconds:8.1f}"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--activations", nargs="+", default=list(catalogue))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bounded", action="store_true")
    chosen = parser.parse_args()
    print("                                  not      neurons by  all by own  worst       ")
    print("activation    noise  cases  wrong  reduced        noise       error step error  seconds")
    for name in chosen.activations:
        for noise in NOISES:
            print(run(name, noise, chosen.cases, chosen.seed, chosen.bounded), flush=True)


if __name__ == "__main__":
    main()
