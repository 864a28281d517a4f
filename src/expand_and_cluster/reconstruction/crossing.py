"""Move neurons for samples that lie on the wrong side of their kinks.

Steps follow slopes. A sample that should be on the steep side of a neuron's kink, and lies far out
on the flat one, has next to no slope there: it pulls at the neuron by a hundredth of what it is off
(leaky_relu) or not at all (relu). Yet what is left of it lies along the neuron's output vector, and
says which activation the neuron should have, and so which pre-activation. The neuron is fitted to
that alone, with the slope from where each sample lies to where it should, and all other samples
holding it where it is.
"""

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.core.network import Network
from expand_and_cluster.queries.pieces import slopes_of
from expand_and_cluster.reconstruction.candidate import Candidate, padded
from expand_and_cluster.reconstruction.far_samples import FarSamples
from expand_and_cluster.reconstruction.workbench import Workbench

# Cosine of what is left of a sample and an output vector from which on it is that neuron's.
ITS_OWN = 0.99
# Rounds of a fit, each with slopes to where the last one moved samples, and the share of the
# inputs' second moments that is added: what no sample holds moves little.
ROUNDS, RIDGE = 4, 1e-7


def cross_kinks(bench: Workbench, seen: FarSamples) -> Candidate | None:
    """The network with neurons moved where samples far off say that they bend elsewhere.

    A move stays if more samples come to the side that they should be on than leave theirs. What
    it changes on the flat side is for the others to make up for, in the next steps.

    Args:
        bench: Pairs, without a skip.
        seen: A network of neurons with a kink, and samples that it is far off on.

    Returns:
        None where no move helps.
    """
    vectors, weights = seen.network.input_vectors.copy(), seen.network.layers[1].weight
    length = np.linalg.norm(weights, axis=0)
    left = seen.left[seen.far]
    likeness = left @ (weights / np.where(length > 0.0, length, 1.0))
    likeness /= np.linalg.norm(left, axis=1)[:, None]
    nearest = np.argmax(np.abs(likeness), axis=1)
    its_own = np.abs(likeness[np.arange(len(nearest)), nearest]) > ITS_OWN
    fit, moved = _Fit(bench, seen.network), False
    for neuron in np.unique(nearest[its_own]):
        asking = its_own & (nearest == neuron)
        asked = left[asking] @ weights[:, neuron] / length[neuron] ** 2
        found = fit.moved(vectors[neuron], seen.far[asking], asked, seen.far[~asking])
        if found is not None:
            vectors[neuron], moved = found, True
    return bench.start(vectors, padded(len(vectors))) if moved else None


class _Fit:
    """Fits of single neurons to activations that samples ask for."""

    def __init__(self, bench: Workbench, network: Network) -> None:
        """Weigh what holds a neuron where nothing is asked of it."""
        self._extended = bench.extended
        self._below, self._above = slopes_of(network.activation)
        self._moments = bench.second_moments
        size = np.trace(self._moments) / len(self._moments)
        self._ridge = RIDGE * self._moments + RIDGE**2 * size * np.eye(len(self._moments))

    def moved(
        self,
        vector: Float[np.ndarray, " inputs_and_bias"],
        samples: Int[np.ndarray, " some"],
        asked: Float[np.ndarray, " some"],
        ignored: Int[np.ndarray, " others"],
    ) -> Float[np.ndarray, " inputs_and_bias"] | None:
        """The neuron whose activations change as asked, and on other samples as little as can be.

        Args:
            vector: The neuron.
            samples: That ask.
            asked: Changes of its activation.
            ignored: Samples that say nothing.

        Returns:
            None where no sample that asks is on the wrong side of the kink, or no more come to
            the right one than leave it.
        """
        values = self._extended @ vector
        wanted = values.copy()
        wanted[samples] = self._straightened(self._bent(values[samples]) + asked)
        above = wanted > 0.0
        if np.array_equal(above, values > 0.0):
            return None
        slopes = self._slopes(values)
        on = self._extended[values > 0.0]
        held = self._below**2 * self._moments + (self._above**2 - self._below**2) * (on.T @ on)
        now, move = values, np.zeros_like(vector)
        for _ in range(ROUNDS):
            secants = self._secants(now, wanted)
            secants[ignored] = 0.0
            # All but a few weigh what they did at first.
            other = np.flatnonzero(secants != slopes)
            rows = self._extended[other]
            gram = held + (rows.T * (secants[other] ** 2 - slopes[other] ** 2)) @ rows
            pull = self._extended[samples].T @ (
                secants[samples] ** 2 * (wanted[samples] - values[samples])
            )
            before, move = move, np.linalg.solve(gram + self._ridge, pull)
            now = values + self._extended @ move
            if np.allclose(move, before):
                break
        right = (now > 0.0) == above
        return vector + move if np.sum(~right) < np.sum((values > 0.0) != above) else None

    def _bent(self, values: Float[np.ndarray, " some"]) -> Float[np.ndarray, " some"]:
        return self._slopes(values) * values

    def _straightened(self, activations: Float[np.ndarray, " some"]) -> Float[np.ndarray, " some"]:
        """Pre-activations of these activations; zero for ones that there are none of."""
        below = self._below if self._below > 0.0 else np.inf
        return np.where(activations > 0.0, activations / self._above, activations / below)

    def _secants(
        self, now: Float[np.ndarray, " samples"], wanted: Float[np.ndarray, " samples"]
    ) -> Float[np.ndarray, " samples"]:
        """Slopes from where samples are to where they should be."""
        apart = now - wanted
        flat = np.abs(apart) <= 1e-12 * (np.abs(now) + np.abs(wanted))
        secants = (self._bent(now) - self._bent(wanted)) / np.where(flat, 1.0, apart)
        return np.where(flat | ((now > 0.0) == (wanted > 0.0)), self._slopes(wanted), secants)

    def _slopes(self, values: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " samples"]:
        return np.where(values > 0.0, self._above, self._below)
