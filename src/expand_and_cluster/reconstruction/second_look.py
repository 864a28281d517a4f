"""A second look at every layer of a rebuilt network: which neuron is missing, and where.

What a network leaves of the outputs is not noise as long as a neuron is missing: it follows what
that neuron would give. So neurons are tried in every layer with the others as they are, and judged
by the part of the left-over that they explain and no small change of the weights does.
"""

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.network import Network
from expand_and_cluster.fitting.jacobian import jacobian
from expand_and_cluster.reconstruction.deep_bench import DeepBench, Scored
from expand_and_cluster.reconstruction.inside import Inside, look_inside
from expand_and_cluster.reconstruction.one_neuron import MissingNeuron, with_neuron

# Rows on which neurons are tried, and entries of a Jacobian up to which a layer is looked at.
ROWS, MOST_ENTRIES = 1024, 40_000_000
# Random neurons tried in a layer, with pre-activations that spread between these, and how many of
# them, the best of every layer, are put in.
TRIED, SPREADS, PUT_IN = 1024, (0.3, 3.0), 6
# Steps that each of these has, and how many of them, the best, then go on for how many more.
FEW, BEST, MANY = 25, 3, 120
# First damping: the network around is nearly where it should be.
DAMPING = 1e-4
# Share of the error that a neuron may leave for it to stay, and most that are put in.
GAIN, MOST = 0.5, 6


def look_again(
    bench: DeepBench, start: Scored, *, arrived: float, seed: tuple[int, ...]
) -> tuple[Scored, tuple[int, ...]]:
    """The network with neurons that were missing, and the layers that they were missing in.

    A neuron stays if the whole network, polished with it, is at half of the error it had; the look
    is repeated until none does, or the error is so small that nothing can be missing.

    Args:
        bench: Where networks are scored and polished.
        start: A network that a descent has come to an end with.
        arrived: Mean squared error at which nothing is missing.
        seed: Decides which neurons are tried.

    Source: Martinelli et al. rebuild each layer once (section 5); a second look is ours.
    """
    now, added = start, []
    for number in range(MOST):
        if now.loss <= arrived or is_over(bench.deadline):
            break
        best, layer = _with_one_more(bench, now, arrived, np.random.default_rng((*seed, number)))
        if best.loss > GAIN * now.loss:
            break
        now = best
        added.append(layer)
    return now, tuple(added)


def _with_one_more(
    bench: DeepBench, now: Scored, arrived: float, rng: np.random.Generator
) -> tuple[Scored, int]:
    """The best network with one neuron more, and the layer that it is in."""
    grown = []
    for one in worth_trying(bench, now, rng):
        put_in = bench.score(with_neuron(now.network, one))
        grown.append((_polished(bench, put_in, FEW), one.layer))
        if grown[-1][0].loss <= arrived or is_over(bench.deadline):
            return min(grown, key=lambda each: each[0].loss)
    best = (now, -1)
    for few, layer in sorted(grown, key=lambda each: each[0].loss)[:BEST]:
        many = _polished(bench, few, MANY)
        if many.loss < best[0].loss:
            best = (many, layer)
        if best[0].loss <= arrived or is_over(bench.deadline):
            break
    return best


def _polished(bench: DeepBench, start: Scored, steps: int) -> Scored:
    return bench.polish(start, steps=steps, damping=DAMPING, stage="look again")


def worth_trying(bench: DeepBench, now: Scored, rng: np.random.Generator) -> list[MissingNeuron]:
    """Neurons of every layer that explain most of what the network leaves, the best first.

    Args:
        bench: The pairs.
        now: The network.
        rng: Draws what is tried.
    """
    network = now.network
    inputs = bench.training.inputs[:ROWS]
    outputs = network.output_size
    if len(inputs) * outputs * network.parameter_count > MOST_ENTRIES:
        return []
    inside = look_inside(network, inputs)
    left = (bench.training.targets[:ROWS] - inside.outputs).reshape(-1)
    tangents = jacobian(network, inputs).reshape(len(left), -1)
    basis, sizes, _ = np.linalg.svd(tangents, full_matrices=False)
    basis = basis[:, sizes > 1e-10 * sizes[0]]
    left = left - basis @ (basis.T @ left)
    tried = [
        one
        for layer in range(len(network.layers) - 1)
        for one in _tried(network, layer, inside, left, basis, rng)
    ]
    return sorted(tried, key=lambda one: -one.share)


def _tried(
    network: Network,
    layer: int,
    inside: Inside,
    left: Float[np.ndarray, " equations"],
    basis: Float[np.ndarray, "equations directions"],
    rng: np.random.Generator,
) -> list[MissingNeuron]:
    """Random neurons of one layer, each with the weights above that explain most; the best few."""
    fed = inside.values[layer]
    vectors = _vectors(fed, rng)
    active = network.activation.values(fed @ vectors.T)
    outputs = network.output_size
    slopes = (
        inside.slopes[layer + 1]
        if layer + 1 < len(inside.slopes)
        else np.broadcast_to(np.eye(outputs), (len(fed), outputs, outputs))
    )
    above, whole = slopes.shape[2], float(left @ left)
    found = []
    for vector, column in zip(vectors, active.T, strict=True):
        design = (slopes * column[:, None, None]).reshape(-1, above)
        design = design - basis @ (basis.T @ design)
        weights = np.linalg.lstsq(design, left, rcond=1e-8)[0]
        gone = whole - float(np.sum((left - design @ weights) ** 2))
        found.append(MissingNeuron(layer, vector, weights, gone / max(whole, 1e-300)))
    return sorted(found, key=lambda one: -one.share)[:PUT_IN]


def _vectors(
    fed: Float[np.ndarray, "rows inputs_and_one"], rng: np.random.Generator
) -> Float[np.ndarray, "tried inputs_and_one"]:
    """Input vectors whose pre-activations spread by about one, about a place within the data."""
    values = fed[:, :-1]
    center = values.mean(axis=0)
    _, sizes, axes = np.linalg.svd(values - center, full_matrices=False)
    seen = sizes > 1e-8 * max(float(sizes[0]), np.finfo(float).tiny)
    white = axes[seen].T / sizes[seen] * np.sqrt(len(values))
    ways = rng.standard_normal((TRIED, white.shape[1]))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    weights = np.exp(rng.uniform(np.log(SPREADS[0]), np.log(SPREADS[1]), (TRIED, 1))) * (
        ways @ white.T
    )
    places = values[rng.integers(len(values), size=TRIED)]
    return np.column_stack([weights, -np.sum(weights * places, axis=1)])
