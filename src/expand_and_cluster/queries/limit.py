"""A share of the budget: answers until it is spent."""

import numpy as np
from jaxtyping import Float

from expand_and_cluster.queries.kinks import Ask


class SpentError(Exception):
    """The share of the budget is spent."""


class Limit:
    """Answers as long as a number of rows lasts, and counts them.

    Args:
        ask: Answers inputs with outputs.
        most: Rows that may be asked.
    """

    def __init__(self, ask: Ask, most: int) -> None:
        """Nothing is asked yet."""
        self._ask, self.most, self.asked = ask, most, 0

    @property
    def left(self) -> int:
        """Rows that may still be asked."""
        return self.most - self.asked

    def ask(self, rows: Float[np.ndarray, "rows inputs"]) -> Float[np.ndarray, "rows outputs"]:
        """Answers to rows.

        Raises:
            SpentError: There are more than are left; none is asked.
        """
        if len(rows) > self.left:
            raise SpentError
        self.asked += len(rows)
        return self._ask(rows)
