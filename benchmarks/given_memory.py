"""How much memory a recovery from 60,000 given images of 784 pixels takes.

    python benchmarks/given_memory.py [--dataset fashion_mnist] [--students 10] [--width 256]
        [--seconds 300]

A trained 784-64-10 g teacher answers on all training images, as they are; its recovery has so many
students of so many neurons, and so many seconds. Printed are the largest memory after loading, and
after the recovery, of this process.
"""

import argparse
import time

from expand_and_cluster import QueryPairs, recover
from expand_and_cluster.core.progress import Progress
from expand_and_cluster.datasets import load
from expand_and_cluster.experiments.chosen_queries import peak_memory
from expand_and_cluster.teachers.trained import trained


def main() -> None:
    """Recover once and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--students", type=int, default=10)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=300.0)
    chosen = parser.parse_args()
    data = load(chosen.dataset)
    teacher = trained(data, (data.input_size, 64, data.classes), "g", seed=0)
    pairs = QueryPairs(data.train_inputs, teacher(data.train_inputs))
    print(f"{pairs.inputs.shape} images loaded: {peak_memory():.2f} GiB", flush=True)
    began, stages = time.monotonic(), []

    def tell(progress: Progress) -> None:
        if progress.stage not in stages:
            stages.append(progress.stage)
            print(f"{time.monotonic() - began:.0f} s, {peak_memory():.2f} GiB: {progress.stage}")

    recovery = recover(
        pairs,
        activation="g",
        width=chosen.width,
        students=chosen.students,
        seed=0,
        time_budget=chosen.seconds,
        progress=tell,
    )
    print(f"{recovery.seconds:.0f} s, {peak_memory():.2f} GiB at most")


if __name__ == "__main__":
    main()
