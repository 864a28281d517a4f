"""Whole recoveries of tiny teachers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.fitting.problems import flattened
from tests.reconstruction.planted import gaussian, teacher

import expand_and_cluster as eac

SAMPLES = 1200
QUICK: dict[str, Any] = {"students": 4, "width": 6, "seed": 0}
# Rounding of the answers, through a problem whose condition is at most some thousands.
EXACT = 1e-11


def pairs_of(source, *, samples=SAMPLES, noise=0.0):
    inputs = gaussian(samples, source.input_size)
    outputs = source(inputs)
    return eac.QueryPairs(
        inputs, outputs + noise * np.random.default_rng(9).normal(size=outputs.shape)
    )


def assert_exact(recovery, source, *, tolerance=EXACT):
    assert recovery.verdict.identified is True, recovery.verdict.reasons
    assert recovery.network.widths == source.widths
    assert recovery.network.skip is None
    assert eac.compare(recovery.network, source).max_weight_error < tolerance


@pytest.fixture
def one_round(monkeypatch):
    """Nothing is found in later rounds either; the slow tests look at them."""
    monkeypatch.setattr("expand_and_cluster.one_layer.ROUNDS", 1)


@pytest.fixture(scope="module")
def source():
    return teacher((4, 2, 1), "g")


@pytest.fixture(scope="module")
def found(source):
    """A recovery with an expansion, and the reports on the way."""
    reports = []
    return (
        eac.recover(pairs_of(source), activation="g", students=4, progress=reports.append),
        reports,
    )


def test_teacher_without_symmetries_is_recovered_from_pairs(source, found):
    recovery, _ = found
    assert_exact(recovery, source)
    assert recovery.queries == SAMPLES
    assert recovery.seconds > 0.0
    assert not recovery.masked_inputs.any()
    inputs = gaussian(100, 4, seed=3)
    np.testing.assert_allclose(recovery.network(inputs), source(inputs), atol=1e-12)


def test_every_neuron_has_a_record(found):
    recovery, _ = found
    assert [neuron.index for neuron in recovery.neurons] == [0, 1]
    for neuron in recovery.neurons:
        assert neuron.layer == 0
        assert len(neuron.students) >= 2
        assert set(neuron.students) <= set(range(4))
        assert 0.0 <= neuron.agreement < 1e-3
        assert neuron.unidentifiable == ()
    assert recovery.verdict.confidence > 0.9
    assert all(isinstance(reason, str) and reason for reason in recovery.verdict.reasons)


def test_everything_that_was_left_out_has_a_reason(found):
    recovery, _ = found
    assert {rejection.kind for rejection in recovery.rejected} <= {"student", "cluster", "neuron"}
    assert all(rejection.name and rejection.reason for rejection in recovery.rejected)
    labels = recovery.clustering.labels
    # Neurons in no kept cluster are named by their clusters.
    rejected = [rejection for rejection in recovery.rejected if rejection.kind == "cluster"]
    assert (len(rejected) > 0) == bool(np.any(labels < 0))


def test_settings_hold_what_was_given_and_what_was_chosen(found):
    recovery, _ = found
    settings = recovery.settings
    given = {"activation": "g", "students": 4, "seed": 0, "hidden_layers": 1, "outputs": "logits"}
    assert {name: settings[name] for name in given} == given
    assert settings["width"] == recovery.expansion.chosen
    assert settings["method"] == "levenberg_marquardt"
    assert 0.0 < settings["min_cluster_fraction"] <= 1.0
    assert 0.0 < settings["max_cluster_angle"] <= np.pi / 2
    assert settings["rounds_used"] >= 1
    assert settings["found_by"]
    assert 0.0 < settings["rounding_floor"] < 1e-13


def test_curves_and_clustering_are_the_evidence(source, found):
    recovery, _ = found
    curves, clustering, expansion = recovery.curves, recovery.clustering, recovery.expansion
    students = 4 * recovery.settings["rounds_used"]
    assert curves.losses.shape == (students, len(curves.steps))
    assert curves.held_out.shape == (students,)
    assert len(curves.codes) == students
    assert set(curves.codes) <= {
        "reached the target loss",
        "no further descent",
        "used all steps",
        "used all time",
        "loss became NaN or infinite",
    }
    assert np.nanmin(curves.losses) < 1e-12
    assert expansion.losses.min() <= expansion.criterion
    assert expansion.chosen >= 2
    assert clustering.vectors.shape[1] == 5
    assert clustering.tree.shape == (len(clustering.vectors) - 1, 4)
    assert len(clustering.students) == len(clustering.labels) == len(clustering.vectors)
    assert len(clustering.angles) == clustering.labels.max() + 1


def test_reports_arrive_and_say_where_the_work_stands(found):
    _, reports = found
    stages = [report.stage for report in reports]
    order = [stages.index(next(s for s in stages if s.startswith(name))) for name in
             ("expand", "train students", "rebuild")]  # fmt: skip
    assert order == sorted(order)
    training = [report for report in reports if report.stage == "train students"]
    assert all(report.losses is not None and len(report.losses) == 4 for report in training)
    assert all(report.total is not None and report.done <= report.total for report in training)


def test_what_is_saved_comes_back(found, tmp_path):
    recovery, _ = found
    recovery.save(tmp_path / "run")
    again = eac.load(tmp_path / "run")
    assert again == recovery


def test_same_seed_same_result(source):
    one, two = (
        eac.recover(pairs_of(source), activation="g", **{**QUICK, "seed": 3}) for _ in range(2)
    )
    np.testing.assert_array_equal(flattened(one.network), flattened(two.network))
    assert one.verdict == two.verdict
    assert one.neurons == two.neurons
    assert one.rejected == two.rejected
    assert one.curves == two.curves
    assert one.clustering == two.clustering


def test_teacher_with_hidden_signs_and_two_outputs_is_recovered():
    source = teacher((3, 2, 2), "tanh")
    recovery = eac.recover(pairs_of(source), activation="tanh", **QUICK)
    assert_exact(recovery, source)
    assert recovery.expansion is None
    assert all(neuron.unidentifiable == ("sign",) for neuron in recovery.neurons)


def test_relu_teacher_is_recovered_by_asking():
    source = teacher((3, 2, 1), "relu")
    asked = []

    def oracle(inputs):
        asked.append(len(inputs))
        return source(inputs)

    recovery = eac.recover(
        oracle, inputs=eac.Gaussian(3), activation="relu", max_queries=1500, **QUICK
    )
    assert_exact(recovery, source)
    assert recovery.queries == sum(asked) <= 1500
    assert recovery.settings["max_queries"] == 1500
    assert recovery.settings["sampler"]
    assert all(neuron.unidentifiable == ("sign", "scale") for neuron in recovery.neurons)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_affine_left_over_is_folded_away(seed):
    source = teacher((3, 2, 1), "relu", seed=seed)
    assert_exact(eac.recover(pairs_of(source), activation="relu", **QUICK), source)


def test_function_of_the_users_serves_as_activation():
    def bent(z):
        return jax.nn.soft_sign(z + 0.3) + 0.2 * jnp.log1p(z * z)

    source = teacher((3, 2, 1), bent)
    recovery = eac.recover(pairs_of(source), activation=bent, **QUICK)
    assert_exact(recovery, source)
    assert recovery.settings["activation"] == "bent"
    assert all(neuron.unidentifiable == () for neuron in recovery.neurons)


def test_symmetry_about_another_point_is_not_overlooked():
    """(w, b) and (-w, -b - 0.6) are the same neuron: odd about -0.3."""

    def shifted(z):
        return jax.nn.soft_sign(z + 0.3)

    source = teacher((3, 2, 1), shifted)
    recovery = eac.recover(pairs_of(source), activation=shifted, **QUICK)
    inputs = gaussian(100, 3, seed=3)
    np.testing.assert_allclose(recovery.network(inputs), source(inputs), atol=1e-12)
    right = eac.compare(recovery.network, source).max_weight_error < EXACT
    assert right or not recovery.verdict.identified


def test_units_of_the_inputs_do_not_matter(source):
    inputs = gaussian(SAMPLES, 4)
    raw = 1000.0 * inputs + [500.0, -2000.0, 0.0, 30.0]
    first, last = source.layers
    weight = first.weight / 1000.0
    scaled = eac.Network.from_arrays(
        [
            (weight, first.bias - weight @ [500.0, -2000.0, 0.0, 30.0]),
            (1e4 * last.weight, 1e4 * last.bias + 7.0),
        ],
        "g",
    )
    recovery = eac.recover(eac.QueryPairs(raw, scaled(raw)), activation="g", **QUICK)
    assert recovery.verdict.identified is True
    assert recovery.network.widths == source.widths
    distances = eac.compare(recovery.network, scaled)
    # Output weights are of size 1e4.
    assert distances.max_weight_error < 1e4 * EXACT
    assert distances.missing == distances.excess == 0


def test_input_that_never_varies_is_masked(source):
    inputs = gaussian(SAMPLES, 4)
    inputs[:, 2] = 1.5
    recovery = eac.recover(eac.QueryPairs(inputs, source(inputs)), activation="g", **QUICK)
    np.testing.assert_array_equal(recovery.masked_inputs, [False, False, True, False])
    assert recovery.held_inputs[2] == 1.5
    assert recovery.verdict.identified is True
    np.testing.assert_allclose(recovery.network(inputs), source(inputs), atol=1e-12)
    assert not recovery.network.layers[0].weight[:, 2].any()
    assert all(any("2" in text for text in n.unidentifiable) for n in recovery.neurons)


@pytest.mark.usefixtures("one_round")
def test_wrong_activation_is_not_identified(source):
    recovery = eac.recover(pairs_of(source), activation="tanh", **QUICK)
    assert recovery.verdict.identified is False
    assert recovery.verdict.confidence < 0.5


@pytest.mark.parametrize("noise", [1e-2, 1e-8])
def test_noisy_answers_are_identified_only_as_far_as_noise_allows(source, noise):
    recovery = eac.recover(pairs_of(source, noise=noise), activation="g", **QUICK)
    error = np.sqrt(np.mean((recovery.network(gaussian(300, 4)) - source(gaussian(300, 4))) ** 2))
    assert error < noise
    assert recovery.verdict.identified is True
    assert recovery.standard_errors is not None
    stated = max(float(layer.weight.max()) for layer in recovery.standard_errors.layers)
    assert eac.compare(recovery, source).max_weight_error < 5.0 * stated
    assert any("standard error" in reason for reason in recovery.verdict.reasons)


@pytest.mark.usefixtures("one_round")
def test_students_narrower_than_the_teacher_are_not_identified():
    source = teacher((4, 4, 1), "g")
    recovery = eac.recover(pairs_of(source), activation="g", students=3, width=2)
    assert recovery.verdict.identified is False


def test_answers_in_single_precision_are_recovered_to_it():
    source = teacher((3, 2, 1), "tanh")
    inputs = gaussian(SAMPLES, 3)
    outputs = source(inputs).astype(np.float32)
    recovery = eac.recover(eac.QueryPairs(inputs, outputs), activation="tanh", **QUICK)
    assert recovery.network.widths == source.widths
    assert eac.compare(recovery.network, source).max_weight_error < 1e-6
    assert recovery.settings["noise"] > 0.0


def test_time_budget_that_is_over_gives_what_was_reached(source):
    recovery = eac.recover(pairs_of(source), activation="g", time_budget=1e-3, **QUICK)
    assert recovery.settings["rounds_used"] == 1
    assert set(recovery.curves.codes) <= {"used all time", "reached the target loss"}
    assert np.all(np.isfinite(recovery.network(gaussian(10, 4))))


def test_an_interruption_while_asking_keeps_what_was_answered(source):
    asked = 0

    def oracle(rows):
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = len(rows)
        return source(rows)

    with pytest.raises(eac.InterruptedRecoveryError) as caught:
        eac.recover(oracle, inputs=eac.Gaussian(4, 1.0), max_queries=8000, activation="g", **QUICK)
    assert len(caught.value.partial["pairs"]) == asked > 0


def test_a_folder_is_not_shared_by_pools_or_functions_that_look_alike(source, tmp_path):
    def run(pool, activation):
        return eac.recover(
            source, inputs=pool, max_queries=100, activation=activation, time_budget=1e-3,
            checkpoint=tmp_path, **QUICK,
        )  # fmt: skip

    pool = gaussian(200, 4)
    run(pool, lambda z: jnp.tanh(z))
    run(pool, lambda z: jnp.tanh(z))
    with pytest.raises(eac.InvalidInputError, match="questions"):
        run(1.0 + pool, lambda z: jnp.tanh(z))
    with pytest.raises(eac.InvalidInputError, match="activation_values"):
        run(pool, lambda z: jnp.sin(z))


def test_interruption_says_what_was_reached(source):
    def interrupt(progress):
        if progress.stage == "rebuild":
            raise KeyboardInterrupt

    with pytest.raises(eac.InterruptedRecoveryError) as caught:
        eac.recover(pairs_of(source), activation="g", progress=interrupt, **QUICK)
    assert len(caught.value.partial["pairs"]) == SAMPLES
    assert caught.value.partial["search"].rounds


def test_checkpoint_goes_on_where_it_stopped(source, tmp_path):
    stages = []

    def interrupt(progress):
        if progress.stage == "rebuild":
            raise KeyboardInterrupt

    with pytest.raises(eac.InterruptedRecoveryError, match="resumes it"):
        eac.recover(
            pairs_of(source), activation="g", progress=interrupt, checkpoint=tmp_path, **QUICK
        )
    resumed = eac.recover(
        pairs_of(source),
        activation="g",
        progress=lambda progress: stages.append(progress.stage),
        checkpoint=tmp_path,
        **QUICK,
    )
    assert "train students" not in stages
    straight = eac.recover(pairs_of(source), activation="g", **QUICK)
    np.testing.assert_array_equal(flattened(resumed.network), flattened(straight.network))


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["sigmoid", "softplus", "gelu", "silu", "mish", "selu"])
def test_other_activations_are_recovered(activation):
    source = teacher((4, 3, 2), activation)
    recovery = eac.recover(pairs_of(source), activation=activation, students=6)
    assert_exact(recovery, source, tolerance=1e-9)


@pytest.mark.slow
def test_paper_teacher_is_recovered():
    source = eac.teachers.synthetic(8, 4, 0)
    inputs = np.random.default_rng(0).uniform(-np.sqrt(3), np.sqrt(3), size=(4000, 8))
    assert_exact(eac.recover(eac.QueryPairs(inputs, source(inputs)), activation="g"), source)


@pytest.mark.slow
def test_first_order_training_is_enough_for_clustering(source):
    recovery = eac.recover(pairs_of(source), activation="g", fit="adam", **QUICK)
    assert_exact(recovery, source)


def test_overflowing_inputs_raise_no_warning(source):
    """A few rows far out, where a student's own activation may be large."""
    inputs = gaussian(SAMPLES, 4)
    inputs[:3] *= 50.0
    recovery = eac.recover(eac.QueryPairs(inputs, source(inputs)), activation="g", **QUICK)
    assert jnp.isfinite(recovery.network.layers[0].weight).all()
