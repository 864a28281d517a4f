"""Descend with every student of an ensemble, each on its own."""

from collections.abc import Callable, Iterator
from threading import Event
from typing import Protocol, runtime_checkable

import numpy as np

from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.core.progress import Progress, Reporter
from expand_and_cluster.fitting.memory import Finished, Memory
from expand_and_cluster.fitting.parallel import run_on_threads
from expand_and_cluster.fitting.result import Fit, StopReason


@runtime_checkable
class Descending(Protocol):
    """A descent of one network, call by call."""

    @property
    def step(self) -> int:
        """Steps taken."""
        ...

    @property
    def loss(self) -> float:
        """Mean squared error over samples and outputs."""
        ...

    @property
    def history(self) -> list[tuple[int, float]]:
        """Step and loss after every call."""
        ...

    @property
    def stop(self) -> StopReason:
        """Why the descent ended."""
        ...

    def run(self) -> Iterator[None]:
        """Descend until a reason to stop; yields after every compiled call."""
        ...

    def network(self) -> Network:
        """The network as it stands."""
        ...


def fit_each(
    students: Network,
    begin: Callable[[Network], Descending],
    *,
    steps: int,
    report: Reporter,
    stage: str,
    memory: Memory | None = None,
) -> Fit:
    """Run one descent for each student, on threads.

    Args:
        students: Ensemble of initial students.
        begin: Makes the descent of one student; called and run in double precision.
        steps: Most steps, for the reports.
        report: Receives the losses of all students after every call.
        stage: Name of the work in these reports.
        memory: Keeps every student as it finishes; those it has already are not trained again.
    """
    count = students.students or 0
    current = np.full(count, np.nan)

    def one(index: int, stop: Event) -> Finished:
        known = None if memory is None else memory.load(index)
        if known is not None:
            current[index] = np.sqrt(known.loss)
            return known
        with double():
            descent = begin(students.student(index))
            for _ in descent.run():
                current[index] = np.sqrt(descent.loss)
                report(Progress(stage, descent.step, steps, current.copy()))
                if stop.is_set():
                    break
            student = Finished(descent.network(), descent.loss, descent.history, descent.stop)
        if memory is not None and not stop.is_set():
            memory.save(index, student)
        return student

    results = run_on_threads(one, count)
    networks, losses, histories, stops = zip(*results, strict=True)
    return Fit.from_histories(Network.stack(networks), list(losses), list(histories), list(stops))
