"""Read neurons that bend on few samples off what is left of these.

A neuron with a kink is linear on all samples that are on one side of it. Where these are nearly
all, a candidate has linear neurons for it and others like it, and these have its part of one linear
map, but not its own weights: any neurons with the same sum would do. What tells them apart is what
is left of the few samples on the other side. It lies along the neuron's output vector, and grows
with the distance from the kink: of all combinations of the map's rows that are a term of it, its
own is the one that comes to these distances there, and leaves no other sample beyond.

A neuron that is nearly always on the flat side of its kink has a small part of the map, or none. It
is begun with the smallest pre-activations that come to these distances.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from expand_and_cluster.core.network import Network
from expand_and_cluster.queries.pieces import slopes_of
from expand_and_cluster.reconstruction.candidate import Candidate, padded
from expand_and_cluster.reconstruction.far_samples import FarSamples
from expand_and_cluster.reconstruction.linear_neurons import (
    as_linear_neurons,
    beyond_kink,
    usual_slopes,
)
from expand_and_cluster.reconstruction.workbench import Workbench

# Share of the samples beyond the kink of a neuron that counts as linear at most.
LINEAR = 1e-4
# The sine of the angle within which what is left of samples is parallel, and how many have to be;
# the sine of the angle from which on an output vector is another than those already found; and
# what is left of them beside it, where nothing but these samples tells of the neuron, and there are
# linear ones that it could be mistaken for.
PARALLEL, FEWEST, ANOTHER, ALONE = 0.1, 5, 0.2, 0.03
# Of the samples that are off along an output vector or beyond the kink of a neuron, the share that
# are both at least, for the neuron to be the one that they tell of.
AGREED = 0.15
# Share of the square of a way that has to be along the directions of a map's terms.
WITHIN = 0.5
# Most rounds of finding out which samples are beyond a kink, and the share of the mean square of
# what a vector is a combination of that is added.
ROUNDS, RIDGE = 50, 1e-9


@dataclass(frozen=True)
class Reading:
    """Neurons with a kink, and what is left of a linear map once those read off it are told.

    Attributes:
        vectors: Input vectors of all that bend, those that were read last.
        read: How many were.
        linear: The rest of the map.
        terms: How many linear neurons it is the sum of, if all that were read are right.
    """

    vectors: Float[np.ndarray, "neurons inputs_and_bias"]
    read: int
    linear: Float[np.ndarray, "outputs inputs"]
    terms: int

    def candidate(self, bench: Workbench, terms: int) -> Candidate:
        """These neurons, and as many linear ones: those that move the outputs most."""
        vectors = np.vstack([self.vectors, as_linear_neurons(bench, self.linear, terms)])
        return bench.start(vectors, padded(len(vectors)))


@dataclass(frozen=True)
class _Way:
    """A direction along which samples are off.

    Attributes:
        direction: Of the outputs, of length one: that of a neuron beyond whose kink they are.
        samples: That are off along it.
        wanted: How far beyond the kink each is, for a neuron read by a vector of length one.
        beside: Share of what is left of them that is along other directions.
    """

    direction: Float[np.ndarray, " outputs"]
    samples: Int[np.ndarray, " some"]
    wanted: Float[np.ndarray, " some"]
    beside: float


def read_kinks(bench: Workbench, seen: FarSamples) -> Reading:
    """Read neurons that bend on few samples in place of linear ones.

    Args:
        bench: Pairs, without a skip.
        seen: A network of neurons with a kink, and samples that it is far off on.
    """
    network = seen.network
    straight = beyond_kink(bench, network.input_vectors) <= LINEAR
    slopes = slopes_of(network.activation)
    rest = _linear_map(bench, network, straight)
    terms, read = int(straight.sum()), []
    for way in _ways(seen, np.asarray(network.layers[1].weight)[:, ~straight].T, slopes):
        told = _told(bench, rest, terms, way, slopes) if terms else None
        if told is not None:
            vector, rest = told
            read.append(vector)
            terms -= 1
        elif way.beside <= (ALONE if terms else PARALLEL):
            read.append(_begun(bench, way))
    vectors = np.vstack([network.input_vectors[~straight], *read])
    return Reading(vectors, len(read), rest, terms)


def _linear_map(
    bench: Workbench, network: Network, straight: Bool[np.ndarray, " neurons"]
) -> Float[np.ndarray, "outputs inputs"]:
    """The linear map of these neurons, each on the side of its kink that most samples are on."""
    first, last = network.layers
    slopes = usual_slopes(bench, network)[straight]
    return np.asarray((last.weight[:, straight] * slopes) @ first.weight[straight])


def _ways(
    seen: FarSamples, known: Float[np.ndarray, "some outputs"], slopes: tuple[float, float]
) -> list[_Way]:
    """Directions along which samples are off, that of most samples first, but for known ones."""
    others = [vector / max(np.linalg.norm(vector), np.finfo(float).tiny) for vector in known]
    residual, below, above = seen.left[seen.far], *slopes
    length = np.linalg.norm(residual, axis=1)
    unit = residual / length[:, None]
    alike = unit @ unit.T >= np.sqrt(1.0 - PARALLEL**2)
    still, found = np.ones(len(unit), bool), []
    while still.any():
        counts = np.where(still, np.sum(alike & still, axis=1), 0)
        if counts.max() < FEWEST:
            break
        group = still & alike[np.argmax(counts)]
        _, sizes, directions = np.linalg.svd(residual[group], full_matrices=False)
        direction, beside = directions[0], float(np.linalg.norm(sizes[1:]) / sizes[0])
        direction *= np.sign(np.sum(unit[group] @ direction)) * np.sign(above - below)
        still &= ~group
        if all(np.abs(direction @ other) <= np.sqrt(1.0 - ANOTHER**2) for other in others):
            wanted = residual[group] @ direction / (above - below)
            found.append(_Way(direction, seen.far[group], wanted, beside))
            others.append(direction)
    return found


def _told(
    bench: Workbench,
    linear: Float[np.ndarray, "outputs inputs"],
    terms: int,
    way: _Way,
    slopes: tuple[float, float],
) -> tuple[Float[np.ndarray, " inputs_and_bias"], Float[np.ndarray, "outputs inputs"]] | None:
    """The neuron that a way tells, made of what a linear map gives, and the rest of that map.

    The neuron's part of the map is a term of it: without this, the map is the sum of one term less
    (Wedderburn's rank reduction). For a map that gives `z` along so many directions of the outputs,
    and a way along `a` of these, it is the `slope * a (v . z)` with `slope * (a . v) = 1`.

    Args:
        bench: Where samples are.
        linear: The map.
        terms: Of how many terms it is the sum.
        way: A direction, and the samples that are off along it.
        slopes: Below and above the kink.

    Returns:
        None where the map has no such term, or nothing like it explains what is left.
    """
    ways = np.linalg.svd(linear @ bench.spread, full_matrices=False)[0][:, :terms].T
    along = ways @ way.direction
    if along @ along < WITHIN:
        return None
    parts = ways @ linear
    values = bench.training.inputs @ parts.T
    middle = values.mean(axis=0)
    free = np.linalg.svd(along[None])[2][1:].T
    features = np.column_stack([(values - middle) @ free, np.ones(len(values))])
    ridge = RIDGE * np.diag(np.maximum(np.sum(features**2, axis=0), np.finfo(float).tiny))
    best, most = None, AGREED
    for sign, slope in zip((-1.0, 1.0), slopes, strict=True):
        if slope == 0.0:
            continue
        own = sign * along / (along @ along)
        given = (values - middle) @ own
        fitted = _fitted(features, given, way.samples, slope * way.wanted, ridge)
        beyond = given + features @ fitted < 0.0
        both = int(beyond[way.samples].sum())
        agreed = both / (len(way.samples) + int(beyond.sum()) - both)
        if agreed > most:
            combination = own + free @ fitted[:-1]
            bias = fitted[-1] - combination @ middle
            vector = sign / slope * np.append(combination @ parts, bias)
            best, most = (vector, linear - slope * np.outer(way.direction, vector[:-1])), agreed
    return best


def _begun(bench: Workbench, way: _Way) -> Float[np.ndarray, " inputs_and_bias"]:
    """Input vector of a neuron that is beyond its kink on the samples of a way alone."""
    extended, ridge = bench.extended, np.sqrt(RIDGE) * bench.second_moments
    ridge = ridge + RIDGE * np.trace(ridge) / len(ridge) * np.eye(len(ridge))
    return -_fitted(extended, np.zeros(len(extended)), way.samples, way.wanted, ridge)


def _fitted(
    features: Float[np.ndarray, "samples features"],
    given: Float[np.ndarray, " samples"],
    samples: Int[np.ndarray, " some"],
    wanted: Float[np.ndarray, " some"],
    ridge: Float[np.ndarray, "features features"],
) -> Float[np.ndarray, " features"]:
    """Least squares of how far below zero some samples are, and any others are that are at all.

    Convex, and solved by Newton's steps, each for the samples that the last one left below.

    Args:
        features: Of which what is added to `given` is made.
        given: What all samples begin with.
        samples: That have to be below zero.
        wanted: By how much.
        ridge: Added to the features' second moments.
    """
    off = np.zeros(len(given), bool)
    off[samples] = True
    target = np.zeros(len(given))
    target[samples] = -wanted
    below = off
    fitted = np.zeros(features.shape[1])
    for _ in range(ROUNDS):
        rows = features[below]
        fitted = np.linalg.solve(rows.T @ rows + ridge, rows.T @ (target - given)[below])
        before, below = below, off | (given + features @ fitted < 0.0)
        if np.array_equal(before, below):
            break
    return fitted
