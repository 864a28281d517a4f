"""How far noise in the answers may have moved every weight.

At a least-squares solution the weights' covariance is `noise**2 * inverse(J' J)`, with J the
Jacobian of all outputs in all weights (Seber & Wild 1989, section 2.1). It holds for independent
noise of one size and small moves. What the activation hides is no uncertainty: signs are discrete,
and the scale of a homogeneous activation's neuron is fixed by keeping the length of its input
vector.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve, null_space

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.verdict.linearised import Linearised, fixed_scales


@dataclass(frozen=True)
class Covariance:
    """Covariance of the weights of a network with one hidden layer.

    Attributes:
        network: The network, in the coordinates in which the covariance was taken.
        matrix: Input vectors neuron by neuron, output weights output by output, output biases;
            infinite variance for weights that the answers do not determine.
    """

    network: Network
    matrix: Float[np.ndarray, "weights weights"]

    def mapped(self, contrasts: Float[np.ndarray, "outputs read"]) -> Network:
        """Standard errors as a network, its outputs mapped by a matrix.

        Args:
            contrasts: Maps the network's outputs to those that are reported; the identity leaves
                them.
        """
        neurons, size = self.network.input_vectors.shape
        inner, read = neurons * size, contrasts.shape[1]
        first = np.sqrt(np.diag(self.matrix)[:inner]).reshape(neurons, size)
        outer = self.matrix[inner:, inner:]
        blocks = outer[: read * neurons, : read * neurons].reshape(read, neurons, read, neurons)
        weight = np.einsum("or,rksk,os->ok", contrasts, blocks, contrasts)
        rest = outer[read * neurons :, read * neurons :]
        bias = np.einsum("or,rs,os->o", contrasts, rest, contrasts)
        last = Layer(np.sqrt(np.maximum(weight, 0.0)), np.sqrt(np.maximum(bias, 0.0)))
        return self.network.replace(layers=(Layer(first[:, :-1], first[:, -1]), last))

    def restored(self, standard: Standardisation) -> "Covariance":
        """The covariance in raw coordinates, where lengths of raw input vectors are kept."""
        neurons, size = self.network.input_vectors.shape
        inner, outputs = neurons * size, self.network.output_size
        known = np.isfinite(np.diag(self.matrix))
        into = np.diag(np.append(1.0 / standard.input_scale, 1.0))
        into[-1, :-1] = -standard.input_center / standard.input_scale
        change = np.zeros_like(self.matrix)
        change[:inner, :inner] = np.kron(np.eye(neurons), into)
        scales = np.concatenate([np.repeat(standard.output_scale, neurons), standard.output_scale])
        change[np.arange(inner, len(change)), np.arange(inner, len(change))] = scales
        network = standard.restore(self.network).at_rest()
        for k, degree in enumerate(network.activation.degrees(neurons)):
            if np.isnan(degree):
                continue
            # Any move may be followed by a change of scale, which is chosen to keep the length.
            along, kept = np.zeros(len(change)), np.zeros(len(change))
            block = slice(k * size, (k + 1) * size)
            along[block] = kept[block] = network.input_vectors[k]
            along[inner + k : inner + outputs * neurons : neurons] = (
                -degree * network.output_vectors[k]
            )
            change -= np.outer(along, kept @ change) / (kept @ kept)
        change[:, ~known] = 0.0
        matrix = change @ np.where(np.isfinite(self.matrix), self.matrix, 0.0) @ change.T
        matrix[~known, ~known] = np.inf
        return Covariance(network, matrix)

    def shares(self) -> Float[np.ndarray, " neurons"]:
        """Root mean square error of each neuron's input or output vector over its length.

        The larger of the two; about the angle by which noise may have turned it, in radians.
        Weights that the answers do not determine, those of inputs that never vary, do not count.
        """
        network = self.network
        vectors, outputs = network.input_vectors, network.output_vectors
        errors = self.mapped(np.eye(network.output_size))
        pairs = ((vectors, errors.input_vectors), (outputs, errors.output_vectors))
        ratios = []
        for vector, error in pairs:
            known = np.isfinite(error)
            size = np.linalg.norm(np.where(known, error, 0.0), axis=1)
            length = np.linalg.norm(np.where(known, vector, 0.0), axis=1)
            open_ones = np.full(len(length), np.inf)
            ratios.append(np.divide(size, length, out=open_ones, where=length > 0.0))
        return np.maximum(*ratios)


def covariance(network: Network, moments: Linearised, noise: float) -> Covariance | None:
    """Covariance of all weights; None where the answers leave a direction of them open.

    Args:
        network: Least-squares solution.
        moments: Its `linearise`.
        noise: Standard deviation of the answers' noise, in the network's units.
    """
    known = moments.determined
    gram = moments.gram[: moments.weights, : moments.weights][np.ix_(known, known)]
    moves = fixed_scales(network)
    allowed = null_space(moves[:, known]) if len(moves) else np.eye(len(gram))
    reduced = allowed.T @ gram @ allowed if len(moves) else gram
    scale = np.sqrt(np.diag(reduced))
    if not np.all(scale > 0.0):
        return None
    scaled = reduced / np.outer(scale, scale)
    # Below this a direction's second moment is rounding of the sums.
    if np.linalg.eigvalsh(scaled)[0] <= 1e-13 * len(scaled):
        return None
    inverse = cho_solve(cho_factor(scaled), np.eye(len(scaled))) / np.outer(scale, scale)
    if len(moves):
        inverse = allowed @ inverse @ allowed.T
    whole = np.zeros((moments.weights, moments.weights))
    whole[np.diag_indices(moments.weights)] = np.inf
    whole[np.ix_(known, known)] = noise**2 * inverse
    return Covariance(network, whole)
