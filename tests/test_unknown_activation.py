"""Who is named, on recoveries that are made up; one whole recovery is marked slow."""

import dataclasses

import numpy as np
import pytest
from tests.reconstruction.planted import gaussian, teacher
from tests.report.fakes import fake_recovery

import expand_and_cluster as eac
from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.errors import EacError
from expand_and_cluster.core.network import Network
from expand_and_cluster.recovery import Verdict
from expand_and_cluster.students.screening import Trial
from expand_and_cluster.unknown_activation import recover_unknown


def trial(name, error):
    return Trial(catalogue[name], 8, error, error < 1e-10)


def result(activation, *, width=2, identified=True, skip=False):
    rng = np.random.default_rng(width)
    layers = [
        (rng.normal(size=(width, 3)), rng.normal(size=width)),
        (rng.normal(size=(1, width)), [0]),
    ]
    extra = (np.ones((1, 3)), [0.0]) if skip else None
    network = Network.from_arrays(layers, activation, extra)
    verdict = Verdict(identified, 0.99 if identified else 0.3, ("evidence",))
    return dataclasses.replace(fake_recovery(), network=network, verdict=verdict)


def named(trials, results, folder=None):
    """What is named, and whom a whole recovery was tried with."""
    asked = []

    def recover_with(activation, store):
        asked.append(activation.name)
        found = results[activation.name]
        if isinstance(found, EacError):
            raise found
        return found

    ranking = tuple(sorted(trials, key=lambda each: each.error))
    recovery = recover_unknown(
        lambda candidates: ranking, recover_with, checkpoint=Checkpoint(folder), deadline=None
    )
    return recovery, asked


def test_the_one_at_rounding_is_named_with_its_equivalents():
    recovery, asked = named([trial("tanh", 1e-15), trial("gelu", 1e-3)], {"tanh": result("tanh")})
    choice = recovery.activations
    assert choice is not None
    assert (choice.chosen, choice.decided, choice.equivalent) == ("tanh", True, ("sigmoid",))
    assert (choice.runner_up, choice.margin) == ("gelu", pytest.approx(1e12))
    assert asked == ["tanh"]
    assert recovery.verdict.identified
    assert "cannot be told from it" in recovery.verdict.reasons[-1]
    assert "activation tanh, or sigmoid; gelu errs 1.0e+12 times as much" in str(recovery)


def test_who_was_not_tried_for_want_of_time_is_not_ruled_out(tmp_path):
    trials = [trial("relu", 1e-15), trial("leaky_relu", 1e-14), trial("g", np.inf)]
    recovery = recover_unknown(
        lambda candidates: tuple(trials), lambda *_: result("relu"),
        checkpoint=Checkpoint(tmp_path), deadline=0.0,
    )  # fmt: skip
    choice = recovery.activations
    assert choice is not None
    assert (choice.chosen, choice.decided) == ("relu", False)
    assert not recovery.verdict.identified
    assert "before g and leaky_relu could be tried" in recovery.verdict.reasons[-1]
    # A ranking that time cut short is not kept.
    assert not list(tmp_path.iterdir())


def test_where_noise_is_left_an_identified_network_does_not_decide():
    noisy = dataclasses.replace(result("tanh"), standard_errors=result("tanh").network)
    recovery, _ = named(
        [trial("tanh", 1e-3), trial("gelu", 2e-3), trial("g", 3e-3)],
        {"tanh": noisy, "gelu": result("gelu", identified=False)},
    )
    assert not recovery.verdict.identified
    assert "noise hides the activation" in recovery.verdict.reasons[-1]


def test_a_linear_part_is_decided_by_the_skip_that_is_left():
    recovery, asked = named(
        [trial("leaky_relu", 1e-15), trial("relu", 1e-5), trial("gelu", 1e-3)],
        {"leaky_relu": result("leaky_relu", identified=False, skip=True), "relu": result("relu")},
    )
    choice = recovery.activations
    assert choice is not None
    assert (choice.chosen, choice.decided, choice.equivalent) == ("relu", True, ())
    assert asked == ["leaky_relu", "relu"]
    assert choice.runner_up == "gelu"
    assert choice.ranking[0].note == (
        "relu is leaky_relu with a linear part; not identified with 2 neurons and a skip"
    )


def test_two_that_explain_all_alike_are_not_decided():
    recovery, _ = named(
        [trial("silu", 1e-15), trial("gelu", 2e-15)],
        {"silu": result("silu"), "gelu": result("gelu")},
    )
    assert recovery.activations is not None
    assert not recovery.activations.decided
    assert not recovery.verdict.identified
    assert recovery.verdict.confidence <= 0.4
    assert "silu and gelu cannot be told apart" in recovery.verdict.reasons[-1]


def test_the_narrower_of_two_is_named():
    recovery, _ = named(
        [trial("silu", 1e-15), trial("gelu", 2e-15)],
        {"silu": result("silu", width=5), "gelu": result("gelu", width=2)},
    )
    assert recovery.activations is not None
    assert recovery.activations.chosen == "gelu"
    assert recovery.verdict.identified


def test_nobody_at_rounding_is_not_decided():
    recovery, asked = named(
        [trial("silu", 1e-3), trial("gelu", 2e-3), trial("relu", 1e-1)],
        {"silu": result("silu", identified=False), "gelu": result("gelu", identified=False)},
    )
    assert asked == ["silu", "gelu"]
    assert recovery.activations is not None
    assert not recovery.activations.decided
    assert "no activation of the catalogue is confirmed; silu" in recovery.verdict.reasons[-1]


def test_a_candidate_that_fails_does_not_end_the_search():
    trials = [trial("silu", 1e-3), trial("gelu", 2e-3)]
    recovery, _ = named(trials, {"silu": EacError("no"), "gelu": result("gelu", identified=False)})
    assert recovery.network.activation.name == "gelu"
    with pytest.raises(EacError, match="no student"):
        named(trials, {"silu": EacError("no"), "gelu": EacError("no student")})


def test_the_choice_and_the_ranking_are_kept(tmp_path):
    trials = [trial("tanh", 1e-15), trial("gelu", float("inf"))]
    recovery, _ = named(trials, {"tanh": result("tanh")}, tmp_path / "checkpoint")
    recovery.save(tmp_path)
    assert eac.load(tmp_path) == recovery
    again = recover_unknown(
        lambda candidates: pytest.fail("ranked again"),
        lambda activation, store: result(activation.name),
        checkpoint=Checkpoint(tmp_path / "checkpoint"),
        deadline=None,
    )
    assert again.activations == recovery.activations


@pytest.mark.slow
def test_a_tiny_teacher_is_named_and_recovered():
    source = teacher((3, 2, 1), "relu")
    inputs = gaussian(1200, 3)
    recovery = eac.recover(
        eac.QueryPairs(inputs, source(inputs)), activation="auto", students=4, seed=0
    )
    assert recovery.activations is not None
    assert recovery.activations.chosen == "relu"
    assert recovery.verdict.identified
    assert eac.compare(recovery.network, source).max_weight_error < 1e-11
