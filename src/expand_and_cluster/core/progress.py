"""What long work reports while it runs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Progress:
    """One report from running work.

    Attributes:
        stage: What is being done, for example "train students".
        done: How many units are finished.
        total: How many there are at most, or None if that is not known.
        losses: Current relative root mean squared error of every student, if students are trained.
        note: Anything worth a word, for example that a program is being compiled.
    """

    stage: str
    done: int
    total: int | None = None
    losses: Float[np.ndarray, " students"] | None = None
    note: str = ""


Reporter = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Reporter that says nothing: the library's default."""
