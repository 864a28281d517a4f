"""What answers are, logits or probabilities, and how they are read as logits.

A softmax tells its logits up to one number for each input that all of them share. Logarithms of
probabilities are therefore taken in coordinates without that number: `outputs - 1` contrasts, an
orthonormal basis of the vectors that sum to zero. Nothing is lost, no column is a combination of
the others, and rounding of the logarithms stays independent. A network of contrasts is at the end
a network of logits whose output weights sum to zero over the classes.

One column is the probability of one class of two; its logit is read.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import helmert
from scipy.special import expit, log_softmax

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.queries.resolution import Resolution

KINDS = ("logits", "probabilities", "log_probabilities")
# Error of a logit, in units of the smallest that the answers allow, beyond which a row is set
# aside: one that counts like the others would spoil them.
COARSEST = 32.0
# How far probabilities of one row may sum from 1, besides their rounding.
SUM = 1e-4

Values = Float[np.ndarray, "rows read"]


@dataclass(frozen=True)
class Readout:
    """How answers of one kind are read.

    Attributes:
        kind: One of `KINDS`.
        size: Numbers in one answer.
    """

    kind: str
    size: int

    @property
    def shared(self) -> bool:
        """Whether one number for each input, added to all logits, cannot be seen."""
        return self.kind != "logits" and self.size > 1

    @cached_property
    def contrasts(self) -> Float[np.ndarray, "outputs read"]:
        """Orthonormal columns that map what is read back to outputs."""
        return helmert(self.size).T if self.shared else np.eye(self.size)

    def check(self, answers: Float[np.ndarray, "rows outputs"], name: str) -> None:
        """Refuse answers that are not of this kind.

        Raises:
            InvalidInputError: Names the first row that is not.
        """
        if self.kind == "logits":
            return
        step = 10.0 ** -(Resolution.of(answers).decimals or 16)
        tolerance = SUM + self.size * step
        if self.kind == "probabilities":
            outside = ((answers < 0.0) | (answers > 1.0 + SUM)).any(axis=1)
            bounds, total = "0 and 1", answers.sum(axis=1)
        else:
            outside = (answers > SUM).any(axis=1)
            bounds, total = "minus infinity and 0", np.exp(answers).sum(axis=1)
        if outside.any():
            row = int(np.argmax(outside))
            raise InvalidInputError(
                f'outputs="{self.kind}" needs numbers between {bounds}, but row {row} of {name} '
                f'is {_shown(answers[row])}; give outputs="logits" if they are no {self.kind}.'
            )
        off = np.abs(total - 1.0) > tolerance
        if self.size > 1 and off.any():
            row = int(np.argmax(off))
            raise InvalidInputError(
                f'outputs="{self.kind}" needs probabilities that sum to 1 over the classes, but '
                f"those in row {row} of {name} sum to {total[row]:.6g}; give the whole softmax, or "
                "one column for one class of two."
            )

    def read(self, answers: Float[np.ndarray, "rows outputs"], resolution: Resolution) -> Values:
        """Logits, or their contrasts, of answers.

        A probability of 0 is read as the smallest number that could be written; such rows are not
        `usable`.
        """
        if self.kind == "logits":
            return answers
        smallest = resolution.smallest
        if self.kind == "probabilities":
            logs = np.log(np.maximum(answers, smallest))
            rest = np.maximum(1.0 - answers, resolution.unit)
        else:
            logs = answers
            rest = -np.expm1(np.minimum(answers, -smallest))
        return logs @ self.contrasts if self.shared else logs - np.log(rest)

    def errors(self, values: Values, resolution: Resolution) -> Values:
        """Standard deviation of the error that rounding of the answers leaves in what is read.

        A softmax computed in the precision of its answers adds about as much for each unit of the
        logits' size, which is counted in.
        """
        if self.kind == "logits":
            return resolution.errors(values)
        logs = self._logs(values)
        chances = np.maximum(np.exp(logs), resolution.smallest)
        if self.kind == "probabilities":
            own = resolution.errors(chances) / chances
        else:
            own = resolution.errors(logs)
        own = own + resolution.unit * np.abs(logs)
        if self.shared:
            return np.sqrt(own**2 @ self.contrasts**2)
        return own / np.maximum(expit(-values), resolution.unit)

    def usable(self, values: Values, resolution: Resolution) -> Bool[np.ndarray, " rows"]:
        """Rows whose digits rounding has not eaten.

        It has where a probability is near 0, or that of a single class is near 1.
        """
        if self.kind == "logits":
            return np.ones(len(values), bool)
        logs = self._logs(values)
        finest = float(resolution.errors(np.ones(1))[0])
        if self.kind == "log_probabilities":
            errors = np.full_like(logs, finest)
        else:
            chances = np.maximum(np.exp(logs), resolution.smallest)
            errors = resolution.errors(chances) / chances
            # A probability of 0 was read as the smallest number.
            errors[np.exp(logs) <= 1.5 * resolution.smallest] = np.inf
        if not self.shared:
            errors = errors / np.maximum(expit(-values), resolution.unit)
        return np.asarray((errors <= COARSEST * finest).all(axis=1))

    def restore(self, network: Network) -> Network:
        """The network of all outputs that a network of what is read stands for."""
        if not self.shared:
            return network
        last, skip = network.layers[-1], network.skip
        back = self.contrasts
        layers = (*network.layers[:-1], Layer(back @ last.weight, back @ last.bias))
        extra = None if skip is None else Layer(back @ skip.weight, back @ skip.bias)
        return network.replace(layers=layers, skip=extra)

    def _logs(self, values: Values) -> Float[np.ndarray, "rows outputs"]:
        """Logarithms of the probabilities."""
        if self.shared:
            return log_softmax(values @ self.contrasts.T, axis=1)
        return -np.logaddexp(0.0, -values)


def _shown(row: np.ndarray) -> str:
    shown = ", ".join(f"{value:.6g}" for value in row[:4])
    return f"({shown}{', ...' if len(row) > 4 else ''})"
