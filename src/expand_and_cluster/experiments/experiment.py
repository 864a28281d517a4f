"""What every experiment promises."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from expand_and_cluster.core.progress import Reporter

RunExperiment = Callable[[Path, bool, int, Reporter], int]


@dataclass(frozen=True)
class Experiment:
    """One claim and how to check it.

    Attributes:
        name: What the command line calls it.
        claim: One sentence with the expected numbers.
        minutes: Expected time on two cores.
        run: Runs it: `run(folder, smoke, workers, report)` writes tables, pictures and single
            results into the folder and resumes what is already there; `smoke` asks for a small
            version that only shows that everything works; `workers` is the number of processes.
            It returns the exit code: 0 if the claim held, 3 if it did not.
    """

    name: str
    claim: str
    minutes: float
    run: RunExperiment
