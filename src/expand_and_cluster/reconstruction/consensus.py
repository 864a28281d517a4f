"""What the students agree on: cluster their neurons and collapse each cluster to one."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from expand_and_cluster.clusters.cut_rules import CutRule, plateau_height
from expand_and_cluster.clusters.dissimilarity import Metric, pairwise
from expand_and_cluster.clusters.selection import Selection, select
from expand_and_cluster.clusters.tree import average_linkage, cut
from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.collapse import collapse, contributions

# A student that misses the teacher by more than this mean squared error (relative to the outputs'
# variance), and by ten times more than the best, does not imitate it: its neurons are no evidence.
IMITATES = 1e-3
# Share of the outputs' spread below which a neuron's contribution says nothing about the teacher:
# such neurons stay near their small initial weights, and would agree with each other on that.
LEAST_CONTRIBUTION = 1e-2
# The same for students whose idle weights have decayed: the error of the best of them, but no less
# than this. Neurons that give less together make up for less than what is wrong anyway.
LEAST_DECAYED = 1e-3


@dataclass(frozen=True)
class Population:
    """The neurons of all students that take part in clustering.

    Attributes:
        vectors: Their input vectors.
        students: Which student each belongs to.
        places: Which neuron of its student each is.
        losses: Loss of every student.
        imitating: Which students imitate the teacher.
        contribution: What each neuron of each student contributes to the output.
        metric_root: Maps input vectors to coordinates whose Euclidean length is the root mean
            square of the pre-activation over the data.
        least_contribution: Share of the outputs' spread that a neuron must contribute to take part.
    """

    vectors: Float[np.ndarray, "neurons inputs_and_bias"]
    students: Int[np.ndarray, " neurons"]
    places: Int[np.ndarray, " neurons"]
    losses: Float[np.ndarray, " students"]
    imitating: Bool[np.ndarray, " students"]
    contribution: Float[np.ndarray, "students width"]
    metric_root: Float[np.ndarray, "inputs_and_bias inputs_and_bias"]
    least_contribution: float = LEAST_CONTRIBUTION

    @property
    def measured(self) -> Float[np.ndarray, "neurons inputs_and_bias"]:
        """Input vectors in the coordinates in which they are compared."""
        return self.vectors @ self.metric_root

    def part(self, rows: Bool[np.ndarray, " neurons"]) -> "Population":
        """Some of its neurons."""
        return replace(
            self,
            vectors=self.vectors[rows],
            students=self.students[rows],
            places=self.places[rows],
        )

    @property
    def idle(self) -> Bool[np.ndarray, "students width"]:
        """Neurons of imitating students that contribute too little to take part."""
        return (self.contribution < self.least_contribution) & self.imitating[:, None]


@dataclass(frozen=True)
class Consensus:
    """Clusters of a population, and the candidates for the teacher's neurons.

    Attributes:
        candidates: One input vector for each kept cluster.
        tree: SciPy linkage of the population.
        height: Where it was cut.
        selection: Kept and rejected clusters.
        activation: Activation of a layer of the candidates; None: that of the students.
    """

    candidates: Float[np.ndarray, "clusters inputs_and_bias"]
    tree: Float[np.ndarray, "merges 4"]
    height: float
    selection: Selection
    activation: Activation | None = None


def gather(
    students: Network,
    losses: Float[np.ndarray, " students"],
    activations: Float[np.ndarray, "students seen width"],
    inputs: Float[np.ndarray, "samples inputs"],
    *,
    decayed: bool = False,
) -> Population:
    """Collect the neurons that carry the imitation.

    Args:
        students: Ensemble in standardised coordinates.
        losses: Mean squared error of every student.
        activations: Activations of their hidden neurons.
        inputs: Standardised inputs, for the metric.
        decayed: Whether students were trained with weight decay, so that neurons which they do not
            need contribute next to nothing.
    """
    imitating = losses <= max(IMITATES, 10.0 * float(np.min(losses)))
    share = np.array(
        [contributions(students.output_vectors[i], activations[i]) for i in range(len(losses))]
    ) / np.sqrt(students.output_size)
    least = LEAST_CONTRIBUTION
    if decayed:
        least = float(np.clip(np.sqrt(np.min(losses)), LEAST_DECAYED, LEAST_CONTRIBUTION))
    taking_part = (share >= least) & imitating[:, None]
    owner, place = np.nonzero(taking_part)
    extended = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    values, directions = np.linalg.eigh(extended.T @ extended / len(extended))
    root = directions * np.sqrt(np.maximum(values, 0.0))
    vectors = students.input_vectors[taking_part]
    return Population(vectors, owner, place, losses, imitating, share, root, least)


def find_consensus(
    population: Population,
    *,
    min_cluster_fraction: float,
    max_cluster_angle: float,
    sign_free: bool,
    scale_free: bool,
    rule: CutRule = plateau_height,
) -> Consensus | None:
    """Cluster the population; None where fewer than two neurons take part.

    Args:
        population: Neurons of the students.
        min_cluster_fraction: Share of the imitating students a cluster needs (paper: gamma).
        max_cluster_angle: Largest median angle within a cluster, in radians (paper: beta).
        sign_free: Whether v and -v are the same neuron.
        scale_free: Whether v and c v, c > 0, are: compares by angle.
        rule: How the height of the cut is chosen.
    """
    if len(population.vectors) < 2:
        return None
    measured = population.measured
    metric: Metric = "cosine" if scale_free else "euclidean"
    tree = average_linkage(pairwise(measured, metric=metric, sign_free=sign_free))
    count = int(population.imitating.sum())
    height = rule(
        tree,
        measured,
        population.students,
        number_of_students=count,
        min_cluster_fraction=min_cluster_fraction,
        max_cluster_angle=max_cluster_angle,
        sign_free=sign_free,
        metric=metric,
    )
    selection = select(
        measured,
        population.students,
        cut(tree, height),
        number_of_students=count,
        min_cluster_fraction=min_cluster_fraction,
        max_cluster_angle=max_cluster_angle,
        sign_free=sign_free,
    )
    candidates = collapse(
        population.vectors,
        population.students,
        population.losses,
        [cluster.members for cluster in selection.clusters],
        sign_free=sign_free,
        scale_free=scale_free,
    )
    return Consensus(candidates, tree, float(height), selection)
