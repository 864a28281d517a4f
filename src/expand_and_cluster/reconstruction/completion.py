"""From a network over a few coordinates of the inputs to one over all of them."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import null_space

from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.fitting.gauss_newton import GaussNewton, GaussNewtonSettings
from expand_and_cluster.fitting.projection import frame_of
from expand_and_cluster.reconstruction.rebuild import Rebuilt
from expand_and_cluster.reconstruction.workbench import AT_FLOOR, Workbench
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData

# Error, in units of what rounding explains, up to which known weights may be wrong by rounding.
WITHIN_SIGHT = 1e6


@dataclass(frozen=True)
class Completed:
    """A rebuilt network with the pairs on which it is judged.

    Attributes:
        rebuilt: The network in the coordinates of `standard`.
        bench: Pairs that it was fitted to.
        held_out: Mean squared error on pairs that nobody was fitted to until then.
        standard: Its coordinates.
        spare: Whether a neuron may be to spare, for all that is known within the subspace.
        differences: Pairs that it was fitted to as differences besides.
        rare: Inputs that too few pairs show to tell their weights; None where nobody asked.
        own: The network in the coordinates that students saw; None where the search's is it.
        seen: Whether small weights of rare inputs were fitted to the held-out pairs since.
    """

    rebuilt: Rebuilt
    bench: Workbench
    held_out: float
    standard: Standardisation
    spare: bool = False
    differences: "Differences | None" = None
    rare: Bool[np.ndarray, " inputs"] | None = None
    own: Network | None = None
    seen: bool = False

    @property
    def rounding_gain(self) -> float:
        """How much larger than the answers' rounding that of what the weights rest on is."""
        return 1.0 if self.differences is None else max(1.0, self.differences.rounding_gain)


@dataclass(frozen=True)
class Differences:
    """Standardised pairs in groups: a base row, then rows one small step away from it.

    Attributes:
        pairs: The rows, group after group.
        group: Rows in a group.
        gain: What a difference to the base row is multiplied by.
        rounding_gain: What rounding of a difference is multiplied by in answers far from the rows.
    """

    pairs: TrainingData
    group: int
    gain: float
    rounding_gain: float

    def joined(self, others: TrainingData) -> tuple[TrainingData, dict[str, np.ndarray]]:
        """These pairs after others, with what `frame_of` needs to compare them."""
        own, before = len(self.pairs.inputs), len(others.inputs)
        position = np.arange(own)
        base = position // self.group * self.group
        both = TrainingData(
            np.concatenate([others.inputs, self.pairs.inputs]),
            np.concatenate([others.targets, self.pairs.targets]),
        )
        partner = np.concatenate([np.arange(before), before + base])
        gain = np.concatenate([np.ones(before), np.where(base == position, 1.0, self.gain)])
        return both, {"partner": partner, "gain": gain}


def complete(
    start: Network,
    rebuilt: Rebuilt,
    bench: Workbench,
    unseen: TrainingData,
    standard: Standardisation,
    *,
    known: Float[np.ndarray, "inputs rank"],
    spare: bool = False,
    differences: Differences | None = None,
    report: Reporter = silent,
    deadline: float | None = None,
) -> Completed:
    """Find the weights along the directions that questions within a subspace did not vary.

    Within the subspace the network is known to rounding, its biases included. Only weights along
    the other directions are left to find: they are small, for the subspace is known to the error
    of differences, and random questions determine them well, for slopes do not depend on them.

    Args:
        start: The network over all inputs, as raw inputs have it.
        rebuilt: The network within the subspace that it comes from.
        bench: Standardised pairs over all inputs.
        unseen: Standardised pairs to judge by.
        standard: How raw pairs were standardised.
        known: Directions of raw inputs along which the weights are known.
        spare: Whether a neuron may be to spare.
        differences: Pairs one small step apart, to be fitted as differences besides.
        report: Receives progress.
        deadline: `time.monotonic()` after which to stop.
    """
    entered = standard.enter(start).at_rest()
    floor = bench.floor(bench.as_candidate(entered))
    training, options, target, single = bench.training, {}, 0.1 * floor, True
    if differences is not None:
        training, options = differences.joined(training)
        # Rounding of a difference is multiplied by its gain. Random questions count for little
        # beside it, and go on to fall when differences are at theirs.
        target = 0.01 * floor * max(1.0, float(differences.gain) ** 2)
        # In float32 two rows a small step apart are the same.
        single = False
    settings = GaussNewtonSettings(target=target, damping=1e-6, single=single)

    def descend(network: Network, moves: np.ndarray | None) -> tuple[Network, float]:
        """The network polished, and its mean squared error on the pairs over all inputs."""
        skip = network.skip is not None
        frame = frame_of(training.inputs, training.targets, skip=skip, moves=moves, **options)
        descent = GaussNewton(network, frame, settings, deadline)
        for _ in descent.run():
            left = np.array([np.sqrt(descent.loss)])
            report(Progress("polish over all inputs", descent.step, settings.steps, left))
        found = descent.network()
        return found, float(np.mean((found(bench.training.inputs) - bench.training.targets) ** 2))

    network, error = descend(entered, moves_beside(known, standard))
    if differences is None and AT_FLOOR * floor < error <= WITHIN_SIGHT * floor:
        # What is left may be the rounding of what was known.
        network, error = descend(network, None)
    held_out = float(np.mean((network(unseen.inputs) - unseen.targets) ** 2))
    found = Rebuilt(network, error, rebuilt.exact, rebuilt.removals, rebuilt.skip_left)
    completed = Completed(found, bench, held_out, standard, spare, differences)
    rounding = floor * completed.rounding_gain**2
    exact = rebuilt.exact and error <= AT_FLOOR * rounding
    return replace(completed, rebuilt=replace(found, exact=exact))


def moves_beside(
    known: Float[np.ndarray, "inputs rank"], standard: Standardisation
) -> Float[np.ndarray, "size kinds"]:
    """Moves of standardised input vectors that leave weights along known directions alone."""
    # Raw weights off the known directions, times the scales, are standardised weights; biases
    # follow, for standardised inputs are centred and the raw bias stays.
    basis = null_space(known.T)
    return np.concatenate(
        [basis * standard.input_scale[:, None], standard.input_center[None] @ basis]
    )
