"""A second round of questions, chosen by what the first one left open.

Three ways to choose from candidates: where students disagree (query by committee; Seung, Opper &
Sompolinsky 1992), near hyperplanes whose place is uncertain, and where the weakest directions of
the Jacobian show (greedy D-optimal design; Fedorov 1972).
"""

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.core.network import Network
from expand_and_cluster.fitting.jacobian import jacobian

# Added to the information of the first round, relative to its largest direction: what it holds
# nothing of is the first to be asked for.
RIDGE = 1e-9
# Distance from a hyperplane, in units of its input vector's length, within which a question tells
# of it. Inputs are standardised.
NEAR = 0.2

Rows = Float[np.ndarray, "candidates inputs"]
Chosen = Int[np.ndarray, " count"]


def most_disputed(students: Network, candidates: Rows, count: int, seed: int) -> Chosen:
    """Candidates on which students disagree, drawn in proportion to the variance of their answers.

    Args:
        students: Ensemble.
        candidates: Questions to choose from, in the students' coordinates.
        count: How many, at most as many as there are candidates.
        seed: Decides the draw.
    """
    answers = students(candidates)
    variance = answers.var(axis=0).sum(axis=1)
    return _drawn(variance, count, seed)


def nearest_to_uncertain_hyperplanes(
    network: Network,
    asked: Float[np.ndarray, "asked inputs"],
    candidates: Rows,
    count: int,
    seed: int,
) -> Chosen:
    """Candidates near the hyperplanes that the first round pins worst.

    Args:
        network: What the first round gave; one hidden layer.
        asked: Questions of the first round.
        candidates: Questions to choose from.
        count: How many.
        seed: Decides the draw.
    """
    covariance = np.linalg.inv(_information(jacobian(network, asked)))
    vectors = network.input_vectors
    width, size = vectors.shape
    biases = np.arange(width) * size + size - 1
    length = np.linalg.norm(vectors[:, :-1], axis=1)
    uncertain = np.sqrt(np.diag(covariance)[biases]) / length
    distance = (candidates @ vectors[:, :-1].T + vectors[:, -1]) / length
    return _drawn(np.exp(-0.5 * (distance / NEAR) ** 2) @ uncertain, count, seed)


def weakest_directions_first(
    network: Network, asked: Float[np.ndarray, "asked inputs"], candidates: Rows, count: int
) -> Chosen:
    """Candidates that tell most of the directions that are known least, one after the other.

    Each is the one whose answers the questions so far predict worst, to first order.

    Args:
        network: What the first round gave; one hidden layer.
        asked: Questions of the first round.
        candidates: Questions to choose from.
        count: How many.
    """
    rows = jacobian(network, candidates)
    inverse = np.linalg.inv(_information(jacobian(network, asked)))
    chosen = np.zeros(count, dtype=int)
    for k in range(count):
        spread = rows @ inverse
        surprise = np.einsum("cop,cop->c", spread, rows)
        surprise[chosen[:k]] = -np.inf
        best = chosen[k] = int(np.argmax(surprise))
        own = rows[best]
        gain = inverse @ own.T
        inverse = inverse - gain @ np.linalg.solve(np.eye(len(own)) + own @ gain, gain.T)
    return chosen


def _information(rows: Float[np.ndarray, "rows outputs weights"]) -> np.ndarray:
    flat = rows.reshape(-1, rows.shape[-1])
    gram = flat.T @ flat
    return gram + RIDGE * np.linalg.eigvalsh(gram)[-1] * np.eye(len(gram))


def _drawn(weights: Float[np.ndarray, " candidates"], count: int, seed: int) -> Chosen:
    total = weights.sum()
    usable = np.isfinite(total) and total > 0 and np.count_nonzero(weights) >= count
    share = weights / total if usable else None
    return np.random.default_rng(seed).choice(len(weights), size=count, replace=False, p=share)
