"""Gauss-Newton without a matrix, for networks whose Jacobian does not fit anywhere.

One hidden layer, all output weights eliminated: for fixed input vectors they are a least-squares
solution (variable projection; Golub & Pereyra 1973), so that the problem solved has the input
vectors alone as unknowns. A step solves `(H + damping * D) v = -gradient` by conjugate gradients,
where H is the Gauss-Newton matrix, applied by two products with the inputs, and D measures moves
of the weights, so that directions in which the inputs hardly vary move last.

Inputs are first brought to coordinates in which they are uncorrelated and of unit variance; the
condition of the inputs then costs nothing, and products may run in single precision although raw
directions differ by nine decades. In these coordinates the Gauss-Newton matrix would be the
Kronecker product of the neurons' slope moments with the identity if slopes did not depend on the
inputs; the preconditioner keeps its diagonal over the inputs' directions exactly, one block of
neurons by neurons for each direction, so that a direction in which only a few unusual samples vary
is seen with the slopes of these samples.

Residuals, losses and output weights are computed in double precision, so that steps converge to
rounding whatever precision the products have.

A long step is often spoiled by a handful of samples, whose pre-activations it moves so far that
the linear model fails there (images with a pixel that hardly any other has). What it leaves then
lies in a few directions, which a few iterations at the new point undo: a second-order correction
(Nocedal & Wright 2006, section 18.3), after which the step is judged. Where this does not do, such
samples may count less (`GaussNewtonSettings.robust`): Cauchy's weights, chosen anew for every step
(iteratively reweighted least squares; Holland & Welsch 1977). An exact solution is one for any
weights, and the others come to it meanwhile.

A neuron of an activation that falls off like an exponential can drift to where it is one, on
nearly all samples: a smaller bias is then made up for by larger output weights, and no error says
how far is too far, while its own shape is lost. A ridge on output weights that vanishes with the
error (`GaussNewtonSettings.ridge`; Hoerl & Kennard 1970) leads back from there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool

from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double, placed
from expand_and_cluster.fitting.conjugate_gradients import (
    Curvature,
    Shape,
    begin_step,
    blocks_at,
    curvature_at,
    go_on_with_step,
    inverse_factors,
)
from expand_and_cluster.fitting.own_coordinates import own_coordinates
from expand_and_cluster.fitting.own_moments import OwnMoments
from expand_and_cluster.fitting.projection import (
    Frame,
    Point,
    cauchy_weights,
    evaluate,
    median_square,
    network_at,
    slopes_gradient,
)
from expand_and_cluster.fitting.result import StopReason

# Smallest damping, in units of the mean curvature.
LEAST_DAMPING = 1e-17
MOST_DAMPING = 1e3
# Multiple of the target below which rounding decides: a step that gains less there is the last one.
SIGHT, GAIN = 100.0, 4.0
# Corrections of a step that left more than this multiple of the loss that its model predicts, at
# most so many, each of at most so many iterations and to this tolerance.
OVERSHOT, CORRECTIONS, SHORT, ROUGH = 1.5, 3, 40, 0.1
# Division of the damping after a good step that left no more than its model does once corrected,
# and after one that needed no correction.
EASE, EASE_MODEL = 8.0, 64.0
# Most iterations that a step grows to; after every few of them the deadline is looked at.
MOST_ITERATIONS, PIECE = 1600, 40
# Multiple of the ordinary samples' largest error at which a sample counts half.
FAR = 10.0
# A step in single precision that leaves more than this share of the loss is followed by double,
# unless the loss is so large, relative to the targets' variance, or weights change, so that
# precision is not to blame.
SLOW, COARSE = 0.5, 1e-8


@dataclass(frozen=True)
class GaussNewtonSettings:
    """Settings of matrix-free Gauss-Newton.

    Attributes:
        steps: Most steps.
        iterations: Most iterations of conjugate gradients in one step; twice as many in the next
            one where a step was cut short and its model held.
        target: Mean squared error at which to stop.
        damping: First damping, in units of the mean curvature.
        tolerance: Residual of a step's linear system at which it is solved well enough, relative
            to its right-hand side.
        progress: A step that lowers the loss by a smaller share than this has stalled.
        single: Whether products of the first steps run in float32.
        own: Whether steps are preconditioned in each neuron's own coordinates: dearer to begin
            with, and fewer iterations where inputs are badly conditioned.
        robust: Share of the samples whose errors are ordinary; one whose error is far beyond
            theirs counts less. The loss is then the weighted one, with the weights of the last
            step. None: all samples count alike.
        ridge: Penalty of the squares of the output weights, in units of the loss: what neurons
            would cost if all were read by weights of median length. Chosen anew for every step; the
            loss includes it. It shrinks output weights by about as much as it hides of the error.
    """

    steps: int = 30
    iterations: int = 150
    target: float = 0.0
    damping: float = 1e-3
    tolerance: float = 1e-2
    progress: float = 0.02
    single: bool = True
    own: bool = False
    robust: float | None = None
    ridge: float = 0.0


class GaussNewton:
    """The descent of one network, step by step.

    Args:
        network: Where to start; one hidden layer.
        frame: The pairs (see `frame_of`).
        settings: When to stop and how to damp.
        deadline: `time.monotonic()` after which to stop.
        present: Neurons that take part (all if None).
        moments: What is known of neurons on these pairs from earlier descents, for settings that
            want each neuron's own coordinates.
        tell: Told, every few seconds of a long step, what it is at.
    """

    def __init__(
        self,
        network: Network,
        frame: Frame,
        settings: GaussNewtonSettings | None = None,
        deadline: float | None = None,
        *,
        present: Bool[np.ndarray, " neurons"] | None = None,
        moments: OwnMoments | None = None,
        tell: Callable[["GaussNewton", str], None] = lambda descent, note: None,
    ) -> None:
        """Solve for the output weights of the first network; no step is taken yet."""
        self._network = network
        self._frame = self._whole = frame
        self.settings = settings or GaussNewtonSettings()
        self._deadline = deadline
        self._damping = self.settings.damping
        self._single = self.settings.single
        taking_part = np.ones(network.hidden_widths[0], bool) if present is None else present
        self.width = int(taking_part.sum())
        with double():
            self._present = placed(taking_part.astype(float))
            self._vectors = placed(network.input_vectors)
            self._point = evaluate(self._vectors, self._present, frame, network.activation)
        self.step = 0
        self.iterations = 0
        self._most = self.settings.iterations
        self._tell = tell
        self._moments = (moments or OwnMoments(frame)) if self.settings.own else None
        self.loss = float(self._point.loss)
        self.history: list[tuple[int, float]] = [(0, self.loss)]
        self.stop = StopReason.STEPS

    def run(self) -> Iterator[None]:
        """Descend until a reason to stop; yields after every step."""
        chosen = self.settings
        while True:
            reason = self._reason()
            if reason is not None:
                self.stop = reason
                return
            accepted, before = self._advance()
            yield
            if not accepted and self._damping > MOST_DAMPING:
                self.stop = StopReason.STALLED
                return
            stalled = accepted and self.loss > (1.0 - chosen.progress) * before
            fine = self._single and self.loss < COARSE and chosen.robust is None
            if fine and accepted and self.loss > SLOW * before:
                self._single = False
            elif stalled:
                self.stop = StopReason.STALLED
                return

    def network(self) -> Network:
        """The network as it stands."""
        return network_at(self._vectors, self._point, self._network)

    @property
    def damping(self) -> float:
        """Damping of the next step, in units of the mean curvature."""
        return self._damping

    def _reason(self) -> StopReason | None:
        if not np.isfinite(self.loss):
            return StopReason.DIVERGED
        if self.loss <= self.settings.target or self._settled():
            return StopReason.TARGET
        if self.step >= self.settings.steps:
            return StopReason.STEPS
        if is_over(self._deadline):
            return StopReason.TIME
        return None

    def _settled(self) -> bool:
        """Within sight of the target, where rounding decides, and no longer falling fast."""
        near = self.loss <= SIGHT * self.settings.target
        return near and self.step > 0 and self.history[-2][1] < GAIN * self.loss

    def _advance(self) -> tuple[bool, float]:
        """Solve for one step and take it if the loss falls; whether it did, and from where."""
        if self.settings.robust is not None or self.settings.ridge > 0.0:
            self._weigh()
        chosen, before, before_solving = self.settings, self.loss, self.iterations
        curvature = self._curvature(self._point)
        shape = self._preconditioner(curvature)
        vectors, point, predicted = self._solved(
            self._vectors, self._point, curvature, shape, chosen.tolerance, self._most
        )
        cut_short = self.iterations - before_solving >= self._most
        left = max(OVERSHOT * (before - predicted), chosen.target)
        overshot = not float(point.loss) <= left
        for _ in range(CORRECTIONS):
            reached = float(point.loss)
            if not np.isfinite(reached) or reached <= left:
                break
            curvature = self._curvature(point)
            corrected = self._solved(vectors, point, curvature, shape, ROUGH, SHORT)
            if not float(corrected[1].loss) < reached:
                break
            vectors, point, _ = corrected
        reached = float(point.loss)
        self.step += 1
        gain = (before - reached) / max(predicted, np.finfo(np.float64).tiny)
        accepted = bool(reached < self.loss)
        if accepted:
            self._vectors, self._point, self.loss = vectors, point, reached
            # Where no more is left than the model leaves, only its damping, and an early end of the
            # iterations, are in the way.
            held = reached <= left
            if held and cut_short:
                self._most = min(2 * self._most, max(MOST_ITERATIONS, chosen.iterations))
            # Otherwise a longer step would overshoot by more than corrections undo.
            if gain > 0.75 and held:
                ease = EASE if overshot else EASE_MODEL
                self._damping = max(self._damping / ease, LEAST_DAMPING)
            elif gain < 0.25:
                self._damping *= 4.0
        else:
            self._damping *= 10.0
        self.history.append((self.step, self.loss))
        return accepted, before

    def _weigh(self) -> None:
        """Choose what samples with large errors, and output weights, count in the next step.

        Own coordinates stay those of all samples alike: few count less, and measuring moments anew
        takes as long as a third of a step's iterations.
        """
        with double():
            weights = self._whole.weights
            if self.settings.robust is not None:
                quantile = jnp.asarray(self.settings.robust)
                weights = cauchy_weights(self._point.residual, weights, quantile, jnp.asarray(FAR))
            size = median_square(self._point.outputs, self._present) * self.width
            error = jnp.sum(weights[:, :, None] * self._point.residual**2)
            ridge = self.settings.ridge * error / jnp.maximum(size, jnp.finfo(size.dtype).tiny)
            self._frame = self._whole._replace(weights=weights, ridge=ridge)
            self._point = evaluate(
                self._vectors, self._present, self._frame, self._network.activation
            )
        self.loss = float(self._point.loss)

    def _curvature(self, point: Point) -> Curvature:
        """The Gauss-Newton matrix at a point, in the precision of the steps."""
        with double():
            return curvature_at(point, self._frame, self._dtype)

    def _preconditioner(self, curvature: Curvature) -> Shape:
        """What shapes the solves of a step, corrections included."""
        with double():
            damping = jnp.asarray(self._damping, self._dtype)
            if self._moments is None:
                blocks = blocks_at(self._point, self._frame, self._dtype)
                return inverse_factors(blocks, damping * curvature.metric)
            moments = self._moments.at(self._point, lambda note: self._tell(self, note))
            return own_coordinates(moments, curvature.outputs, damping, curvature.metric)

    @property
    def _dtype(self) -> type:
        return jnp.float32 if self._single else jnp.float64

    def _solved(
        self,
        vectors: Array,
        point: Point,
        curvature: Curvature,
        shape: Shape,
        tolerance: float,
        iterations: int,
    ) -> tuple[Array, Point, float]:
        """Input vectors after one solve at a point, the point there, and the predicted decrease."""
        frame, activation, dtype = self._frame, self._network.activation, self._dtype
        with double():
            gradient = slopes_gradient(point, frame)
            pull, damping = gradient.astype(dtype), jnp.asarray(self._damping, dtype)
            solved_at = jnp.asarray(tolerance, dtype)
            step = begin_step(pull, shape)
            predicted, taken = jnp.asarray(0.0), 0
            while taken < iterations:
                until = min(taken + PIECE, iterations)
                step, predicted = go_on_with_step(
                    curvature, step, pull, damping, solved_at, jnp.asarray(until), shape
                )
                taken = int(step.taken)
                if taken < until or is_over(self._deadline):
                    break
                self._tell(self, f"{taken} of at most {iterations} iterations")
            self.iterations += taken
            moved = vectors + step.move.astype(jnp.float64) @ frame.root.T
            return moved, evaluate(moved, self._present, frame, activation), float(predicted)
