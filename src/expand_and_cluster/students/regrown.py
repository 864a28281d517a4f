"""Students that start from what earlier ones agree on in one layer."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.progress import Reporter, silent
from expand_and_cluster.fitting.first_order import AdamSettings, fit_adam
from expand_and_cluster.fitting.result import Fit
from expand_and_cluster.students.initial import PROBES, grow_upwards
from expand_and_cluster.students.training import TrainingData

# Shorter than from a random start: most of the layer is in its place when training begins.
ADAM = AdamSettings(steps=5_000, learning_rate=3e-3, batch_size=256)
# Neurons beside the known ones, as a share of their number: some of these may be missing.
SPARE = 0.5
FEWEST_SPARE = 2


@dataclass(frozen=True)
class Ground:
    """What students grow from.

    Attributes:
        below: Rebuilt layers below the one that is known in part.
        known: Input vectors of that layer's neurons on which students agree.
        others: Input vectors of neurons that single students hold there.
        weights: How likely each of the others is to be taken along.
    """

    below: tuple[Layer, ...]
    known: Float[np.ndarray, "neurons inputs_and_bias"]
    others: Float[np.ndarray, "others inputs_and_bias"]
    weights: Float[np.ndarray, " others"]

    @property
    def width(self) -> int:
        """Neurons that a student has in the layer: known ones and some to spare."""
        count = len(self.known)
        return count + min(len(self.others), max(FEWEST_SPARE, round(SPARE * count)))


def regrow(
    data: TrainingData,
    ground: Ground,
    widths: tuple[int, ...],
    activation: Activation,
    *,
    count: int,
    seed: tuple[int, ...],
    report: Reporter = silent,
    stage: str = "regrow students",
    deadline: float | None = None,
) -> Fit:
    """Train students by Adam, all weights, from known neurons and a few that may be.

    Each student takes other neurons along and has random layers above, so that what is missing
    has a new chance in each.

    Args:
        data: Standardised pairs in random order.
        ground: What is known.
        widths: Sizes of the hidden layers above.
        activation: Activation of the hidden layers.
        count: How many students.
        seed: Decides their start and the batches.
        report: Receives progress.
        stage: Name of the work in the reports.
        deadline: `time.monotonic()` after which training stops.

    Source: Martinelli et al., A.3, where the rebuilt layer stays frozen but for its biases. Here
    it moves: what students agree on before they have converged is a few degrees off.
    """
    outputs = data.targets.shape[1]
    starts = [
        _start(data, ground, (*widths, outputs), activation, np.random.default_rng((*seed, each)))
        for each in range(count)
    ]
    return fit_adam(
        Network.stack(starts),
        data.inputs,
        data.targets,
        settings=ADAM,
        seed=seed[0],
        report=report,
        stage=stage,
        deadline=deadline,
    )


def _start(
    data: TrainingData,
    ground: Ground,
    widths: tuple[int, ...],
    activation: Activation,
    rng: np.random.Generator,
) -> Network:
    spare = ground.width - len(ground.known)
    share = ground.weights / ground.weights.sum() if spare else None
    taken = rng.choice(len(ground.others), size=spare, replace=False, p=share) if spare else []
    vectors = np.concatenate([ground.known, ground.others[taken]])
    layer = Layer(vectors[:, :-1], vectors[:, -1])
    return grow_upwards((*ground.below, layer), widths, activation, rng, data.inputs[:PROBES])
