"""What small moves of a first hidden layer's weights change in the outputs, without a matrix."""

import numpy as np
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator


class SlopeEquations(LinearOperator):
    """The Jacobian of all outputs in weights that every neuron has for the same few features.

    Its rows are products of a row of slopes and one of features. Unknowns are a matrix of (neurons,
    features), outputs one of (samples, outputs), both flattened.

    Args:
        slopes: Slopes of the outputs in the neurons' pre-activations.
        features: What the weights are multiplied by: inputs, or inputs along moves.
    """

    def __init__(
        self,
        slopes: Float[np.ndarray, "samples outputs neurons"],
        features: Float[np.ndarray, "samples features"],
    ) -> None:
        """Keep both."""
        self._slopes, self._features = slopes, features
        samples, outputs, neurons = slopes.shape
        super().__init__(np.dtype(np.float64), (samples * outputs, neurons * features.shape[1]))

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        moved = self._features @ x.reshape(self._slopes.shape[2], -1).T
        return (self._slopes @ moved[:, :, None]).ravel()

    def _rmatvec(self, x: np.ndarray) -> np.ndarray:
        felt = (x.reshape(len(self._slopes), 1, -1) @ self._slopes)[:, 0]
        return (felt.T @ self._features).ravel()
