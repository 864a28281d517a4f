"""Identify or abstain, from what can be seen without the teacher."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.consensus import Population
from expand_and_cluster.verdict.conditioning import Conditioning

# Largest error of any held weight, relative to the largest weight of its neuron, that still counts
# as identified: what is reported is then right to six digits.
WEIGHT_TOLERANCE = 1e-6
# Held-out error, in units of what rounding explains, above which the network is another function.
NOISE_FACTOR = 30.0
# Cosine distance within which a student's neuron supports a recovered one.
SUPPORTS = 1e-2
# Confidence where nothing speaks against the network: the verdict is not calibrated, so not 1.
SUREST = 0.999


@dataclass(frozen=True)
class Support:
    """Which students hold each recovered neuron, and how closely.

    Attributes:
        students: For each neuron, the students that have it.
        agreement: For each neuron, the median cosine distance over these students; 1 if none.
    """

    students: tuple[Int[np.ndarray, " _"], ...]
    agreement: Float[np.ndarray, " neurons"]


def find_support(network: Network, population: Population, activation: Activation) -> Support:
    """Look every recovered neuron up among the students' neurons of its kind.

    Args:
        network: Recovered network in standardised coordinates.
        population: Neurons of the imitating students.
        activation: Activation of the students.
    """
    own = network.input_vectors @ population.metric_root
    kinds = [network.activation.of(k) for k in range(len(own))]
    students: list[Int[np.ndarray, " _"]] = [np.zeros(0, int)] * len(own)
    agreement = np.ones(len(own))
    for kind in dict.fromkeys(kinds):
        mine = np.array([each == kind for each in kinds])
        others = population.part(np.array([activation.of(p) == kind for p in population.places]))
        found = support_of(
            own[mine], others.measured, others.students, sign_free=kind.symmetry.flip is not None
        )
        agreement[mine] = found.agreement
        for k, held_by in zip(np.flatnonzero(mine), found.students, strict=True):
            students[k] = held_by
    return Support(tuple(students), agreement)


def support_of(
    own: Float[np.ndarray, "recovered size"],
    theirs: Float[np.ndarray, "neurons size"],
    students: Int[np.ndarray, " neurons"],
    *,
    sign_free: bool,
) -> Support:
    """Look rows up among the students' rows, by the cosine of their angle.

    Args:
        own: One row for each recovered neuron.
        theirs: One row for each neuron of a student, in the same coordinates.
        students: Which student each belongs to.
        sign_free: Whether a row and its negative are the same neuron.
    """
    mine, others = _units(own), _units(theirs)
    distance = _cosine_distances(mine, others)
    if sign_free:
        distance = np.minimum(distance, _cosine_distances(-mine, others))
    supporting, agreement = [], []
    owners = np.unique(students)
    for row in distance:
        nearest = np.array([row[students == s].min() for s in owners])
        near = nearest <= SUPPORTS
        supporting.append(owners[near])
        agreement.append(float(np.median(nearest[near])) if near.any() else 1.0)
    return Support(tuple(supporting), np.array(agreement))


@dataclass(frozen=True)
class Finding:
    """The decision with its reasons.

    Attributes:
        identified: Whether the network is taken to be the teacher's.
        confidence: 0 to 1.
        reasons: One sentence for each thing that was looked at.
        masked: Inputs whose weights the pairs do not determine.
    """

    identified: bool
    confidence: float
    reasons: tuple[str, ...]
    masked: Bool[np.ndarray, " inputs"]


def judge(
    network: Network,
    conditioning: Conditioning,
    *,
    held_out: float,
    seen: Bool[np.ndarray, " inputs"] | None = None,
    floor: float,
    gain: float = 1.0,
    support: Support,
    skip_left: float,
    fitted: bool,
    spare: bool = False,
) -> Finding:
    """Weigh the evidence.

    Zero error on pairs that nobody was fitted to, with every weight held in its place by the
    pairs, leaves no other network of this kind: a network with a neuron to spare has directions in
    which its weights can move freely, and these show as unheld weights.

    Args:
        network: Recovered network in standardised coordinates.
        conditioning: Jacobian analysis at it.
        held_out: Root mean squared error on held-out pairs.
        seen: Inputs whose weights were fitted to these since, the smallest that explain them; None
            if none were. Where the network is not identified, they are not masked.
        floor: Root mean squared error that rounding explains.
        gain: How much larger the rounding is of what some weights rest on, differences of answers.
        support: Students that hold each neuron.
        skip_left: Largest weight of a skip that could not be folded.
        fitted: Whether the error on the fitted pairs is at rounding.
        spare: Whether a neuron is known to be possibly to spare.
    """
    reasons: list[str] = []
    explained = gain * floor
    exact = fitted and held_out <= NOISE_FACTOR * explained
    noise = max(explained, held_out if exact else 0.0) / gain
    error = conditioning.amplification * noise
    size = np.abs(network.input_vectors).max(axis=1, keepdims=True)
    loose = ~(error <= WEIGHT_TOLERANCE * size)
    masked = loose[:, :-1].any(axis=0)
    source = "rounding" if gain == 1.0 else "rounding of small differences"
    was, since = "is", ""
    if seen is not None:
        was, since = "was", ", before small weights of rare inputs were fitted to these too"
    reasons.append(
        f"error on held-out pairs {was} {held_out:.1e} of the outputs' spread"
        f"{since}, " + (source if exact else f"above what {source} explains ({explained:.1e})")
    )
    held = not (spare or loose[:, -1].any() or masked.all())
    if not held:
        # Not a matter of single inputs: nothing is masked, for nothing is certain.
        masked = np.zeros_like(masked)
    worst = float((error / size)[~loose].max()) if held else np.inf
    identified = exact and held and skip_left == 0.0
    if seen is not None and not identified:
        # Pairs that were held out may be the only ones that show an input.
        masked = masked & ~seen
    if masked.any() and held:
        reasons.append(
            f"the pairs do not determine the weights of {int(masked.sum())} of {len(masked)} "
            "inputs; they are masked"
        )
    elif held:
        but = " but those of rare inputs" if loose.any() else ""
        reasons.append(f"the pairs hold every input weight{but} to {worst:.0e} of its neuron")
    else:
        reasons.append("the pairs leave biases free to move, so a neuron may be to spare")
    if skip_left > 0.0:
        reasons.append(
            f"an affine map (weights up to {skip_left:.1e}) is left over that no choice of signs "
            "folds away"
        )
    reasons.append(say_support(support))
    shared = float(np.mean([len(s) >= 2 for s in support.students]))
    if identified:
        confidence = confidence_of(held_out / explained - 1.0, worst / WEIGHT_TOLERANCE, shared)
    else:
        # Digits of the outputs that are right say how near the network is, not that it is it.
        confidence = float(np.clip(-np.log10(max(held_out, 1e-16)) / 40.0, 0.0, 0.4))
    return Finding(identified, confidence, tuple(reasons), masked)


def say_support(support: Support) -> str:
    """How many students hold the neurons, in a sentence."""
    lonely = int(sum(len(s) < 2 for s in support.students))
    if lonely:
        return (
            f"{lonely} of {len(support.students)} neurons are held by fewer than two "
            "students, and rest on the fit alone"
        )
    least = min(len(s) for s in support.students)
    return f"every neuron is held by at least {least} students"


def confidence_of(excess: float, worst: float, shared: float) -> float:
    """What is left of certainty: each kind of evidence takes away by how near its limit it is.

    Args:
        excess: Held-out error beyond what rounding explains, in units of it.
        worst: Largest error of a held weight, as a share of the largest allowed.
        shared: Share of the neurons that at least two students hold.
    """
    fit = 0.1 * max(excess, 0.0) / NOISE_FACTOR
    pinned = 0.1 * min(worst, 1.0) ** 0.5
    return SUREST * (1.0 - fit) * (1.0 - pinned) * (1.0 - 0.05 * (1.0 - shared))


def _units(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)


def _cosine_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    # Half the squared distance of unit vectors: exact for tiny angles, unlike 1 - cosine.
    return 0.5 * ((one[:, None, :] - other[None, :, :]) ** 2).sum(axis=2)
