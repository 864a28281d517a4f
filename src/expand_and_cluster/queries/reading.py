"""Answers on their way in: what they are is checked, and they become logits."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.queries.readout import Readout
from expand_and_cluster.queries.resolution import Resolution

Inputs = Float[np.ndarray, "rows inputs"]
Answers = Float[np.ndarray, "rows outputs"]
Values = Float[np.ndarray, "rows read"]


class Reader:
    """Reads answers of one kind, and learns on the way how finely they are written.

    Args:
        kind: What the answers are, one of `readout.KINDS`.
        noise: Standard deviation of the noise in what is read, where the user knows it.
    """

    def __init__(self, kind: str, noise: float | None = None) -> None:
        """Nothing is read yet."""
        self.kind = kind
        self._given = noise
        self.readout = Readout(kind, 1)
        self._resolution: Resolution | None = None

    @property
    def resolution(self) -> Resolution:
        """Resolution of all that was read; double precision before anything was."""
        return self._resolution or Resolution(single=False)

    def read(self, answers: Answers, name: str = "pairs") -> Values:
        """Read answers.

        Raises:
            InvalidInputError: They are not of the kind.
        """
        self.readout = Readout(self.kind, answers.shape[1])
        self.readout.check(answers, name)
        self._resolution = Resolution.of(answers).finest(self._resolution)
        return self.readout.read(answers, self.resolution)

    def asking(self, ask: Callable[[Inputs], Answers]) -> Callable[[Inputs], Values]:
        """The same question, its answers read."""
        return lambda rows: self.read(ask(rows), "the oracle's answers")

    def read_pairs(self, pairs: QueryPairs) -> QueryPairs:
        """The pairs with what is read of their outputs."""
        return QueryPairs.adopt(pairs.inputs, self.read(pairs.outputs))

    def usable(self, values: Values) -> Bool[np.ndarray, " rows"]:
        """Rows of what was read whose digits are not eaten by rounding."""
        return self.readout.usable(values, self.resolution)

    def keep_usable(self, pairs: QueryPairs) -> QueryPairs:
        """The pairs without the rows that tell nothing."""
        chosen = self.usable(pairs.outputs)
        return pairs if chosen.all() else pairs.take(np.flatnonzero(chosen))

    @property
    def noise(self) -> float | None:
        """Standard deviation of the noise in what is read: given, or that of rounded decimals."""
        decimals = self.resolution.decimals
        if self._given is not None or decimals is None or self.kind != "logits":
            return self._given
        return 10.0**-decimals / float(np.sqrt(12.0))

    def errors(self, values: Values) -> Float[np.ndarray, " read"]:
        """Root mean square of floating-point rounding in each column of what was read.

        Decimals are no rounding in this sense: they are noise, and coarse.
        """
        if self.resolution.decimals is not None:
            return np.zeros(values.shape[1])
        return np.sqrt(np.mean(self.readout.errors(values, self.resolution) ** 2, axis=0))

    def precision(self, _: Values) -> np.dtype | None:
        """Precision in which differences of answers can be taken; None where they cannot."""
        if self._given is not None or self.resolution.decimals is not None:
            return None
        return np.dtype(np.float32 if self.resolution.single else np.float64)
