"""From a deep network over a few coordinates of the inputs to one over all of them.

Within the subspace the network is known to rounding. What is left are the first layer's weights
along all other directions, small ones, for the subspace is known to the error of differences.
Outputs are as good as linear in them: least squares on questions over all inputs, by LSMR (Fong &
Saunders 2011).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.sparse.linalg import lsmr

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.reconstruction.completion import moves_beside
from expand_and_cluster.reconstruction.deep_bench import DeepBench
from expand_and_cluster.reconstruction.inside import look_inside
from expand_and_cluster.reconstruction.slope_equations import SlopeEquations
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData

# Solves, each from where the last one ended, and by how much one has to lower the error for
# another.
SOLVES, WORTH = 4, 0.5
# Products with the equations that one solve takes at most.
PRODUCTS = 400


@dataclass(frozen=True)
class CompletedLayers:
    """A network over all inputs, and how well questions over all inputs hold it.

    Attributes:
        network: In raw inputs.
        held_out: Root mean squared error on pairs that it was not fitted to, relative to the
            outputs' spread.
        floor: The error that rounding explains.
        fitted: Whether nothing but rounding is left on the pairs that it was fitted to.
        loose: Largest standard deviation of a weight beside the subspace, relative to the largest
            weight of its neuron, for errors of the outputs as large as those on held-out pairs.
    """

    network: Network
    held_out: float
    floor: float
    fitted: bool
    loose: float


def complete_layers(
    start: Network,
    training: TrainingData,
    held_out: TrainingData,
    standard: Standardisation,
    *,
    known: Float[np.ndarray, "inputs rank"],
    noise: float = 0.0,
    report: Reporter = silent,
) -> CompletedLayers:
    """Solve for the first layer's weights along the directions beside a subspace.

    Args:
        start: The network over all inputs, in raw inputs; right within the subspace.
        training: Standardised pairs over all inputs.
        held_out: Others to judge by.
        standard: How they were standardised.
        known: Directions of raw inputs along which weights are known.
        noise: Standard deviation of the answers' own rounding, in standardised units.
        report: Told about every solve.
    """
    bench = DeepBench(training, noise=noise)
    moves = moves_beside(known, standard)
    now = bench.score(standard.enter(start).at_rest())
    for solve in range(SOLVES):
        report(Progress("solve over all inputs", solve, SOLVES, np.array([np.sqrt(now.loss)])))
        new = bench.score(_solved(now.network, moves, training))
        better, now = new.loss < WORTH * now.loss, new if new.loss < now.loss else now
        if not better or bench.at_floor(now):
            break
    missed = now.network(held_out.inputs) - held_out.targets
    error, floor = float(np.sqrt(np.mean(missed**2))), float(np.sqrt(bench.floor(now.network)))
    loose = _looseness(now.network, moves, training) * max(error, floor)
    return CompletedLayers(
        standard.restore(now.network).at_rest(),
        error,
        floor,
        bench.at_floor(now),
        float(loose),
    )


def _solved(network: Network, moves: np.ndarray, data: TrainingData) -> Network:
    """One Gauss-Newton step in the first layer's weights along these moves."""
    slopes = look_inside(network, data.inputs).slopes[0]
    equations = SlopeEquations(slopes, _along(moves, data))
    left = data.targets - network(data.inputs)
    shares = lsmr(equations, left.ravel(), atol=1e-15, btol=1e-15, maxiter=PRODUCTS)[0]
    change = shares.reshape(slopes.shape[2], moves.shape[1]) @ moves.T
    first, *others = network.layers
    moved = Layer(first.weight + change[:, :-1], first.bias + change[:, -1])
    return network.replace(layers=(moved, *others))


def _along(moves: np.ndarray, data: TrainingData) -> Float[np.ndarray, "samples kinds"]:
    return data.inputs @ moves[:-1] + moves[-1]


def _looseness(network: Network, moves: np.ndarray, data: TrainingData) -> float:
    """Error of a weight along these moves, relative to its neuron's, for unit errors of outputs.

    Questions vary alike along all moves, and independently of what each neuron adds to the outputs.
    """
    slopes = look_inside(network, data.inputs).slopes[0]
    if len(data.inputs) * slopes.shape[1] < slopes.shape[2] * moves.shape[1]:
        return float("inf")
    felt = np.einsum("nor,nos->rs", slopes, slopes)
    spread = np.sqrt(np.mean(_along(moves, data) ** 2, axis=0))
    values, vectors = np.linalg.eigh(felt)
    if values[0] <= 1e-14 * values[-1]:
        return float("inf")
    deviation = np.sqrt(np.sum(vectors**2 / values, axis=1))
    longest = np.linalg.norm(moves[:-1], axis=0) / spread
    size = np.abs(network.layers[0].weight).max(axis=1)
    return float(np.max(deviation / size) * longest.max())
