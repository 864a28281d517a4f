"""Whether what a network leaves of the answers is noise, or something it misses.

Noise is what no neuron predicts. Neurons that the network does not have, drawn at random, are
fitted to its residual together with all moves of its weights: on noise they gain no more than
their number, by an F test. The same neurons, fitted to a neuron like the network's own, tell how
small a missing one may be and still show.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import f as f_distribution

from expand_and_cluster.core.network import Network
from expand_and_cluster.students.initial import initial_students
from expand_and_cluster.verdict.linearised import Linearised

# Chance of taking noise for something else.
LEVEL = 1e-3
# Probes, at most and as a share of the equations.
MOST_PROBES, SHARE = 200, 0.05
FEWEST_PROBES = 8
# Relative ridge on columns of unit length.
RIDGE = 1e-12


@dataclass(frozen=True)
class Whiteness:
    """What is left of the answers, examined.

    Attributes:
        noise: Estimated standard deviation of the noise.
        chance: Chance of so much being predictable if all of it is noise.
        converged: Whether moves of the weights gain nothing.
        visible: Contribution (root mean square over the outputs) of the smallest missing neuron
            that would show, for nine of ten neurons.
    """

    noise: float
    chance: float
    converged: bool
    visible: float

    @property
    def white(self) -> bool:
        """Whether it passes for noise."""
        return self.converged and self.chance >= LEVEL


def draw_probes(network: Network, rows: int, seed: int) -> Network | None:
    """Random neurons for standardised inputs; None where rows are too few to test with."""
    outputs = network.output_size
    count = min(MOST_PROBES, int(SHARE * rows * outputs))
    if count < FEWEST_PROBES:
        return None
    widths = (network.input_size, count, outputs)
    drawn = initial_students(widths, network.activation, count=1, seed=seed, first=1_000_000)
    return drawn.student(0)


def examine(moments: Linearised) -> Whiteness:
    """Test the residual of a least-squares fit.

    Args:
        moments: Its `linearise` with probes.
    """
    known = np.append(moments.determined, np.ones(moments.probes, bool))
    gram, pull = moments.gram[np.ix_(known, known)], moments.pull[known]
    own = int(moments.determined.sum())
    left_own = moments.total - _explained(gram[:own, :own], pull[:own])
    left_all = moments.total - _explained(gram, pull)
    freedom = moments.equations - moments.unknowns
    rest = freedom - moments.probes
    if left_all <= 0.0 or rest <= 0:
        return Whiteness(0.0, 0.0, False, np.inf)
    ratio = (left_own - left_all) / moments.probes / (left_all / rest)
    # Moves that gain less than a hundredth of one weight's share of the noise change nothing.
    converged = moments.total - left_own <= 1e-2 * left_own / freedom
    noise = float(np.sqrt(left_own / freedom))
    chance = float(f_distribution.sf(ratio, moments.probes, rest))
    critical = float(f_distribution.isf(LEVEL, moments.probes, rest)) - 1.0
    # A neuron of this size lifts the ratio by twice what the test asks for.
    power = 2.0 * critical * moments.probes / (moments.equations * max(_seen(moments), 1e-12))
    return Whiteness(noise, chance, converged, noise * float(np.sqrt(power)))


def _seen(moments: Linearised) -> float:
    """Share of a missing neuron's contribution that probes show, for nine of ten neurons.

    Half of the probes stand for missing neurons, the other half tells.
    """
    gram, weights, half = moments.gram, moments.weights, moments.probes // 2
    known = np.flatnonzero(moments.determined)
    told = np.append(known, weights + np.arange(half))
    missing = weights + np.arange(half, moments.probes)

    def explained(columns: np.ndarray) -> np.ndarray:
        return _explained_each(gram[np.ix_(columns, columns)], gram[np.ix_(columns, missing)])

    constants = np.arange(weights - moments.outputs, weights)
    spread = np.diag(gram)[missing] - explained(constants)
    # One that gives the same everywhere, an idle relu, contributes nothing that could show.
    moves = spread > 0.0
    if not moves.any():
        return 0.0
    return float(np.quantile((explained(told) - explained(known))[moves] / spread[moves], 0.1))


def _explained(gram: np.ndarray, pull: np.ndarray) -> float:
    """Sum of squares that columns explain."""
    return float(_explained_each(gram, pull[:, None])[0])


def _explained_each(gram: np.ndarray, crossed: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.diag(gram))
    scale[scale == 0.0] = 1.0
    scaled = gram / np.outer(scale, scale) + RIDGE * np.eye(len(gram))
    unit = crossed / scale[:, None]
    return np.einsum("cm,cm->m", unit, cho_solve(cho_factor(scaled), unit))
