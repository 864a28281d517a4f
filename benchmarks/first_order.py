"""Adam on an ensemble: share of the matrix-product rate, and PyTorch beside it, all in one run.

    python benchmarks/first_order.py [--quick] [--samples 61440] [--repeats 3] [--students 1 2 10]

Students of 784-256-10 (tanh) on Gaussian inputs, and students of 64-128-1 on batches of 312. One
epoch of training steps from the first weights is timed: gathering the batch, errors, gradients,
Adam with a cosine schedule; compilation and evaluations on all pairs are left out. Operations
counted are those that training needs: two products for the first layer (outputs, gradient of the
weights) and three for the last (the gradient of its inputs too). The rate of the machine is that of
a float32 product of matrices of size 2048 on all cores, measured just before every epoch; the share
is the median of the ratios. "Cores" is processor time over time, so that a busy machine is seen.

PyTorch trains the same students on the same batches with the same schedule: `torch.func.vmap` of
`grad_and_value`, its own Adam, a loop over steps in Python. It needs the extra `torch`; without
it, its columns are left out and the last line says so. "Losses differ" is the largest relative
difference of the students' mean losses over the epoch: both did the same work.
"""

import argparse
import importlib
import importlib.util
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.network import Network
from expand_and_cluster.fitting.adam_program import Knobs, Plan, advance, start
from expand_and_cluster.fitting.squared_error import in_blocks
from expand_and_cluster.students.initial import initial_students

RATE = 1e-3
LARGE, SMALL = (784, 256, 10), (64, 128, 1)
TORCH = importlib.util.find_spec("torch") is not None


class Problem(NamedTuple):
    """Students at their first weights, what they imitate, and in which order they see it."""

    widths: tuple[int, int, int]
    students: Network
    inputs: np.ndarray
    targets: np.ndarray
    order: np.ndarray
    batch: int

    @property
    def batches(self) -> int:
        """Batches in the epoch."""
        return len(self.order) // self.batch

    @property
    def operations(self) -> float:
        """Floating-point operations that one epoch needs."""
        inputs, hidden, outputs = self.widths
        rows = self.batches * self.batch * len(self.students.layers[0].bias)
        return rows * (2.0 * 2 * inputs * hidden + 3.0 * 2 * hidden * outputs)


class Timing(NamedTuple):
    """Seconds and processor seconds of one piece of work, and what it returned."""

    seconds: float
    processor: float
    result: Any


def timed(work: Callable[[], Any]) -> Timing:
    """Run once."""
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    return Timing(time.perf_counter() - clock, time.process_time() - processor, result)


def problem(widths: tuple[int, int, int], samples: int, batch: int, count: int) -> Problem:
    """Random students on Gaussian inputs and targets."""
    rng = np.random.default_rng(0)
    students = initial_students(widths, catalogue["tanh"], count=count, seed=0)
    samples = samples // batch * batch
    return Problem(
        widths,
        jax.tree.map(lambda leaf: np.asarray(leaf, dtype=np.float32), students),
        rng.normal(size=(samples, widths[0])).astype(np.float32),
        rng.normal(size=(samples, widths[-1])).astype(np.float32),
        rng.permutation(samples).astype(np.int32),
        batch,
    )


def products() -> tuple[Callable[[], Any], float]:
    """A product of large matrices, and its operations."""
    size = 2048
    matrix = jnp.asarray(np.random.default_rng(0).normal(size=(size, size)), jnp.float32)
    product = jax.jit(lambda m: m @ m)
    return lambda: product(matrix).block_until_ready(), 2.0 * size**3


def ours(task: Problem) -> Callable[[], np.ndarray]:
    """One epoch in the library's own program."""
    data = jax.device_put(in_blocks(task.inputs, task.targets, dtype=np.float32))
    plan = Plan(task.batches, task.batch, "cosine", 0.5)
    far = jnp.int32(1 << 20)
    knobs = Knobs(
        learning_rate=jnp.float32(RATE),
        progress=jnp.float32(0),
        since=jnp.int32(0),
        pace=jnp.float32(1 / task.batches),
        epochs=far,
        interval=far,  # no evaluation but the first, which is not timed
        target=jnp.float32(0),
        patience=far,
        smallest_scale=jnp.float32(0),
        weight_decay=jnp.float32(0),
    )
    state = start(jax.tree.map(jnp.asarray, task.students), data, knobs, plan, 2)
    order, until = jnp.asarray(task.order[None]), jnp.int32(task.batches)
    return lambda: np.asarray(
        advance(state, data, order, jnp.int32(0), until, knobs, plan).recent, dtype=np.float64
    )


def in_torch(task: Problem) -> Callable[[], np.ndarray]:
    """The same epoch with `torch.func`."""
    torch: Any = importlib.import_module("torch")
    inputs, targets = torch.from_numpy(task.inputs), torch.from_numpy(task.targets)
    order = torch.from_numpy(task.order.astype(np.int64))
    first = [
        torch.from_numpy(np.array(leaf))
        for layer in task.students.layers
        for leaf in (layer.weight, layer.bias)
    ]

    def error(weights: list[Any], x: Any, y: Any) -> Any:
        hidden = torch.tanh(torch.nn.functional.linear(x, weights[0], weights[1]))
        return ((torch.nn.functional.linear(hidden, weights[2], weights[3]) - y) ** 2).mean()

    gradients = torch.func.vmap(torch.func.grad_and_value(error), in_dims=(0, None, None))

    def epoch() -> np.ndarray:
        weights = [leaf.clone() for leaf in first]
        optimiser = torch.optim.Adam(weights, lr=RATE)
        total = torch.zeros(len(weights[0]))
        for step in range(task.batches):
            rows = order[step * task.batch : (step + 1) * task.batch]
            parts, losses = gradients(weights, inputs[rows], targets[rows])
            for leaf, part in zip(weights, parts, strict=True):
                leaf.grad = part
            rate = RATE * 0.5 * (1 + math.cos(math.pi * step / task.batches))
            optimiser.param_groups[0]["lr"] = rate
            optimiser.step()
            total += losses
        return np.asarray(total / task.batches, dtype=np.float64)

    return epoch


def row(task: Problem, repeats: int) -> str:
    """One line of the table."""
    product, operations = products()
    works = [product, ours(task), *([in_torch(task)] if TORCH else [])]
    for work in works:
        work()
    # Turn by turn, so that what else the machine does meets all of them alike.
    rounds = [[timed(work) for work in works] for _ in range(repeats)]
    machine = [operations / timings[0].seconds for timings in rounds]
    reached = [task.operations / timings[1].seconds for timings in rounds]
    share = np.median([rate / top for rate, top in zip(reached, machine, strict=True)])
    cores = np.median([timings[1].processor / timings[1].seconds for timings in rounds])
    cells = [
        f"{'-'.join(map(str, task.widths)):>10}",
        f"{len(task.students.layers[0].bias):8d}",
        f"{task.batch:6d}",
        f"{np.median(machine) / 1e9:9.0f}",
        f"{np.median(reached) / 1e9:8.0f}",
        f"{share:6.0%}",
        f"{cores:5.1f}",
        f"{np.median([timings[1].seconds for timings in rounds]):9.3f}",
    ]
    if TORCH:
        ratio = np.median([timings[2].seconds / timings[1].seconds for timings in rounds])
        losses, others = rounds[0][1].result, rounds[0][2].result
        cells += [
            f"{np.median([timings[2].seconds for timings in rounds]):9.3f}",
            f"{ratio:7.1f}",
            f"{np.max(np.abs(losses / others - 1)):14.0e}",
        ]
    return " ".join(cells)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few samples, two repetitions")
    parser.add_argument("--samples", type=int, default=61_440)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--students", type=int, nargs="+", default=[1, 2, 10])
    arguments = parser.parse_args()
    samples = 5120 if arguments.quick else arguments.samples
    repeats = 2 if arguments.quick else arguments.repeats
    header = "   network students  batch  products training  share cores  epoch, s"
    if TORCH:
        header += "  torch, s faster losses differ"
    print("Rates in billions of operations a second.")
    print(header)
    for widths, batches in ((LARGE, (640, 1280, 2560)), (SMALL, (312,))):
        for count in arguments.students:
            for batch in batches:
                print(row(problem(widths, samples, batch, count), repeats), flush=True)
    if not TORCH:
        print("PyTorch is not installed: pip install 'expand-and-cluster[torch]' to compare.")


if __name__ == "__main__":
    main()
