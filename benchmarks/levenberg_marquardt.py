"""Levenberg-Marquardt beside Optimistix and SciPy, all in one run, from the same starts.

    python benchmarks/levenberg_marquardt.py [--quick]

Ten students of 8-32-1 (activation g) imitate a teacher of 8-8-1 on 4,096 pairs. Every method takes
the same number of *attempted* steps (a step that does not descend and is taken back counts; SciPy
counts evaluations of the residuals), in double precision; the loss is the mean squared error after
them. Compilation is not timed. Times are medians over repetitions. SciPy takes its students one
by one, the first `--peers` of them; its time for each student and step needs no more.

"One program" are our own steps for all students in one vmapped program: a rejected step then costs
as much as an accepted one, because the Gram matrix is assembled either way.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jax import Array
from scipy.optimize import least_squares
from threadpoolctl import threadpool_limits

from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting.levenberg_marquardt import (
    LevenbergMarquardtSettings,
    fit_levenberg_marquardt,
)
from expand_and_cluster.fitting.normal_equations import (
    Data,
    Masks,
    Parameters,
    assemble,
    loss,
    parameters_of,
    prepare,
    solve,
)
from expand_and_cluster.students.initial import initial_students
from expand_and_cluster.teachers.synthetic import synthetic, synthetic_inputs

INPUTS, WIDTH, OUTPUTS = 8, 32, 1
# The first damping is Optimistix's: 1 for squares summed over all samples of the default size.
SETTINGS = LevenbergMarquardtSettings(target=0.0, patience=10**6, damping=1 / 4096)


class Run(NamedTuple):
    """Seconds for one student and one step, and the students' losses after all steps."""

    seconds: float
    losses: np.ndarray


class Problem(NamedTuple):
    """Students and what they imitate."""

    students: Network
    inputs: np.ndarray
    targets: np.ndarray

    @property
    def size(self) -> int:
        """Number of students."""
        return len(self.students.layers[0].bias)


def median_of(repeats: int, work: Callable[[], Any]) -> tuple[float, Any]:
    """Median time of a call, and its last result."""
    times, result = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), result


def matrix_rate() -> float:
    """Float64 operations a second in a product of matrices of size 2048, on all cores."""
    size = 2048
    with double():
        matrix = jnp.asarray(np.random.default_rng(0).normal(size=(size, size)))
        product = jax.jit(lambda m: m @ m)
        product(matrix).block_until_ready()
        seconds, _ = median_of(5, lambda: product(matrix).block_until_ready())
    return 2.0 * size**3 / seconds


def ours(problem: Problem, steps: int, repeats: int) -> Run:
    """The library's own call."""

    def fit(count: int) -> np.ndarray:
        settings = replace(SETTINGS, steps=count)
        students, inputs, targets = problem
        return fit_levenberg_marquardt(students, inputs, targets, settings=settings).losses

    fit(1)
    seconds, losses = median_of(repeats, lambda: fit(steps))
    return Run(seconds / (problem.size * steps), losses)


def one_program(problem: Problem, steps: int, repeats: int) -> tuple[Run, float]:
    """Our steps for all students in one vmapped program, and the share of accepted steps."""
    activation = problem.students.activation
    with double(), threadpool_limits(1, user_api="blas"):
        data = prepare(problem.inputs, problem.targets, skip=False)
        each = [parameters_of(problem.students.student(i)) for i in range(problem.size)]
        start = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
        masks = Masks(jnp.ones(WIDTH), jnp.ones(WIDTH))

        def descend(parameters: Parameters, data: Data) -> tuple[Array, Array]:
            def step(_: int, state: Any) -> Any:
                parameters, damping, growth, equations, taken = state
                moved, predicted = solve(parameters, equations, damping, SETTINGS.ridge)
                reached = loss(moved, masks, activation, data)
                accepted = reached < equations.loss
                gain = (equations.loss - reached) / predicted
                shrink = jnp.maximum(0.2, 1.0 - (2.0 * gain - 1.0) ** 3)
                new = (moved, assemble(moved, masks, activation, data))
                parameters, equations = jax.tree.map(
                    lambda yes, no: jnp.where(accepted, yes, no), new, (parameters, equations)
                )
                damping = jnp.where(accepted, damping * shrink, damping * growth)
                growth = jnp.where(accepted, 2.0, 2.0 * growth)
                return parameters, damping, growth, equations, taken + accepted

            first = assemble(parameters, masks, activation, data)
            damping = jnp.asarray(SETTINGS.damping)
            state = (parameters, damping, jnp.asarray(2.0), first, jnp.asarray(0.0))
            last = jax.lax.fori_loop(0, steps, step, state)
            return last[3].loss, last[4]

        program = jax.jit(jax.vmap(descend, in_axes=(0, None))).lower(start, data).compile()
        seconds, result = median_of(repeats, lambda: jax.block_until_ready(program(start, data)))
    losses, accepted = (np.asarray(part) for part in result)
    return Run(seconds / (problem.size * steps), losses / OUTPUTS), float(accepted.mean() / steps)


def residuals(network: Network, data: tuple[Array, Array]) -> Array:
    """Explicit residuals, for the peers."""
    inputs, targets = data
    return (network.apply(inputs) - targets).ravel()


def optimistix(problem: Problem, steps: int, repeats: int) -> Run:
    """`optimistix.LevenbergMarquardt` with its default linear solver, vmapped over students."""
    solver = optx.LevenbergMarquardt(rtol=1e-30, atol=1e-30)

    def descend(network: Network, data: tuple[Array, Array]) -> Array:
        solution = optx.least_squares(
            residuals, solver, network, args=data, max_steps=steps, throw=False
        )
        return jnp.mean(residuals(solution.value, data) ** 2)

    with double():
        data = (jnp.asarray(problem.inputs), jnp.asarray(problem.targets))
        students = jax.tree.map(jnp.asarray, problem.students)
        mapped = jax.jit(jax.vmap(descend, in_axes=(0, None)))
        program = mapped.lower(students, data).compile()
        seconds, losses = median_of(repeats, lambda: jax.block_until_ready(program(students, data)))
    return Run(seconds / (problem.size * steps), np.asarray(losses))


def scipy(problem: Problem, steps: int, students: int) -> Run:
    """`scipy.optimize.least_squares(method="lm")`, residuals and Jacobian compiled by JAX."""
    with double():
        data = (jnp.asarray(problem.inputs), jnp.asarray(problem.targets))
        flat, shape = jax.flatten_util.ravel_pytree(
            jax.tree.map(jnp.asarray, problem.students.student(0))
        )

        def flat_residuals(weights: Array, data: tuple[Array, Array]) -> Array:
            return residuals(shape(weights), data)

        values = jax.jit(flat_residuals).lower(flat, data).compile()
        # One output: a row of the Jacobian is one gradient, so reverse mode by rows is cheapest.
        by_row = jax.vmap(
            jax.grad(lambda weights, row: flat_residuals(weights, row)[0]), in_axes=(None, 0)
        )
        rows = (data[0][:, None, :], data[1][:, None, :])
        jacobian = jax.jit(by_row).lower(flat, rows).compile()
        times, losses = [], []
        for index in range(students):
            student = jax.tree.map(jnp.asarray, problem.students.student(index))
            first = np.asarray(jax.flatten_util.ravel_pytree(student)[0])
            start = time.perf_counter()
            found = least_squares(
                lambda weights: np.asarray(values(jnp.asarray(weights), data)),
                first,
                jac=lambda weights: np.asarray(jacobian(jnp.asarray(weights), rows)),  # type: ignore[arg-type]
                method="lm",
                max_nfev=steps + 1,  # the first is that of the start
                xtol=1e-15,
                ftol=1e-15,
                gtol=1e-15,
            )
            times.append((time.perf_counter() - start) / steps)
            losses.append(2.0 * found.cost / len(problem.inputs))
    return Run(float(np.median(times)), np.array(losses))


def operations(samples: int, accepted: float) -> float:
    """Additions and multiplications of one attempted step, from its structure.

    Counted: matrix products, Cholesky factors, triangular solves, products of slopes and tangents.
    Not counted: the activation and its derivative, copies, the damping update.
    """
    size, features = INPUTS + 1, WIDTH + 1
    weights = size * WIDTH
    forward = 2 * samples * WIDTH * (size + OUTPUTS)
    pairs = WIDTH * (WIDTH + 1) / 2
    input_pairs = size * (size + 1) / 2
    assembling = (
        forward
        + samples * pairs * (1 + 2 * input_pairs)
        + samples * weights * (1 + 2 * features)
        + 2 * samples * features * (features + OUTPUTS)
        + 2 * samples * WIDTH * (size + OUTPUTS)
    )
    solving = (
        weights**3 / 3
        + 2 * weights**2 * features
        + features**3 / 3
        + features**2 * weights
        + 2 * weights**2
    )
    return accepted * assembling + solving + forward


def show(name: str, run: Run, reference: Run) -> None:
    """One line: ratio first."""
    print(
        f"{name:34s} {run.seconds / reference.seconds:8.2f} x   {1e3 * run.seconds:9.2f} ms   "
        f"{np.median(run.losses):9.2e}   {np.min(run.losses):9.2e}   {len(run.losses):3d}"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--students", type=int, default=10)
    parser.add_argument("--samples", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=10, help="attempted steps of every method")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", type=int, default=3, help="students that SciPy fits")
    parser.add_argument("--quick", action="store_true", help="see that it works, in a minute")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.samples, chosen.steps, chosen.repeats, chosen.peers = 1024, 3, 1, 1
    teacher = synthetic(INPUTS, 8, 0)
    inputs = synthetic_inputs(chosen.samples, INPUTS, 0)
    students = initial_students(
        (INPUTS, WIDTH, OUTPUTS), teacher.activation, count=chosen.students, seed=0
    )
    problem = Problem(students, inputs, teacher(inputs))
    before = matrix_rate()
    library = ours(problem, chosen.steps, chosen.repeats)
    together, accepted = one_program(problem, chosen.steps, chosen.repeats)
    peer = optimistix(problem, chosen.steps, chosen.repeats)
    other = scipy(problem, chosen.steps, min(chosen.peers, chosen.students))
    rate = (before + matrix_rate()) / 2.0
    print(
        f"{chosen.students} students {INPUTS}-{WIDTH}-{OUTPUTS}, {chosen.samples} samples, "
        f"{chosen.steps} attempted steps ({100 * accepted:.0f} % accepted)\n"
        f"{'':34s} {'time':>10s}   {'a step of a student':>12s} {'median loss':>10s} "
        f"{'lowest':>9s}   students"
    )
    lines: list[tuple[str, Run]] = [
        ("ours", library),
        ("ours in one program", together),
        ("Optimistix LevenbergMarquardt", peer),
        ("SciPy least_squares, lm", other),
    ]
    for name, run in lines:
        show(name, run, library)
    done = operations(chosen.samples, accepted)
    reached = done / library.seconds
    dense = 2.0 * chosen.samples * (WIDTH * (INPUTS + 1 + OUTPUTS) + OUTPUTS) ** 2 * OUTPUTS
    print(
        f"\nour steps reach {100 * reached / rate:.0f} % of this machine's rate of float64 matrix "
        f"products ({reached / 1e9:.1f} of {rate / 1e9:.1f} GFLOP/s; {done / 1e6:.0f} million "
        "operations a step: products, factors and solves, not the activation)\n"
        f"a dense Gram matrix alone would take {dense / 1e6:.0f} million"
    )


if __name__ == "__main__":
    main()
