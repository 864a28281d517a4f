"""A quick stand-in for the recovery itself, so that these tests see only the command line."""

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import expand_and_cluster.report
from expand_and_cluster.cli import app
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Progress
from expand_and_cluster.recovery import LossCurves, NeuronRecord, Recovery, Verdict


def small_network(width: int = 3) -> Network:
    rng = np.random.default_rng(width)
    return Network.from_arrays(
        [(rng.normal(size=(width, 2)), rng.normal(size=width)), (np.ones((1, width)), np.zeros(1))],
        "tanh",
    )


def small_recovery(network: Network, identified: bool = True) -> Recovery:
    width = network.hidden_widths[0]
    return Recovery(
        network=network,
        verdict=Verdict(identified, 0.9 if identified else 0.2, ("because",)),
        neurons=tuple(NeuronRecord(0, i, (0, 1), 1e-9, "teacher", ()) for i in range(width)),
        queries=100,
        seconds=1.0,
        settings={},
        rejected=(),
        masked_inputs=np.zeros(2, dtype=bool),
        held_inputs=np.zeros(2),
        curves=LossCurves(
            np.array([0, 1]), np.array([[1.0, 1e-9]] * 2), np.array([1e-9] * 2), ("a", "b")
        ),
    )


@dataclass
class Fake:
    """What the stand-in was called with, and what it does."""

    network: Network
    identified: bool = True
    error: BaseException | None = None
    reports: int = 3
    before: Callable[[], None] | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)

    def recover(
        self,
        source: Any,
        *,
        progress: Callable[[Progress], None],
        checkpoint: Path,
        **options: Any,
    ) -> Recovery:
        self.calls.append({"source": source, "checkpoint": checkpoint, **options})
        for done in range(self.reports + 1):
            losses = np.array([0.5**done, np.nan])
            progress(Progress("train students", done, self.reports, losses))
        if self.before is not None:
            self.before()
        if self.error is not None:
            raise self.error
        return small_recovery(self.network, self.identified)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    stand_in = Fake(small_network())
    module = types.ModuleType("expand_and_cluster.pipeline")
    module.recover = stand_in.recover  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "expand_and_cluster.pipeline", module)
    return stand_in


@pytest.fixture
def real_pictures() -> None:
    """For tests that look at the pictures themselves."""


@pytest.fixture(autouse=True)
def quick_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere drawing, which takes most of the time, only leaves a file."""
    if "real_pictures" in request.fixturenames:
        return

    def write_pictures(folder: Path) -> list[Path]:
        path = folder / "pictures" / "losses.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        return [path]

    monkeypatch.setattr(expand_and_cluster.report, "write_pictures", write_pictures)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call() -> Callable[..., Result]:
    """Runs the command line in this process."""

    def run(*words: str | Path) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})

    return run


@pytest.fixture
def pairs(here: Path) -> Path:
    rng = np.random.default_rng(0)
    np.savez(here / "pairs.npz", inputs=rng.normal(size=(50, 2)), outputs=rng.normal(size=(50, 1)))
    return here / "pairs.npz"
