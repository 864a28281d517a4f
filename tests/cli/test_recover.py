"""`recover`: exit codes, run folders, resuming, refusals."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.errors import InterruptedRecoveryError, InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.queries.samplers import Gaussian, Pool, Uniform
from expand_and_cluster.report.neurons import NeuronDistances

RUN = Path("runs/pairs-seed0")


def strict_lines(path: Path) -> list[dict]:
    def refuse(word: str) -> float:
        raise AssertionError(word)

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


@pytest.mark.usefixtures("real_pictures")
def test_a_run_leaves_a_whole_folder(call, fake, pairs):
    result = call("recover", pairs, "--activation", "tanh", "--students", 5, "--seed", 0)
    assert result.exit_code == 0, result.output
    assert "network 2-3-1, tanh" in result.stdout
    assert f"run folder: {RUN}" in result.stdout
    assert {path.name for path in RUN.iterdir()} >= {
        "settings.json",
        "metrics.jsonl",
        "recovery.json",
        "network.safetensors",
        "evidence.safetensors",
        "pictures",
    }
    assert list((RUN / "pictures").glob("*.png"))
    settings = json.loads((RUN / "settings.json").read_text())
    assert settings["command"] == "recover"
    assert settings["seed"] == 0
    assert settings["arguments"]["students"] == 5
    assert "jax" in settings["versions"]
    (only,) = fake.calls
    assert only.pop("source").inputs.shape == (50, 2)
    assert only == {
        "checkpoint": RUN / "checkpoint",
        "activation": "tanh",
        "seed": 0,
        "students": 5,
    }


def test_metrics_are_strict_json_lines(call, fake, pairs):
    call("recover", pairs, "--activation", "tanh")
    lines = strict_lines(RUN / "metrics.jsonl")
    assert [line["done"] for line in lines] == [0, 3]  # the first and the last of the stage
    assert lines[-1]["losses"] == [0.125, None]
    assert lines[0]["stage"] == "train students"
    assert lines[0]["time"].endswith("+00:00")


def test_not_identified_has_its_own_exit_code(call, fake, pairs):
    fake.identified = False
    assert call("recover", pairs, "--activation", "tanh").exit_code == 3
    assert call("recover", pairs, "--activation", "tanh").exit_code == 3
    assert len(fake.calls) == 1


def test_a_finished_run_is_only_shown(call, fake, pairs):
    call("recover", pairs, "--activation", "tanh")
    result = call("recover", pairs, "--activation", "tanh")
    assert result.exit_code == 0
    assert "is finished; nothing is computed again" in result.stdout
    assert "network 2-3-1, tanh" in result.stdout
    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--width", 9), "holds a run with width not set, but now it is width 9"),
        (("--activation", "relu"), "holds a run with activation tanh, but now it is activation"),
        (("--seed", 1), "holds a run with seed 0, but now it is seed 1"),
        (("--time-budget", 9), "holds a run with time budget not set, but now it is time budget 9"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(call, fake, pairs, words, sentence):
    call("recover", pairs, "--activation", "tanh", "--folder", "a")
    result = call("recover", pairs, "--activation", "tanh", "--folder", "a", *words)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert "give another --folder" in result.stderr
    assert len(fake.calls) == 1


def test_another_file_of_the_same_name_is_refused(call, fake, pairs):
    call("recover", pairs, "--activation", "tanh")
    np.savez(pairs, inputs=np.ones((9, 2)), outputs=np.ones((9, 1)))
    result = call("recover", pairs, "--activation", "tanh")
    assert result.exit_code == 1
    assert "source content" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_stopped_run_can_be_resumed(call, fake, pairs, number, wrapped):
    handler = signal.getsignal(number)
    real = fake.recover

    def stop(*words, **options):
        real(*words, **options)
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt as error:
            if wrapped:
                raise InterruptedRecoveryError("interrupted.") from error
            raise

    sys.modules["expand_and_cluster.pipeline"].recover = stop  # type: ignore[attr-defined]
    result = call("recover", pairs, "--activation", "tanh")
    assert result.exit_code == 130
    assert f"stopped; the same command resumes from {RUN}" in result.stderr
    assert "Traceback" not in result.output
    assert signal.getsignal(number) == handler
    assert not (RUN / "recovery.json").exists()
    before = strict_lines(RUN / "metrics.jsonl")

    sys.modules["expand_and_cluster.pipeline"].recover = real  # type: ignore[attr-defined]
    with (RUN / "metrics.jsonl").open("a") as file:
        file.write('{"half": ')  # what a killed process leaves
    result = call("recover", pairs, "--activation", "tanh", "--time-budget", 60)
    assert result.exit_code == 0, result.output
    assert "resuming" in result.stderr
    after = strict_lines(RUN / "metrics.jsonl")
    assert after[: len(before)] == before
    assert len(after) == 2 * len(before)


def test_refused_arguments_leave_the_folder_free(call, fake, pairs):
    fake.error = InvalidInputError("width=1 is too\nnarrow.")
    result = call("recover", pairs, "--activation", "tanh", "--width", 1)
    assert result.exit_code == 1
    assert result.stderr.endswith("error: width=1 is too narrow.\n")
    assert not RUN.exists()
    fake.error = None
    assert call("recover", pairs, "--activation", "tanh", "--width", 9).exit_code == 0


def test_a_refusal_before_any_answer_leaves_the_folder_free_and_after_one_keeps_it(
    call, fake, pairs
):
    def claim_and_refuse(answered: bool) -> None:
        store = Checkpoint(RUN / "checkpoint")
        store.save("request", {}, {})
        if answered:
            Checkpoint(RUN / "checkpoint" / "queries").save("answers-000000", {}, {})
        raise InvalidInputError("the oracle's answers are no probabilities.")

    fake.before = lambda: claim_and_refuse(False)
    assert call("recover", pairs, "--activation", "tanh").exit_code == 1
    assert not RUN.exists()
    fake.before = lambda: claim_and_refuse(True)
    assert call("recover", pairs, "--activation", "tanh").exit_code == 1
    assert (RUN / "settings.json").exists()
    fake.before = None
    assert call("recover", pairs, "--activation", "tanh").exit_code == 0


def test_debug_shows_the_traceback(call, fake, pairs):
    fake.error = ZeroDivisionError("oops")
    result = call("recover", pairs, "--activation", "tanh")
    assert result.exit_code == 1
    assert "unexpected ZeroDivisionError (oops); --debug shows" in result.stderr
    assert "Traceback" not in result.stderr
    result = call("recover", pairs, "--activation", "tanh", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr


def test_unknown_activation_has_the_librarys_sentence(call, fake, pairs):
    result = call("recover", pairs, "--activation", "tahn")
    assert result.exit_code == 1
    assert "activation='tahn' is not in the catalogue; choose one of g, tanh" in result.stderr
    assert not Path("runs").exists()


def test_a_folder_with_other_files_is_refused(call, fake, pairs):
    result = call("recover", pairs, "--activation", "tanh", "--folder", ".")
    assert result.exit_code == 1
    assert "holds other files and no run" in result.stderr


@pytest.fixture
def model(here, fake) -> Path:
    fake.network.save("model.safetensors")
    return here / "model.safetensors"


@pytest.mark.parametrize(
    ("words", "kind"),
    [((), Gaussian), (("--scale", 2), Gaussian), (("--uniform", -1, 1), Uniform),
     (("--inputs", "pool.npy"), Pool)],
)  # fmt: skip
def test_a_model_is_asked(call, fake, model, words, kind):
    np.save("pool.npy", np.random.default_rng(0).normal(size=(40, 2)))
    result = call("recover", model, "--activation", "tanh", "--max-queries", 64, *words)
    assert result.exit_code == 0, result.output
    (only,) = fake.calls
    assert isinstance(only["inputs"], kind)
    assert only["inputs"].size == 2
    assert only["max_queries"] == 64
    rows = np.ones((3, 2))
    np.testing.assert_array_equal(only["source"](rows), fake.network(rows))


@pytest.mark.usefixtures("real_pictures")
def test_a_teacher_is_compared_with(call, fake, model, pairs):
    result = call("recover", pairs, "--activation", "tanh", "--teacher", model)
    assert result.exit_code == 0, result.output
    assert "3 of 3 neurons found" in result.stdout
    record = json.loads((RUN / "comparison.json").read_text())
    assert record["missing"] == 0
    assert record["max_weight_error"] < 1e-15
    assert NeuronDistances.from_json(record["neurons"]).distance.max() < 1e-15
    assert (RUN / "pictures" / "neurons.png").exists()


def test_a_teacher_that_cannot_be_compared_takes_nothing_from_the_result(call, fake, pairs):
    network = Network.from_arrays([(np.ones((3, 5)), np.zeros(3)), (np.ones((1, 3)), [0])], "g")
    network.save("other.safetensors")
    result = call("recover", pairs, "--activation", "tanh", "--teacher", "other.safetensors")
    assert result.exit_code == 0, result.output
    assert "not compared with the teacher: " in result.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "give a file with pairs or a model"),
        (("pairs.npz", "--outputs", "pairs.npz"), "--outputs holds answers, and so does"),
        (("pairs.npz", "--inputs", "pairs.npz"), "--inputs is for asking a model"),
        (("pairs.npz", "--gaussian"), "--gaussian is for asking a model"),
        (("pairs.npz", "--max-queries", 5), "--max-queries is for asking a model"),
        (("m.onnx", "--gaussian", "--uniform", 0, 1), "--gaussian and --uniform exclude"),
        (("pairs.npz", "--studnets", 3), "--students"),
        (("pairs.npz", "--fit", "magic"), "levenberg_marquardt"),
        (("pairs.npz", "--students", 0), "'--students'"),
    ],
)
def test_usage_errors(call, fake, pairs, words, sentence):
    result = call("recover", *words, "--activation", "tanh")
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert not fake.calls


def test_neurons_may_have_one_of_several_activations(call, fake, pairs):
    assert call("recover", pairs, "--activation", "tanh,relu").exit_code == 0
    assert fake.calls[0]["activation"] == "tanh,relu"
    result = call("recover", pairs, "--activation", "tanh,sine", "--folder", "other")
    assert result.exit_code == 1
    assert "'tanh,sine' is not in the catalogue" in result.output
    assert not Path("other").exists()
