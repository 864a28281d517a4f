"""Give up the affine map that candidates carry, for neurons that are linear on all samples.

While signs are open, an affine map from input to output makes up for wrong ones (see `signs`). It
also makes up for what a neuron with a kink does on one side of it: half of its input vector's work
is then told by the samples on the other side alone, and a neuron that bends on a few samples, by
these. Once most neurons are in their places their signs are told, and what they leave of the map is
a sum of few terms: one for each neuron that bends on no sample, or on hardly any. As neurons that
do not bend yet they are fitted on, and lost where the others come to do without them.
"""

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.core.network import Network
from expand_and_cluster.queries.pieces import has_kink, slopes_of
from expand_and_cluster.reconstruction.candidate import Candidate, padded
from expand_and_cluster.reconstruction.ordinary import without_far
from expand_and_cluster.reconstruction.prune import Removal
from expand_and_cluster.reconstruction.signs import flip_neurons
from expand_and_cluster.reconstruction.workbench import Workbench

# Share of the samples beyond the kink of a neuron that bends on few at most.
RARE = 0.01
# How often signs are chosen anew, with what they left taken for what is to be expected.
ROUNDS = 10
# Share of the largest variance of a sum of maps that any direction of the outputs is expected to
# have: none is held for exact.
LEAST = 1e-4
# Distance of the nearest sample from the kink of a neuron that bends on none, relative to the
# deviation of its pre-activations.
MARGIN = 0.01


def without_skip(
    bench: Workbench, plain: Workbench, candidate: Candidate
) -> tuple[Candidate, tuple[Removal, ...]]:
    """The candidate with linear neurons in place of its affine map, and the neurons it lost.

    Neurons that bend on few samples are taken for a part of the map: as long as it is there,
    nothing holds them, and where others are wrong on a few samples they make up for that.

    Args:
        bench: Where it was polished, with a skip.
        plain: The same pairs without one.
        candidate: A network of neurons with a kink and an affine map.

    Raises:
        ValueError: If its activation has no kink, or it has no affine map.
    """
    network = candidate.network
    if network.skip is None or not has_kink(network.activation):
        raise ValueError(
            f"a network of {network.activation.name} "
            f"{'without' if network.skip is None else 'with'} a skip came; one with a skip, of an "
            "activation that is linear on either side of a kink, was expected"
        )
    kept = candidate.present & (beyond_kink(bench, network.input_vectors) > RARE)
    solved = bench.solve_outputs(network, kept)
    removals = tuple(
        Removal(width, "it bends on hardly any pair, and an affine map does its work", solved.loss)
        for width in reversed(range(solved.width, candidate.width))
    )
    network = without_far(bench, solved).compact()
    flipped = flip_neurons(network, _signs(network, plain.spread))
    assert flipped.skip is not None
    linear = as_linear_neurons(plain, np.asarray(flipped.skip.weight))
    vectors = np.vstack([flipped.input_vectors, linear])
    return without_far(plain, plain.start(vectors, padded(len(vectors)))), removals


def beyond_kink(
    bench: Workbench, vectors: Float[np.ndarray, "neurons inputs_and_bias"]
) -> Float[np.ndarray, " neurons"]:
    """Share of the samples on the side of each neuron's kink that fewer are on."""
    above = np.mean(bench.training.inputs @ vectors[:, :-1].T + vectors[:, -1] > 0.0, axis=0)
    return np.minimum(above, 1.0 - above)


def usual_slopes(bench: Workbench, network: Network) -> Float[np.ndarray, " neurons"]:
    """Slope of each neuron on the side of its kink that most samples are on."""
    below, above = slopes_of(network.activation)
    first = network.layers[0]
    on = np.mean(bench.training.inputs @ first.weight.T + first.bias > 0.0, axis=0) > 0.5
    return np.where(on, above, below)


def as_linear_neurons(
    bench: Workbench, linear: Float[np.ndarray, "outputs inputs"], most: int | None = None
) -> Float[np.ndarray, "neurons inputs_and_bias"]:
    """Input vectors of neurons that make up a linear map, all samples above their kinks.

    Args:
        bench: Where samples are.
        linear: The map.
        most: Neurons at most, those that move the outputs most; None for as many as it has terms.
    """
    ways, size, _ = np.linalg.svd(linear @ bench.spread, full_matrices=False)
    some = size**2 > np.finfo(float).eps * float(np.mean(bench.training.targets**2))
    weights = ways[:, some].T[:most] @ linear
    values = bench.training.inputs @ weights.T
    bias = MARGIN * values.std(axis=0) - values.min(axis=0)
    return np.column_stack([weights, bias])


def _signs(
    network: Network, root: Float[np.ndarray, "inputs directions"]
) -> Bool[np.ndarray, " neurons"]:
    """Which neurons to flip so that what is left of the affine map is a sum of few terms.

    The map is the sum of what wrong signs leave, and of a rest that lies in few directions of the
    outputs. Generalised least squares tell the signs, with what the last ones left for the
    covariance of the rest: directions that hold much of it count little.
    """
    assert network.skip is not None
    first, last = network.layers
    linear = network.activation.flips(len(first.bias)).linear
    maps = np.einsum("ok,kd->kod", -linear * last.weight, first.weight @ root)
    wanted = -np.asarray(network.skip.weight) @ root
    chosen, outputs = np.zeros(len(maps), bool), len(wanted)
    weighing = np.eye(outputs)
    for _ in range(ROUNDS):
        columns = np.einsum("po,kod->pdk", weighing, maps).reshape(-1, len(maps))
        shares = np.linalg.lstsq(columns, (weighing @ wanted).ravel(), rcond=None)[0]
        before, chosen = chosen, shares > 0.5
        if np.array_equal(before, chosen):
            break
        rest = wanted - maps[chosen].sum(axis=0)
        variances, ways = np.linalg.eigh(rest @ rest.T)
        variances = np.maximum(variances, max(LEAST * variances[-1], np.finfo(float).tiny))
        weighing = ways.T / np.sqrt(variances)[:, None]
    return chosen
