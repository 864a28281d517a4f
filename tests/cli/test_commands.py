"""The other commands: compare, report, reproduce, demo, and the edges of all of them."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import expand_and_cluster.experiments
import expand_and_cluster.teachers
from expand_and_cluster.cli.guard import sentence
from expand_and_cluster.core.network import Network
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import run_study


@pytest.fixture
def run_folder(call, fake, pairs) -> Path:
    assert call("recover", pairs, "--activation", "tanh", "--folder", "run").exit_code == 0
    fake.network.save("teacher.safetensors")
    return Path("run")


def test_compare_folder_and_file(call, run_folder):
    np.save("x.npy", np.ones((3, 2)))
    result = call("compare", run_folder, "teacher.safetensors", "--inputs", "x.npy")
    assert result.exit_code == 0, result.output
    assert "3 of 3 neurons found" in result.stdout
    assert "root mean squared difference of the outputs: 0.0e+00" in result.stdout
    assert call("compare", "teacher.safetensors", run_folder).exit_code == 0


def test_compare_prints_json(call, run_folder):
    result = call("compare", run_folder, "teacher.safetensors", "--json")
    record = json.loads(result.stdout, parse_constant=pytest.fail)
    assert record["missing"] == record["excess"] == 0
    assert record["neurons"]["teacher_index"] == [0, 1, 2]


def test_compare_refuses_other_files(call, here):
    result = call("compare", "a.safetensors", "b.safetensors")
    assert result.exit_code == 1
    assert result.stderr == "error: there is no file a.safetensors.\n"


def test_explain_names_types_and_steps(call, run_folder):
    np.save("x.npy", np.random.default_rng(0).normal(size=(100, 2)))
    result = call("explain", "teacher.safetensors", "--inputs", "x.npy", "--out", "why")
    assert result.exit_code == 0, result.output
    assert "layer neuron group sign type" in result.stdout
    assert "reduced to 2-3-" in result.stdout
    drawn = {path.name for path in Path("why").iterdir()}
    assert drawn == {"types.png", "reduction.png", "reduced.safetensors"}
    assert Network.load("why/reduced.safetensors").hidden_widths == (3,)


@pytest.mark.usefixtures("real_pictures")
def test_report_draws_again(call, run_folder):
    for path in (run_folder / "pictures").iterdir():
        path.unlink()
    result = call("report", run_folder)
    assert result.exit_code == 0, result.output
    drawn = sorted(map(str, (run_folder / "pictures").iterdir()))
    assert sorted(result.stdout.split()) == drawn
    assert drawn


@pytest.mark.usefixtures("real_pictures")
def test_report_refuses_an_unfinished_folder(call, here):
    result = call("report", here / "nothing")
    assert result.exit_code == 1
    assert "no finished recovery" in result.stderr


def one_teacher(task, report) -> dict:
    return {
        "input_size": 2,
        "width": 2,
        "seed": task["seed"],
        "rmse": 1e-15,
        "found_width": 2,
        "max_weight_error": 1e-14,
        "identified": True,
    }


@pytest.fixture
def experiments(monkeypatch) -> list:
    calls = []

    def run(folder, smoke, workers, report) -> int:
        calls.append((folder, smoke, workers))
        run_study("synthetic", one_teacher, [{"seed": 0}], folder, workers=1, report=report)
        return 0 if smoke else 3

    entry = Experiment("synthetic", "118 of 150 teachers", 30.0, run)
    monkeypatch.setattr(expand_and_cluster.experiments, "catalogue", {"synthetic": entry})
    return calls


def test_reproduce_lists(call, experiments):
    result = call("reproduce")
    assert result.exit_code == 0
    assert "synthetic  30       118 of 150 teachers" in result.stdout
    assert not experiments


def test_reproduce_runs(call, here, experiments):
    result = call("reproduce", "synthetic")
    assert result.exit_code == 3
    assert "| input size | width | teachers | recovered |" in result.stdout
    assert sorted(path.name for path in Path("runs/synthetic").iterdir()) == [
        "experiment.json",
        "rows.csv",
        "rows.jsonl",
        "study.png",
        "table.md",
    ]
    assert call("reproduce", "synthetic", "--smoke", "--workers", 1).exit_code == 0
    assert experiments == [
        (Path("runs/synthetic"), False, 2),
        (Path("runs/synthetic-smoke"), True, 1),
    ]


def test_reproduce_suggests(call, experiments):
    result = call("reproduce", "synthetics")
    assert result.exit_code == 2
    assert "did you mean synthetic?" in result.stderr


@pytest.fixture
def digits_teacher(monkeypatch, fake):
    """A teacher at once, and a recovery that finds it."""
    rng = np.random.default_rng(0)
    fake.network = Network.from_arrays(
        [(rng.normal(size=(32, 64)), np.ones(32)), (rng.normal(size=(10, 32)), np.ones(10))], "tanh"
    )
    monkeypatch.setattr(expand_and_cluster.teachers, "trained", lambda *_, **__: fake.network)
    masked = np.arange(64) < 3
    real = fake.recover

    def recover(*words, **options):
        return dataclasses.replace(
            real(*words, **options), masked_inputs=masked, held_inputs=np.zeros(64)
        )

    sys.modules["expand_and_cluster.pipeline"].recover = recover  # type: ignore[attr-defined]
    return fake


@pytest.mark.parametrize("identified", [True, False])
def test_demo(call, here, digits_teacher, identified):
    digits_teacher.identified = identified
    result = call("demo")
    assert result.exit_code == (0 if identified else 3), result.output
    assert result.stdout.count("network 64-32-10, tanh") == 2
    assert result.stdout.count("32 of 32 neurons found") == 2
    assert result.stdout.count("3 of 64 inputs hardly vary") == 2
    assert "run folder: runs/demo/pairs" in result.stdout
    assert "run folder: runs/demo/queries" in result.stdout
    passive, active = digits_teacher.calls
    assert passive["source"].inputs.shape == (1437, 64)
    assert active["max_queries"] == 8_192
    assert active["inputs"].size == 64
    again = call("demo")
    assert again.exit_code == result.exit_code
    assert len(digits_teacher.calls) == 2


def test_mistyped_command(call):
    result = call("recvoer")
    assert result.exit_code == 2
    assert "Did you mean 'recover'" in result.stderr


def test_version(call):
    result = call("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("expand-and-cluster ")


def test_system_errors_are_sentences():
    assert sentence(PermissionError(13, "Permission denied", "/x")) == "Permission denied: /x."
    assert sentence(MemoryError()).startswith("unexpected MemoryError")


def test_the_commands_modules_do_not_load_what_computes():
    """--help answers at once: nothing heavy is imported before a command runs."""
    code = (
        "import sys; import expand_and_cluster; before = set(sys.modules);"
        "import expand_and_cluster.cli;"
        "heavy = {'jax', 'scipy', 'matplotlib', 'equinox', 'numpy'};"
        "print(*sorted(heavy & (set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
