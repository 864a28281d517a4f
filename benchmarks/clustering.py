"""Time and memory of the clustering of many neurons, beside SciPy's in the same run.

    python benchmarks/clustering.py [--neurons 10000] [--size 785] [--peer 3000]

SciPy's `pdist` takes time with the square of the number of neurons; it runs on `--peer` of them and
its time is scaled to the full number (its tree is timed on the full number: it is the same code).
"""

import argparse
import resource
import sys
import time

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist

from expand_and_cluster.clusters.cut_rules import plateau_height
from expand_and_cluster.clusters.dissimilarity import Metric, pairwise
from expand_and_cluster.clusters.selection import select
from expand_and_cluster.clusters.tree import average_linkage, cut


def peak() -> float:
    """Largest memory of this process so far, in GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def neurons(count: int, size: int, students: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Students of width count / students: a quarter of their neurons agree to 1e-6."""
    rng = np.random.default_rng(seed)
    width = count // students
    shared = rng.normal(size=(width // 4, size))
    rows = []
    for _ in range(students):
        found = shared + 1e-6 * rng.normal(size=shared.shape)
        rows.append(np.vstack([found, 0.3 * rng.normal(size=(width - len(shared), size))]))
    return np.vstack(rows), np.repeat(np.arange(students), width)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neurons", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=785)
    parser.add_argument("--students", type=int, default=10)
    parser.add_argument("--peer", type=int, default=3_000)
    chosen = parser.parse_args()
    vectors, students = neurons(chosen.neurons, chosen.size, chosen.students, seed=0)
    count, base = len(vectors), peak()
    print(f"{count} neurons x {chosen.size} inputs; memory before: {base:.2f} GiB")

    def stage(name: str, since: float) -> None:
        seconds = time.perf_counter() - since
        print(f"{name:34s} {seconds:7.2f} s   peak +{peak() - base:.2f} GiB")

    begin = start = time.perf_counter()
    condensed = pairwise(vectors)
    stage("pairwise (euclidean)", start)
    start = time.perf_counter()
    tree = average_linkage(condensed)
    stage("average_linkage", start)
    del condensed
    rules = {
        "number_of_students": chosen.students,
        "min_cluster_fraction": 0.5,
        "max_cluster_angle": np.pi / 6,
    }
    start = time.perf_counter()
    height = plateau_height(tree, vectors, students, **rules)
    stage("plateau_height", start)
    start = time.perf_counter()
    selection = select(vectors, students, cut(tree, height), **rules)
    stage(f"cut and select ({len(selection.clusters)} clusters)", start)
    stage("all together", begin)

    variants: list[tuple[Metric, bool]] = [("euclidean", True), ("cosine", False), ("cosine", True)]
    for metric, sign_free in variants:
        start = time.perf_counter()
        pairwise(vectors, metric=metric, sign_free=sign_free)
        stage(f"pairwise ({metric}, sign_free={sign_free})", start)
    start = time.perf_counter()
    pairwise(np.ones_like(vectors) * vectors[0] + 1e-9 * vectors)
    stage("pairwise (all nearly the same)", start)
    start = time.perf_counter()
    pairwise(np.ones_like(vectors) * vectors[0] + 1e-9 * vectors, sign_free=True)
    stage("pairwise (the same, signs free)", start)

    small = min(chosen.peer, count)
    start = time.perf_counter()
    pdist(vectors[:small])
    seconds = time.perf_counter() - start
    full = seconds * (count / small) ** 2
    print(f"SciPy pdist, {small} neurons: {seconds:.2f} s, so {full:.1f} s for {count}")
    condensed = pairwise(vectors)
    start = time.perf_counter()
    linkage(condensed, "average")
    print(f"SciPy linkage, {count} neurons: {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
