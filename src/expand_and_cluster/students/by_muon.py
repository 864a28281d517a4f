"""Train students of any kind by Muon, each on a thread of its own, and keep them on disk."""

from collections.abc import Callable, Sequence
from threading import Event
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.conv_network import ConvNetwork
from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.layer_blocks import arrays_of, network_from
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Progress, Reporter
from expand_and_cluster.fitting.muon import MuonData, MuonDescent, MuonSettings
from expand_and_cluster.fitting.parallel import run_on_threads
from expand_and_cluster.fitting.result import Fit, StopReason

Student = TypeVar("Student", Network, ConvNetwork)


class Imitation(NamedTuple):
    """One trained student.

    Attributes:
        network: The student, a `Network` or a `ConvNetwork`; where it began, if it diverged.
        loss: Mean squared error over all pairs; infinite if it diverged.
        history: Steps, and the mean loss of the batches of the epoch that ended there; the last
            entry is `loss`.
        stop: Why it ended.
    """

    network: Network | ConvNetwork
    loss: float
    history: list[tuple[int, float]]
    stop: StopReason


def train_by_muon(
    students: Sequence[Student],
    data: MuonData,
    settings: MuonSettings,
    *,
    seed: int,
    name: str,
    checkpoint: Checkpoint,
    report: Reporter,
    deadline: float | None = None,
) -> list[Imitation]:
    """Train every student, on as many threads as there are cores.

    The students share the order of the batches, so a student alone and the same among others are
    trained alike.

    Args:
        students: At their first weights; widths may differ.
        data: All pairs (see `on_device`).
        settings: How to train.
        seed: Fixes the order of the batches.
        name: Name of the work in reports and, without spaces, in the checkpoint.
        checkpoint: Keeps every student that is finished.
        report: Receives the losses of all students that have begun, after every call.
        deadline: `time.monotonic()` after which to stop.
    """
    current = np.full(len(students), np.nan)
    steps = np.zeros(len(students), dtype=np.int64)
    key = name.replace(" ", "-").replace(",", "")

    def one(index: int, stop: Event) -> Imitation:
        start = students[index]
        known = load_student(checkpoint, f"{key}-{index}", start)
        if known is not None:
            current[index] = np.sqrt(known.loss)
            return known
        with jax.enable_x64(False):
            descent = MuonDescent(start, data, settings, seed, deadline)
            for _ in descent.run():
                # NaN stands for a student that has not begun.
                current[index] = np.sqrt(descent.loss) if np.isfinite(descent.loss) else np.inf
                steps[index] = descent.step
                total = None if descent.total is None else descent.total * len(students)
                begun = current[~np.isnan(current)]
                report(Progress(name, int(steps.sum()), total, begun))
                if stop.is_set():
                    break
            if np.isfinite(descent.loss):
                done = Imitation(descent.network(), descent.loss, descent.history, descent.stop)
            else:
                done = Imitation(start, np.inf, descent.history, descent.stop)
        if not stop.is_set() and done.stop is not StopReason.TIME:
            save_student(checkpoint, f"{key}-{index}", done)
        return done

    return run_on_threads(one, len(students))


def as_fit(students: Sequence[Imitation]) -> Fit:
    """Students of one width as an ensemble; dense ones only."""
    networks = [each.network for each in students]
    return Fit.from_histories(
        Network.stack([network for network in networks if isinstance(network, Network)]),
        [each.loss for each in students],
        [each.history for each in students],
        [each.stop for each in students],
    )


def kept_or_made(
    checkpoint: Checkpoint,
    name: str,
    start: Student,
    make: Callable[[Student], tuple[Student, float]],
    deadline: float | None,
) -> tuple[Student, float]:
    """What is made of a network, and its mean squared error, unless it was kept under a name.

    It is kept once it is made, but not where time was over.
    """
    kept = load_student(checkpoint, name, start)
    if kept is not None:
        return kept.network, kept.loss  # type: ignore[return-value]
    made, loss = make(start)
    if not is_over(deadline):
        save_student(checkpoint, name, Imitation(made, loss, [], StopReason.STEPS))
    return made, loss


def save_student(checkpoint: Checkpoint, name: str, student: Imitation) -> None:
    """Keep a student under a name."""
    arrays = {
        "history": np.array(student.history, dtype=np.float64).reshape(-1, 2),
        "loss": np.array(student.loss),
    }
    arrays |= arrays_of(student.network)
    checkpoint.save(name, arrays, {"stop": student.stop.name})


def load_student(checkpoint: Checkpoint, name: str, like: Student) -> Imitation | None:
    """What was kept under a name, of any widths; None if nothing was."""
    saved = checkpoint.load(name)
    if saved is None:
        return None
    arrays, meta = saved
    history = [(int(step), float(loss)) for step, loss in arrays["history"]]
    network = network_from(arrays, like)
    return Imitation(network, float(arrays["loss"]), history, StopReason[meta["stop"]])
