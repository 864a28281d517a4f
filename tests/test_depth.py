"""Several hidden layers, end to end."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import silent
from expand_and_cluster.fitting.memory import Memory
from expand_and_cluster.fitting.result import Fit, StopReason
from expand_and_cluster.pipeline import recover
from expand_and_cluster.queries.asking import ask_all
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.queries.samplers import Gaussian, Uniform
from expand_and_cluster.reconstruction.deep_completion import CompletedLayers
from expand_and_cluster.reconstruction.layerwise import LayerwiseSearch
from expand_and_cluster.reconstruction.layerwise_outcome import LayerwiseSettings
from expand_and_cluster.recovery import Recovery, load
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.teachers.synthetic import synthetic_deep, synthetic_inputs
from expand_and_cluster.teachers.untrained import untrained
from expand_and_cluster.verdict.deep_judgement import judge_over_all_inputs
from expand_and_cluster.verdict.judgement import Finding

TEACHER = synthetic_deep((3, 2, 2, 1), seed=2, activation="tanh")


def run(folder: Path | None = None) -> Recovery:
    inputs = synthetic_inputs(4000, 3, seed=1)
    return recover(
        QueryPairs(inputs, TEACHER(inputs)),
        activation="tanh",
        hidden_layers=2,
        width=6,
        students=4,
        checkpoint=folder,
    )


def test_two_hidden_layers_are_recovered_kept_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    recovery = run(tmp_path / "checkpoint")
    assert recovery.network.widths == TEACHER.widths
    assert compare(recovery, TEACHER).max_weight_error < 1e-9
    assert recovery.verdict.identified
    assert [(record.layer, record.index) for record in recovery.neurons] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]
    recovery.save(tmp_path / "saved")
    assert load(tmp_path / "saved") == recovery

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a finished student was trained again")

    monkeypatch.setattr(Memory, "save", forbidden)
    monkeypatch.setattr(Memory, "save_all", forbidden)
    again = run(tmp_path / "checkpoint")
    for one, other in zip(again.network.layers, recovery.network.layers, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)


def test_a_time_budget_that_is_over_gives_a_student_and_another_angle_another_folder(
    tmp_path: Path,
):
    inputs = synthetic_inputs(300, 3, seed=1)

    def run_shortly(angle: float | None = None) -> Recovery:
        return recover(
            QueryPairs(inputs, TEACHER(inputs)), activation="tanh", hidden_layers=2, width=6,
            students=2, time_budget=1e-3, checkpoint=tmp_path, max_cluster_angle=angle,
        )  # fmt: skip

    recovery = run_shortly()
    assert not recovery.verdict.identified
    assert recovery.settings["found_by"] == "best student"
    assert np.all(np.isfinite(recovery.network(inputs)))
    with pytest.raises(InvalidInputError, match="max_cluster_angle"):
        run_shortly(0.02)


def test_students_that_were_sharpened_are_counted_once():
    inputs = synthetic_inputs(100, 3, seed=1)
    data = TrainingData(inputs, TEACHER(inputs))
    search = LayerwiseSearch(
        data, data, TEACHER.activation, LayerwiseSettings(2, 2, 1, 0, 0.26, 1),
        checkpoint=Checkpoint(None), report=silent, held=lambda *_: True,
    )  # fmt: skip

    def fit(network: Network, loss: float) -> Fit:
        return Fit.from_histories(
            Network.stack([network]), [loss], [[(0, loss)]], [StopReason.STEPS]
        )

    rough = search._stage(0, fit(TEACHER, 1e-7))
    other = search._stage(1, fit(TEACHER, 1.0))
    sharp = search._stage(0, fit(TEACHER, 1e-20), rough)
    assert search.outcome.stages[0] is sharp
    assert search.outcome.stages[1] is other
    assert len(search.outcome.imitating()) == 1


@pytest.mark.slow
def test_noise_is_not_identified():
    inputs = synthetic_inputs(1500, 3, seed=1)
    noise = 0.1 * np.random.default_rng(0).normal(size=(1500, 1))
    recovery = recover(
        QueryPairs(inputs, TEACHER(inputs) + noise),
        activation="tanh",
        hidden_layers=2,
        width=4,
        students=2,
        time_budget=20.0,
    )
    assert not recovery.verdict.identified


@pytest.mark.parametrize("scale", [1.0, None])
def test_layers_of_relu_are_read_off_kinks_without_a_student(scale):
    teacher = untrained((8, 6, 5, 2), "relu", 0)
    found = recover(
        teacher,
        inputs=Gaussian(8, scale=scale),
        activation="relu",
        hidden_layers=2,
        max_queries=60_000,
        seed=0,
    )
    assert found.network.hidden_widths == (6, 5)
    assert compare(found, teacher).max_weight_error < 1e-10
    assert found.verdict.identified, found.verdict.reasons
    assert found.settings["found_by"] == "network read off kinks"
    assert found.queries < 60_000
    assert len(found.curves.codes) == 0


@pytest.mark.slow
def test_a_first_layer_that_saturates_is_read_far_out():
    teacher = untrained((5, 4, 3, 1), "tanh", 1)
    found = recover(
        teacher,
        inputs=Gaussian(5),
        activation="tanh",
        hidden_layers=2,
        max_queries=30_000,
        students=4,
        seed=0,
    )
    assert found.settings["draft"] == "4 neurons of the first layer were read off steps"
    assert found.settings["found_by"].startswith("student with layer 1 read off steps")
    assert found.network.hidden_widths == (4, 3)
    assert compare(found, teacher).max_weight_error < 1e-9
    assert found.verdict.identified, found.verdict.reasons


@pytest.mark.parametrize(
    ("inputs", "most", "note"),
    [
        (Uniform(5, -1.0, 1.0), 2_000, "questions may not lie far out"),
        (Gaussian(5), 600, "too few questions to read layers off"),
    ],
)
def test_where_the_first_layer_is_not_read_it_says_so(inputs, most, note):
    answers = ask_all(
        Oracle(untrained((5, 4, 3, 1), "tanh", 1), 5, most),
        inputs,
        np.random.default_rng(0),
        max_queries=most,
        activation=resolve("tanh"),
        hidden_layers=2,
        find_subspace=False,
    )
    assert answers.first_layer is None
    assert note in answers.notes["draft"]
    assert answers.queries <= most


@pytest.mark.parametrize("name", [pytest.param("g", marks=pytest.mark.slow), "leaky_relu"])
def test_a_deep_network_over_many_inputs_comes_back_by_asking(name):
    network = untrained((24, 5, 4, 2), name, seed=1)
    found = recover(
        network,
        inputs=Gaussian(24),
        activation=name,
        hidden_layers=2,
        max_queries=150_000,
        seed=0,
    )
    assert found.network.hidden_widths == (5, 4)
    assert compare(found, network).max_weight_error < 1e-9
    assert found.verdict.identified, found.verdict.reasons
    assert found.settings["subspace_rank"] == 5
    assert found.masked_inputs.shape == (24,)
    assert any("over all inputs" in reason for reason in found.verdict.reasons)


def test_what_is_wrong_over_all_inputs_is_not_identified():
    network = untrained((6, 3, 2, 1), "g", seed=0)
    finding = Finding(True, 0.9, ("within",), np.zeros(3, dtype=bool))
    right = CompletedLayers(network, 1e-15, 1e-15, True, 1e-12)
    assert judge_over_all_inputs(finding, right).identified
    for wrong in (
        dataclasses.replace(right, held_out=1e-6),
        dataclasses.replace(right, fitted=False),
        dataclasses.replace(right, loose=np.inf),
    ):
        found = judge_over_all_inputs(finding, wrong)
        assert not found.identified
        assert found.confidence <= 0.4
        assert found.masked.shape == (6,)
    loose = dataclasses.replace(finding, masked=np.array([True, False, False]))
    assert not judge_over_all_inputs(loose, right).identified
