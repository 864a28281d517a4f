"""Find the width at which students reach near-zero loss (paper, section 5, Fig. A.2B)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.progress import Reporter, silent
from expand_and_cluster.students.training import TrainingData, default_fit, train_students

# Root mean squared error, relative to the spread of the outputs, that counts as near zero: a
# student that misses a neuron of the teacher stays above it, one that has them all passes it long
# before it converges.
CRITERION = {"levenberg_marquardt": 1e-3, "adam": 5e-2, "gradient_flow": 1e-2}
# Budget of one student of the expansion.
STEPS = {"levenberg_marquardt": 80, "adam": 8_000, "gradient_flow": None}
NARROWEST = {"levenberg_marquardt": 4, "adam": 16, "gradient_flow": 4}
WIDEST = 1024
# Several hidden layers multiply the cost of a width, and Adam's students are sharpened afterwards:
# they may be narrower, and need not come as near. The margin is taken while steps of
# Levenberg-Marquardt on so many weights still take a fraction of a second.
DEEP_NARROWEST, DEEP_CRITERION, DEEP_MARGIN = 8, 8e-2, 1.5
DEEP_WEIGHTS = 1500
# Students this many times as wide as the first width that meets the criterion. With Newton-like
# steps a student just wide enough often ends in a poor minimum (paper, Fig. 4C); with first-order
# steps the criterion itself is only met well above the teacher's width, and wider still overfits.
MARGIN = {"levenberg_marquardt": 2, "adam": 1, "gradient_flow": 2}
# Where the noise is known, held-out error in units of it that counts as near zero.
ABOVE_NOISE = 2.0
# Errors within this factor are the same.
LEVEL = 1.1


@dataclass(frozen=True)
class Expansion:
    """Losses against width.

    Attributes:
        widths: Widths tried, growing.
        losses: Held-out error of every student, relative to the spread of the outputs.
        criterion: Error that counts as near zero.
        chosen: Width for the students.
        reached: Whether the criterion was met.
    """

    widths: Int[np.ndarray, " widths"]
    losses: Float[np.ndarray, "widths students"]
    criterion: float
    chosen: int
    reached: bool


def expand(
    data: TrainingData,
    held_out: TrainingData,
    activation: Activation,
    *,
    seed: int,
    students: int = 2,
    method: str | None = None,
    noise: float = 0.0,
    hidden_layers: int = 1,
    report: Reporter = silent,
    deadline: float | None = None,
) -> Expansion:
    """Double the width until students imitate the pairs, each width under the same budget.

    Growth also ends where a student would have more weights than there are equations, or where
    wider students are no better any more.

    Args:
        data: Standardised training pairs.
        held_out: Standardised pairs the students do not see.
        activation: Activation of the students.
        seed: Seed of the students.
        students: How many at each width.
        method: Way of fitting; None chooses by the number of inputs.
        noise: Root mean square of the targets' noise, where it is known.
        hidden_layers: Hidden layers of a student, all of one width; with more than one, the way
            is "adam".
        report: Receives progress.
        deadline: `time.monotonic()` after which growth ends.

    Returns:
        The curve. The chosen width is the first one at which a student meets the criterion, with
        the margin that suits the way of fitting, or the best one if none does.
    """
    inputs, outputs = data.inputs.shape[1], data.targets.shape[1]

    def weights(width: int) -> int:
        return width * (inputs + 1 + outputs) + (hidden_layers - 1) * width * (width + 1)

    # One way of fitting for all widths, so that the points of the curve can be compared.
    chosen = method or (default_fit(inputs) if hidden_layers == 1 else "adam")
    width, criterion = NARROWEST[chosen], CRITERION[chosen]
    if hidden_layers > 1:
        width, criterion = DEEP_NARROWEST, DEEP_CRITERION
    criterion = max(criterion, ABOVE_NOISE * noise)
    widths: list[int] = []
    losses: list[np.ndarray] = []
    while True:
        fit = train_students(
            data,
            width,
            activation,
            count=students,
            seed=seed,
            method=chosen,
            steps=STEPS[chosen],
            hidden_layers=hidden_layers,
            report=report,
            stage=f"expand: width {width}",
            deadline=deadline,
        )
        widths.append(width)
        losses.append(
            np.array(
                [
                    np.sqrt(
                        np.mean((fit.students.student(i)(held_out.inputs) - held_out.targets) ** 2)
                    )
                    for i in range(students)
                ]
            )
        )
        reached = _least(losses[-1]) <= criterion
        equations = len(data.inputs) * outputs
        too_wide = weights(2 * width) > equations or 2 * width > WIDEST
        late = is_over(deadline)
        if reached or too_wide or late or _level(losses):
            break
        width *= 2
    curve = np.array(losses)
    least = np.array([_least(each) for each in losses])
    best = widths[int(np.argmin(least))]
    if not reached and _level(losses):
        # Noise, it seems: the first width that is as good as any meets what can be met.
        criterion = float(LEVEL * least.min())
        width, reached = widths[int(np.argmax(least <= criterion))], True
    wider = MARGIN[chosen] * width if hidden_layers == 1 else round(DEEP_MARGIN * width)
    affordable = weights(wider) <= (equations if hidden_layers == 1 else DEEP_WEIGHTS)
    pick = (wider if affordable else width) if reached else best
    return Expansion(np.array(widths), curve, criterion, pick, reached)


def _level(losses: list[np.ndarray]) -> bool:
    """Whether doubling the width twice has not made students better, so that nothing will."""
    best = [_least(each) for each in losses]
    return len(best) >= 4 and min(best[-2:]) > min(best[:-2]) / LEVEL


def _least(errors: Float[np.ndarray, " students"]) -> float:
    """The smallest error; infinite where all students diverged."""
    return float(np.min(np.where(np.isnan(errors), np.inf, errors)))
