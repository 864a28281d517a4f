"""From input vectors that may be the teacher's to the smallest network that fits."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.queries.pieces import has_kink
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.kinked import descend_with_kinks
from expand_and_cluster.reconstruction.linear_neurons import without_skip
from expand_and_cluster.reconstruction.prune import Removal, prune
from expand_and_cluster.reconstruction.renewal import Renew
from expand_and_cluster.reconstruction.shedding import finish_shedding, shed
from expand_and_cluster.reconstruction.signs import folded, resolve_signs
from expand_and_cluster.reconstruction.workbench import Workbench


@dataclass(frozen=True)
class Rebuilt:
    """A rebuilt network in standardised coordinates.

    Attributes:
        network: The network; its skip is None wherever it could be folded away.
        loss: Mean squared error on the training pairs.
        exact: Whether nothing but rounding is left of the error.
        removals: Neurons removed on the way.
        skip_left: Largest weight of a skip that no choice of signs makes vanish, else 0.
    """

    network: Network
    loss: float
    exact: bool
    removals: tuple[Removal, ...]
    skip_left: float


def rebuild(
    bench: Workbench,
    vectors: Float[np.ndarray, "neurons inputs_and_bias"],
    capacity: int,
    activation: Activation | None = None,
    *,
    spare: bool = False,
    renew: Renew | None = None,
) -> Rebuilt:
    """Solve, polish and prune these neurons; then resolve the signs that are still open.

    Args:
        bench: Pairs and activation.
        vectors: Input vectors of the neurons to start from.
        capacity: Padded width, at least their number.
        activation: Activation of a layer of these neurons; None for that of the bench.
        spare: Whether a large candidate has neurons beside the teacher's, to be lost on the way.
        renew: Trains new neurons beside those of such a candidate (see `shed`).
    """
    start = bench.start(vectors, capacity, activation)
    if spare and not bench.dense(start):
        if bench.skip and has_kink(bench.activation):
            return _with_kinks(bench, start)
        candidate, removals = shed(bench, start, renew)
        return finish(bench, candidate, removals)
    candidate = bench.polish(start)
    candidate, removals = prune(bench, candidate, sure=True)
    return finish(bench, bench.polish(candidate, damping=1e-8), removals)


def _with_kinks(bench: Workbench, start: Candidate) -> Rebuilt:
    """Neurons with a kink, without an affine map beside them: it hides those that hardly bend."""
    plain = bench.without_skip()
    candidate, rarely_bent = without_skip(bench, plain, start)
    candidate, read_instead = descend_with_kinks(plain, candidate)
    candidate, removals = finish_shedding(plain, candidate)
    return finish(plain, candidate, rarely_bent + read_instead + removals)


def slim(bench: Workbench, rebuilt: Rebuilt, capacity: int) -> Rebuilt:
    """Try again to remove neurons of an exact network whose weights are not held by the pairs.

    Two neurons that nearly coincide, or that leave the data, can fit to rounding without one of
    them being free for the others: what is left over shows only once the rest is polished.
    """
    network = rebuilt.network
    start = bench.start(network.input_vectors, capacity, network.activation)
    candidate, removals = prune(bench, start)
    return finish(bench, bench.polish(candidate, damping=1e-8), rebuilt.removals + removals)


def finish(bench: Workbench, candidate: Candidate, removals: tuple[Removal, ...]) -> Rebuilt:
    """The candidate as an ordinary network, its affine left-over folded away where it can be."""
    exact = bench.at_floor(candidate)
    network = candidate.compact()
    if network.skip is None or not exact:
        return Rebuilt(network, candidate.loss, exact, removals, 0.0)
    tolerance = 1e-6 * max(1.0, float(np.abs(network.layers[1].weight).max()))
    flipped, left = resolve_signs(network, tolerance=tolerance)
    if left > tolerance:
        return Rebuilt(network, candidate.loss, exact, removals, left)
    return Rebuilt(folded(flipped), candidate.loss, exact, removals, 0.0)
