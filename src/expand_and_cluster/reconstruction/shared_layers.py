"""What students of several layers share, in all layers at once, and the network made of it.

Where students imitate a teacher closely, each holds all of it, in every layer, among neurons of its
own. Neurons are compared by what they take in on the same inputs, which needs no rebuilt layer
below. Every group of neurons that two students share becomes one neuron, with the weights of the
best student that has it: to each group below the weights of all its neurons there, in the units of
the one that stands for the group. A neuron of the best student that moves the outputs much more
than this student is wrong by stands for itself, shared or not: others may give what it gives by
several neurons. All others go, and their mean is added to the biases.

Source: Martinelli et al., section 5 and A.3; there one layer is rebuilt at a time.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.layer_blocks import (
    Block,
    Seen,
    blocks_of,
    look_at_layers,
    network_of,
)
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import placed
from expand_and_cluster.reconstruction.consensus import Consensus, Population, find_consensus
from expand_and_cluster.reconstruction.deep_consensus import close_height, sign_free

Student = TypeVar("Student", Network, ConvNetwork)

# Samples on which neurons are compared, and rows that are kept of each.
SAMPLES, ROWS = 2000, 4000
# Samples on which it is measured what the outputs lose with a neuron.
FEW = 200
# Share of the outputs' spread, and of a student's own error, below which that says nothing.
LEAST, OF_ERROR = 1e-3, 0.3
# What a neuron that no other student has must move the outputs by, in units of the best student's
# error, to be kept: less, and it is mostly one of several that together stand for one neuron.
ALONE = 100.0
# Students up to this multiple of the best one's root mean squared error are evidence.
FAR = 10.0


@dataclass(frozen=True)
class SharedLayers(Generic[Student]):
    """What students agree on.

    Attributes:
        network: One neuron for every group that two students share, in every hidden layer, and for
            those of the best student that stand for themselves.
        populations: Neurons of every hidden layer that took part.
        consensus: Their groups.
    """

    network: Student
    populations: tuple[Population, ...]
    consensus: tuple[Consensus, ...]


def share_layers(
    students: list[Student],
    losses: Float[np.ndarray, " students"],
    inputs: Float[np.ndarray, "samples inputs"],
    targets: Float[np.ndarray, "samples outputs"],
    *,
    max_angle: float,
) -> SharedLayers[Student] | None:
    """Find the neurons that two students share, and make a network of them.

    Where a single student is evidence (see `FAR`), all of its neurons.

    Args:
        students: Trained students; widths may differ.
        losses: Mean squared error of each.
        inputs: Standardised inputs in random order.
        targets: What the students imitate.
        max_angle: Largest median angle within a group, in radians.

    Returns:
        None where nothing is left of some layer.
    """
    rows = inputs[:SAMPLES]
    seen = [look_at_layers(student, rows, ROWS) for student in students]
    lost = [what_is_lost(student, inputs[:FEW]) for student in students]
    imitating = np.isfinite(losses) & (losses <= FAR**2 * np.nanmin(losses))
    either_sign = [_either_sign(students[0], layer) for layer in range(len(seen[0]))]
    populations, found = [], []
    for layer, free in enumerate(either_sign):
        population = _population(
            [each[layer] for each in seen], [each[layer] for each in lost], losses, imitating
        )
        consensus = find_consensus(
            population,
            min_cluster_fraction=2.0 / max(int(imitating.sum()), 2),
            max_cluster_angle=max_angle,
            sign_free=free,
            scale_free=True,
            rule=close_height,
        )
        if consensus is None:
            return None
        populations.append(population)
        found.append(consensus)
    maps = [
        _mapped(population, consensus, each, students[0])
        for population, consensus, each in zip(
            populations, found, zip(*seen, strict=True), strict=True
        )
    ]
    if not all(each.owner for each in maps):
        return None
    network = _assembled(students, maps, seen, int(np.nanargmin(losses)))
    return SharedLayers(
        fit_outputs(network, rows, targets[: len(rows)]), tuple(populations), tuple(found)
    )


def _either_sign(student: Network | ConvNetwork, layer: int) -> bool:
    """Whether a neuron of a hidden layer and its negative are one."""
    kernels = student.convolutions if isinstance(student, ConvNetwork) else ()
    if layer < len(kernels) and kernels[layer].geometry.pool == "max":
        return False  # The largest of a window is not the smallest one's negative.
    symmetry = student.activation.symmetry
    return sign_free(student.activation) and symmetry.center == 0.0


def what_is_lost(
    network: Network | ConvNetwork, inputs: Float[np.ndarray, "samples inputs"]
) -> tuple[Float[np.ndarray, " _"], ...]:
    """For every hidden layer, how far the outputs move where a neuron only gives its mean.

    Standard deviation over samples, root mean square over outputs.
    """
    single: Any = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), network)
    rows = placed(inputs, jnp.float32)
    blocks, whole = blocks_of(single), _answers(single, rows)
    given = [seen.given for seen in look_at_layers(network, inputs, 1)]
    found = []
    for layer, above in enumerate(blocks[1:]):
        sizes = []
        for neuron in range(above.weight.shape[1]):
            weight = above.weight.copy()
            weight[:, neuron] = 0.0
            bias = above.bias + np.sum(above.weight[:, neuron] * given[layer][neuron], axis=1)
            changed = (*blocks[: layer + 1], Block(weight, bias), *blocks[layer + 2 :])
            moved = np.asarray(_answers(network_of(changed, single), rows) - whole)
            sizes.append(float(np.sqrt(np.mean(moved.var(axis=0)))))
        found.append(np.array(sizes))
    return tuple(found)


def fit_outputs(
    network: Student,
    inputs: Float[np.ndarray, "samples inputs"],
    targets: Float[np.ndarray, "samples outputs"],
) -> Student:
    """The network with its last layer solved for by least squares."""
    last = look_at_layers(network, inputs, 1)[-1].last.astype(np.float64)
    design = np.concatenate([last, np.ones((len(last), 1))], axis=1)
    solved = np.linalg.lstsq(design, targets, rcond=1e-7)[0].T
    block = Block(solved[:, :-1, None], solved[:, -1])
    return network_of((*blocks_of(network)[:-1], block), network)


@eqx.filter_jit
def _answers(network: Any, inputs: Any) -> Any:
    return network.apply(inputs)


def _population(
    seen: list[Seen],
    lost: list[Float[np.ndarray, " _"]],
    losses: Float[np.ndarray, " students"],
    imitating: np.ndarray,
) -> Population:
    """Neurons of one layer of all students, in coordinates of what they take in."""
    width = max(len(sizes) for sizes in lost)
    share = np.zeros((len(lost), width))
    vectors, owner, place = [], [], []
    for index, (each, sizes) in enumerate(zip(seen, lost, strict=True)):
        share[index, : len(sizes)] = sizes
        least = max(LEAST, OF_ERROR * float(np.sqrt(losses[index])))
        taking_part = np.flatnonzero(sizes >= least) if imitating[index] else []
        vectors.append(each.taken_in[:, taking_part].T)
        owner += [index] * len(taking_part)
        place += list(taking_part)
    rows = np.concatenate(vectors).astype(np.float64)
    # Coordinates of the same lengths and angles, as few as there are neurons.
    short = np.asarray(np.linalg.qr(rows.T, mode="r")).T / np.sqrt(rows.shape[1])
    owners, places = np.array(owner, int), np.array(place, int)
    return Population(short, owners, places, losses, imitating, share, np.eye(short.shape[1]))


@dataclass(frozen=True)
class _Map:
    """How the neurons of one layer, of all students, enter into groups.

    Attributes:
        group: For each student, the group of every neuron, -1 for none.
        factor: What one unit of the neuron's activation is in units of its group.
        constant: What it gives besides, where it has the opposite sign.
        owner: The student, and its neuron, that stands for each group.
    """

    group: list[np.ndarray]
    factor: list[np.ndarray]
    constant: list[np.ndarray]
    owner: list[tuple[int, int]]


def _mapped(
    population: Population,
    consensus: Consensus,
    seen: tuple[Seen, ...],
    like: Network | ConvNetwork,
) -> _Map:
    widths = [each.taken_in.shape[1] for each in seen]
    group = [np.full(width, -1) for width in widths]
    factor = [np.ones(width) for width in widths]
    constant = [np.zeros(width) for width in widths]
    owner: list[tuple[int, int]] = []
    symmetry = like.activation.symmetry
    for number, cluster in enumerate(consensus.selection.clusters):
        students, places = population.students[cluster.members], population.places[cluster.members]
        best = min(cluster.students, key=lambda one: population.losses[one])
        mine = cluster.members[students == best]
        first = max(mine, key=lambda one: population.contribution[best, population.places[one]])
        owner.append((int(best), int(population.places[first])))
        stands = population.vectors[first]
        for member, student, place in zip(cluster.members, students, places, strict=True):
            vector = population.vectors[member]
            group[student][place] = number
            if symmetry.scale_free:
                factor[student][place] = np.linalg.norm(vector) / np.linalg.norm(stands)
            if vector @ stands < 0.0 and symmetry.flip is not None:
                factor[student][place] *= symmetry.flip.sign
                constant[student][place] = symmetry.flip.constant
    best = int(np.nanargmin(population.losses))
    least = ALONE * float(np.sqrt(population.losses[best]))
    for place in population.places[population.students == best]:
        if group[best][place] < 0 and population.contribution[best, place] >= least:
            group[best][place] = len(owner)
            owner.append((best, int(place)))
    return _Map(group, factor, constant, owner)


def _assembled(
    students: list[Student], maps: list[_Map], seen: list[tuple[Seen, ...]], best: int
) -> Student:
    """The network of all groups."""
    own = [blocks_of(student) for student in students]
    last = [(best, row) for row in range(len(own[best][-1].bias))]
    built: list[Block] = []
    for layer, owners in enumerate([*(each.owner for each in maps), last]):
        parts = [
            _row(own[student][layer], row, maps[layer - 1], student, seen[student][layer - 1])
            if layer
            else Block(own[student][0].weight[[row]], own[student][0].bias[[row]])
            for student, row in owners
        ]
        built.append(
            Block(
                np.concatenate([part.weight for part in parts]),
                np.concatenate([part.bias for part in parts]),
            )
        )
    return network_of(tuple(built), students[0])


def _row(block: Block, row: int, below: _Map, student: int, seen: Seen) -> Block:
    """One neuron's weights from the groups below it."""
    group, factor = below.group[student], below.factor[student]
    mine, known = block.weight[row], group >= 0
    weight = np.zeros((len(below.owner), mine.shape[1]))
    np.add.at(weight, group[known], mine[known] * factor[known, None])
    constant = float(np.sum((mine * seen.given)[~known]))
    constant += float(np.sum(mine[known] * below.constant[student][known, None]))
    return Block(weight[None], np.array([block.bias[row] + constant]))
