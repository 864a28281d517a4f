"""Records of a recovery come back from a folder as they were."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from expand_and_cluster.core.errors import FileFormatError, InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.recovery import (
    Clustering,
    ExpansionCurve,
    LossCurves,
    NeuronRecord,
    Recovery,
    Rejection,
    Verdict,
    load,
)


def softsign(z):
    return z / (1 + jnp.abs(z))


def example(activation: Any = "tanh", **changes) -> Recovery:
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(3, 2)), rng.normal(size=3)), (rng.normal(size=(1, 3)), np.ones(1))]
    losses = np.array([[1.0, 0.1, 1e-9], [1.0, np.nan, np.nan]])
    made = Recovery(
        network=Network.from_arrays(layers, activation, skip=(np.ones((1, 2)), np.zeros(1))),
        verdict=Verdict(True, 0.975, ("held-out error 1e-15", "students agree")),
        neurons=(
            NeuronRecord(0, 0, (0, 1), 1e-12, "teacher", ("sign",)),
            NeuronRecord(0, 1, (0,), math.nan, "teacher", ("sign", "masked inputs")),
        ),
        queries=1437,
        seconds=12.34,
        settings={"seed": 0, "width": 12, "angle": math.inf, "bounds": (-1.0, np.float64(2.0))},
        rejected=(
            Rejection("cluster", "cluster 4", "too wide"),
            Rejection("cluster", "cluster 5", "too wide"),
            Rejection("student", "student 3", "loss became NaN or infinite"),
        ),
        masked_inputs=np.array([False, True]),
        held_inputs=np.array([0.0, 0.5]),
        curves=LossCurves(
            np.array([0, 1, 2]), losses, np.array([1e-9, np.inf]), ("target", "diverged")
        ),
        expansion=ExpansionCurve(np.array([2, 4]), np.array([[0.1, 0.2], [1e-9, np.inf]]), 1e-6, 4),
        clustering=Clustering(
            rng.normal(size=(4, 3)),
            np.array([0, 0, 1, 1]),
            rng.normal(size=(3, 4)),
            0.1,
            np.array([0, -1, 0, -1]),
            np.array([1e-8]),
        ),
    )
    return dataclasses.replace(made, **changes)


STATED = Network.from_arrays(
    [(np.ones((3, 2)), np.ones(3)), (np.ones((1, 3)), np.full(1, 0.5))], "tanh"
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"expansion": None, "clustering": None, "rejected": ()},
        {"standard_errors": STATED},
    ],
)
def test_a_folder_gives_back_an_equal_recovery(tmp_path: Path, changes):
    recovery = example(**changes)
    recovery.save(tmp_path / "run")
    assert load(tmp_path / "run") == recovery
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["evidence.safetensors", "network.safetensors", "recovery.json"]


@pytest.mark.parametrize(
    "changes",
    [
        {"queries": 1},
        {"verdict": Verdict(False, 0.975, ())},
        {"held_inputs": np.array([0.0, 0.25])},
        {"expansion": None},
        {"settings": {}},
    ],
)
def test_different_recoveries_differ(changes):
    assert example() == example()
    assert example(**changes) != example()


def test_recovery_json_is_strict_and_tells_versions(tmp_path: Path):
    example().save(tmp_path)

    def refuse(word: str) -> float:
        raise AssertionError(word)

    record = json.loads((tmp_path / "recovery.json").read_text(), parse_constant=refuse)
    assert record["widths"] == [2, 3, 1]
    assert {"python", "numpy", "jax", "expand-and-cluster"} <= record["versions"].keys()


def test_settings_become_plain_values():
    assert example().settings["bounds"] == [-1.0, 2.0]
    assert example(settings={"activation": softsign, "folder": Path("a")}).settings == {
        "activation": "softsign",
        "folder": "a",
    }


def test_an_activation_of_the_users_is_needed_again(tmp_path: Path):
    recovery = example(softsign)
    recovery.save(tmp_path)
    assert load(tmp_path, activation=softsign) == recovery
    with pytest.raises(InvalidInputError, match="'softsign', a function of your own"):
        load(tmp_path)
    with pytest.raises(InvalidInputError, match="its values differ"):
        load(tmp_path, activation="tanh")


def test_summary_counts_rejections_by_reason():
    text = str(example())
    assert "network 2-3-1, tanh" in text
    assert "identified, confidence 0.975" in text
    assert "  - held-out error 1e-15" in text
    assert "1,437 queries, 12.3 s" in text
    assert "1 masked input of 2" in text
    assert "  - 2 clusters: too wide" in text
    assert "  - 1 student: loss became NaN" in text
    assert "not identified" in str(example(verdict=Verdict(False, 0.1, ())))


def test_an_unfinished_folder_is_refused(tmp_path: Path):
    with pytest.raises(FileFormatError, match=r"no finished recovery \(recovery.json is missing"):
        load(tmp_path / "nothing")
    example().save(tmp_path)
    (tmp_path / "evidence.safetensors").unlink()
    with pytest.raises(FileFormatError, match=r"evidence\.safetensors is missing"):
        load(tmp_path)


def test_a_save_that_is_cut_off_leaves_no_recovery_of_two_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    example().save(tmp_path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("expand_and_cluster.recovery_files.write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        example().save(tmp_path)
    with pytest.raises(FileFormatError, match=r"recovery.json is missing"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("recovery.json", b"{", "damaged recovery"),
        ("recovery.json", b'{"format": 99}', "not a recovery of format 1"),
        ("recovery.json", b'{"format": 1}', "'widths'"),
        ("recovery.json", b'{"format": 1, "widths": [2, 5, 1]}', "save it again"),
        ("evidence.safetensors", b"nonsense", "damaged recovery"),
        ("network.safetensors", b"nonsense", "not a readable .safetensors file"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path: Path, name, content, sentence):
    example().save(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=sentence):
        load(tmp_path)
