"""How the activation was named, where it was not known."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RankedActivation:
    """What became of one candidate.

    Attributes:
        name: Name of the activation.
        width: Hidden width of its best students, 0 if none was trained.
        error: Their error on held-out pairs, relative to the outputs' spread.
        note: What a whole recovery with it came to, empty where none was tried.
    """

    name: str
    width: int
    error: float
    note: str = ""


@dataclass(frozen=True)
class ActivationChoice:
    """The activation that was named, with the ranking of all candidates.

    Attributes:
        chosen: Name of the activation of the recovered network.
        decided: Whether it alone, up to its equivalents, gives an exact network.
        runner_up: The unrelated candidate whose students come nearest, empty if there is none.
        margin: Error of the runner-up's students over that of the chosen one's.
        equivalent: Activations with which the same function is a network of the same widths; they
            cannot be told apart by any answer.
        ranking: All candidates that were tried, those with the least error first.
    """

    chosen: str
    decided: bool
    runner_up: str
    margin: float
    equivalent: tuple[str, ...]
    ranking: tuple[RankedActivation, ...]

    def __str__(self) -> str:
        """One line."""
        found = f"activation {self.chosen}" if self.decided else f"perhaps {self.chosen}"
        same = f", or {' or '.join(self.equivalent)}" if self.equivalent else ""
        next_best = f"; {self.runner_up} errs {self.margin:.1e} times as much"
        return found + same + (next_best if self.runner_up else "")

    @classmethod
    def from_json(cls, record: dict) -> "ActivationChoice":
        """Read what `dataclasses.asdict` gave, from JSON."""
        ranking = tuple(RankedActivation(**each) for each in record["ranking"])
        return cls(**{**record, "equivalent": tuple(record["equivalent"]), "ranking": ranking})
