"""Adam on all students at once: the compiled part.

Nothing here depends on how many steps one call takes, so a fit is the same however its time was
divided into calls.
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Bool, Float, Int

from expand_and_cluster.core.network import Network
from expand_and_cluster.fitting.ensemble_error import errors_and_gradients, mean_squared_errors
from expand_and_cluster.fitting.squared_error import Blocks

RUNNING, AT_TARGET, ON_PLATEAU, DIVERGED = range(4)


class Plan(NamedTuple):
    """What is compiled in: the sizes of loops and the kind of schedule.

    Attributes:
        batches: Batches in an epoch.
        rows: Samples in a batch.
        schedule: How the learning rate falls.
        factor: What a plateau multiplies the learning rate by.
    """

    batches: int
    rows: int
    schedule: Literal["cosine", "plateau"]
    factor: float


class Knobs(NamedTuple):
    """What may change without compiling again.

    Attributes:
        learning_rate: Largest learning rate.
        progress: Share of the training done at step `since`: 0 at the start, 1 at the end.
        since: A step.
        pace: What one step adds to that share.
        epochs: Passes through the pairs, at most.
        interval: Epochs from one evaluation on all pairs to the next.
        target: Mean squared error at which a student is done.
        patience: Epochs without a fall of the loss that make a plateau.
        smallest_scale: Share of the learning rate below which a student is done.
        weight_decay: Share of every weight that is lost for each unit of learning rate.
    """

    learning_rate: Float[Array, ""]
    progress: Float[Array, ""]
    since: Int[Array, ""]
    pace: Float[Array, ""]
    epochs: Int[Array, ""]
    interval: Int[Array, ""]
    target: Float[Array, ""]
    patience: Int[Array, ""]
    smallest_scale: Float[Array, ""]
    weight_decay: Float[Array, ""]


class State(NamedTuple):
    """Where training stands.

    Attributes:
        step: Batches seen.
        students: Weights now.
        moments: Adam's averages.
        plateau: Optax's account of plateaus, one for each student.
        total: Sum of the batches' losses in this epoch.
        recent: Mean loss of the batches of the last whole epoch.
        best: Weights of the evaluation with the lowest loss.
        best_loss: That loss.
        codes: Why a student is frozen, or `RUNNING`.
        evaluations: How often all pairs were evaluated.
        points: Step of every evaluation.
        curves: Loss at every evaluation, NaN where there was none.
    """

    step: Int[Array, ""]
    students: Network
    moments: optax.OptState
    plateau: optax.contrib.ReduceLROnPlateauState
    total: Float[Array, " students"]
    recent: Float[Array, " students"]
    best: Network
    best_loss: Float[Array, " students"]
    codes: Int[Array, " students"]
    evaluations: Int[Array, ""]
    points: Int[Array, " points"]
    curves: Float[Array, "points students"]


# Any: Optax's types of pytrees do not know equinox modules.
_adam: Any = optax.scale_by_adam()


def _plateau_rule(knobs: Knobs, plan: Plan) -> Any:
    return optax.contrib.reduce_on_plateau(plan.factor, knobs.patience)


@partial(jax.jit, static_argnames=("plan", "points"))
def start(students: Network, data: Blocks, knobs: Knobs, plan: Plan, points: int) -> State:
    """The state before the first step, with room for `points` evaluations."""
    losses = mean_squared_errors(students, data)
    count = losses.shape[0]
    finite = jnp.isfinite(losses)
    state = State(
        step=jnp.int32(0),
        students=students,
        moments=jax.vmap(_adam.init)(students),
        plateau=jax.vmap(_plateau_rule(knobs, plan).init)(losses),
        total=jnp.zeros(count),
        recent=losses,
        best=students,
        best_loss=jnp.where(finite, losses, jnp.inf),
        codes=jnp.full(count, RUNNING),
        evaluations=jnp.int32(0),
        points=jnp.zeros(points, jnp.int32),
        curves=jnp.full((points, count), jnp.nan),
    )
    return _evaluated(state, data, knobs, plan)


@partial(jax.jit, static_argnames="plan")
def advance(
    state: State,
    data: Blocks,
    orders: Int[Array, "epochs samples"],
    first_epoch: Int[Array, ""],
    until: Int[Array, ""],
    knobs: Knobs,
    plan: Plan,
) -> State:
    """Take steps until step `until`, or until no student runs.

    Args:
        state: Where training stands.
        data: All pairs.
        orders: Order of the samples in `first_epoch` and the epochs after it.
        first_epoch: Epoch of the first row of `orders`.
        until: Step at which to stop.
        knobs: Settings that need no new compilation.
        plan: Settings that do.
    """
    inputs = jnp.reshape(data.inputs, (-1, data.inputs.shape[-1]))
    targets = jnp.reshape(data.targets, (-1, data.targets.shape[-1]))

    def unfinished(state: State) -> Bool[Array, ""]:
        return (state.step < until) & jnp.any(state.codes == RUNNING)

    # Only what changes at every step goes round the inner loop: what is carried through a
    # condition is copied there, and this would cost as much as Adam's own arithmetic.
    def part_of_epoch(state: State) -> State:
        epoch = state.step // plan.batches
        epoch_ends = (epoch + 1) * plan.batches

        def one_step(inner: _Inner) -> _Inner:
            place = (epoch - first_epoch, inner.step % plan.batches * plan.rows)
            rows = jax.lax.dynamic_slice(orders, place, (1, plan.rows))[0]
            losses, gradients = errors_and_gradients(inner.students, inputs[rows], targets[rows])
            directions, moments = jax.vmap(_adam.update)(gradients, inner.moments)
            rates = jnp.where(state.codes == RUNNING, _rates(inner.step, state, knobs, plan), 0.0)
            # Falls with the learning rate: weights are not held back in the end.
            lost = knobs.weight_decay * rates / knobs.learning_rate
            students = jax.vmap(_moved)(inner.students, directions, rates, lost)
            return _Inner(inner.step + 1, students, moments, inner.total + losses)

        inner = jax.lax.while_loop(
            lambda inner: inner.step < jnp.minimum(until, epoch_ends),
            one_step,
            _Inner(state.step, state.students, state.moments, state.total),
        )
        state = state._replace(**inner._asdict())
        return jax.lax.cond(
            state.step == epoch_ends,
            lambda state: _end_epoch(state, data, knobs, plan),
            lambda state: state,
            state,
        )

    return jax.lax.while_loop(unfinished, part_of_epoch, state)


class _Inner(NamedTuple):
    """What changes at every step: fields of `State`."""

    step: Int[Array, ""]
    students: Network
    moments: optax.OptState
    total: Float[Array, " students"]


def _moved(network: Network, direction: Network, rate: Array, lost: Array) -> Network:
    def moved(weight: Array, step: Array) -> Array:
        is_bias = weight.ndim == 1
        return weight - rate * (step if is_bias else step + lost * weight)

    return jax.tree.map(moved, network, direction)


def _rates(
    step: Int[Array, ""], state: State, knobs: Knobs, plan: Plan
) -> Float[Array, " students"]:
    """Learning rate of every student at this step."""
    if plan.schedule == "plateau":
        return knobs.learning_rate * state.plateau.scale
    progress = jnp.minimum(knobs.progress + knobs.pace * (step - knobs.since), 1.0)
    return jnp.full(state.codes.shape, knobs.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * progress)))


def _end_epoch(state: State, data: Blocks, knobs: Knobs, plan: Plan) -> State:
    mean = state.total / plan.batches
    if plan.schedule == "plateau":
        rule = _plateau_rule(knobs, plan)
        update = jax.vmap(lambda loss, old: rule.update(loss, old, value=loss)[1])
        state = state._replace(plateau=update(mean, state.plateau))
    state = state._replace(
        total=jnp.zeros_like(mean),
        recent=jnp.where(state.codes == RUNNING, mean, state.recent),
    )
    epoch = state.step // plan.batches
    due = (epoch % knobs.interval == 0) | (epoch == knobs.epochs)
    return jax.lax.cond(due, lambda s: _evaluated(s, data, knobs, plan), lambda s: s, state)


def _evaluated(state: State, data: Blocks, knobs: Knobs, plan: Plan) -> State:
    """Measure running students on all pairs, keep the best weights, freeze those that are done."""
    running = state.codes == RUNNING
    losses = jnp.where(running, mean_squared_errors(state.students, data), jnp.nan)
    better = losses < state.best_loss
    codes = state.codes
    if plan.schedule == "plateau":
        codes = jnp.where(running & (state.plateau.scale < knobs.smallest_scale), ON_PLATEAU, codes)
    codes = jnp.where(losses <= knobs.target, AT_TARGET, codes)
    point = jnp.minimum(state.evaluations, len(state.points) - 1)
    return state._replace(
        best=jax.vmap(_chosen)(better, state.students, state.best),
        best_loss=jnp.where(better, losses, state.best_loss),
        codes=jnp.where(running & ~jnp.isfinite(losses), DIVERGED, codes),
        evaluations=state.evaluations + 1,
        points=state.points.at[point].set(state.step),
        curves=state.curves.at[point].set(losses),
    )


def _chosen(condition: Array, yes: Network, no: Network) -> Network:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
