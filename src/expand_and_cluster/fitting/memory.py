"""Finished students on disk, so that a killed run trains none of them twice."""

from typing import NamedTuple

import numpy as np

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.fitting.result import Fit, StopReason


class Finished(NamedTuple):
    """One trained student."""

    network: Network
    loss: float
    history: list[tuple[int, float]]
    stop: StopReason


class Memory:
    """Students of one ensemble, each in a file of its own once it is finished.

    Args:
        checkpoint: Where the files go.
        name: Name of the ensemble.
        activation: Activation of its students.
    """

    def __init__(self, checkpoint: Checkpoint, name: str, activation: Activation) -> None:
        """Remember where; nothing is read yet."""
        self._checkpoint = checkpoint
        self._name = name
        self._activation = activation

    def load(self, index: int) -> Finished | None:
        """A finished student, or None."""
        saved = self._checkpoint.load(f"{self._name}-{index}")
        if saved is None:
            return None
        arrays, meta = saved
        history = [(int(step), float(loss)) for step, loss in arrays["history"]]
        network = _network(arrays, self._activation)
        return Finished(network, float(arrays["loss"]), history, StopReason[meta["stop"]])

    def save(self, index: int, student: Finished) -> None:
        """Keep a finished student; one that only ran out of time is not finished."""
        if student.stop is StopReason.TIME:
            return
        arrays = _arrays(student.network)
        arrays["history"] = np.array(student.history, dtype=np.float64).reshape(-1, 2)
        arrays["loss"] = np.array(student.loss)
        self._checkpoint.save(f"{self._name}-{index}", arrays, {"stop": student.stop.name})

    def load_all(self) -> Fit | None:
        """An ensemble that was saved whole, or None."""
        saved = self._checkpoint.load(self._name)
        if saved is None:
            return None
        arrays, meta = saved
        stops = tuple(StopReason[name] for name in meta["stops"])
        students = _network(arrays, self._activation)
        return Fit(students, arrays["losses"], arrays["steps"], arrays["curves"], stops)

    def save_all(self, fit: Fit) -> None:
        """Keep a whole ensemble, unless some student ran out of time."""
        if StopReason.TIME in fit.stops:
            return
        arrays = {"losses": fit.losses, "steps": fit.steps, "curves": fit.curves}
        meta = {"stops": [stop.name for stop in fit.stops]}
        self._checkpoint.save(self._name, _arrays(fit.students) | arrays, meta)


def _arrays(network: Network) -> dict[str, np.ndarray]:
    arrays = {}
    for i, layer in enumerate(network.layers):
        arrays[f"weight-{i}"] = np.asarray(layer.weight)
        arrays[f"bias-{i}"] = np.asarray(layer.bias)
    return arrays


def _network(arrays: dict[str, np.ndarray], activation: Activation) -> Network:
    count = sum(name.startswith("weight-") for name in arrays)
    layers = (Layer(arrays[f"weight-{i}"], arrays[f"bias-{i}"]) for i in range(count))
    return Network(tuple(layers), activation)
