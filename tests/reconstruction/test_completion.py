"""From a network within a subspace to the same one over all inputs."""

from typing import Any

import numpy as np
import pytest
from tests.queries.test_subspace import network_of
from tests.reconstruction.planted import gaussian, teacher

import expand_and_cluster as eac
from expand_and_cluster.core.network import Layer
from expand_and_cluster.reconstruction import workbench
from expand_and_cluster.reconstruction.completion import Differences, complete
from expand_and_cluster.reconstruction.rebuild import Rebuilt
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData

EXACT = 1e-10


# Directions of the inputs along which starts are right.
KNOWN = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 2)))[0]


def completed(source, start, *, seed=0, rows=400, exact=True, **options):
    inputs = gaussian(500, source.input_size, seed) * 2.0 + 1.0
    outputs = source(inputs)
    standard = Standardisation.fit(inputs[:400], outputs[:400])
    seen, unseen = (
        TrainingData(standard.inputs(inputs[rows]), standard.targets(outputs[rows]))
        for rows in (slice(0, rows), slice(400, 500))
    )
    bench = Workbench(seen, source.activation, skip=start.skip is not None)
    before = Rebuilt(start, 1.0, exact, (), 0.0)
    made = {name: make(standard) for name, make in options.items()}
    return complete(start, before, bench, unseen, standard, known=KNOWN, **made), bench


def off_by(source, size):
    """The network as differences of answers know it: right along the known directions."""
    rng = np.random.default_rng(1)
    first, last = source.layers
    error = rng.normal(size=first.weight.shape) @ (np.eye(6) - KNOWN @ KNOWN.T)
    moved = Layer(first.weight + size * error, first.bias)
    return source.replace(layers=(moved, last))


def test_what_the_subspace_misses_is_found():
    source = teacher((6, 3, 2), "tanh")
    found, bench = completed(source, off_by(source, 1e-4))
    assert found.rebuilt.exact
    assert found.rebuilt.loss <= 100.0 * bench.floor(bench.as_candidate(found.rebuilt.network))
    assert found.held_out < 1e-26
    assert found.bench is bench
    restored = found.standard.restore(found.rebuilt.network)
    np.testing.assert_allclose(restored.input_vectors, source.input_vectors, atol=EXACT)
    np.testing.assert_allclose(restored.output_vectors, source.output_vectors, atol=EXACT)


def test_skip_is_completed_too():
    source = teacher((6, 3, 2), "gelu")
    rng = np.random.default_rng(0)
    source = source.replace(skip=Layer(rng.normal(size=(2, 6)), rng.normal(size=2)))
    found, _ = completed(source, off_by(source, 1e-4))
    assert found.rebuilt.exact
    restored = found.standard.restore(found.rebuilt.network)
    inputs = gaussian(50, 6, seed=7)
    np.testing.assert_allclose(restored(inputs), source(inputs), atol=1e-11)


def test_missing_neuron_is_not_made_up_for():
    source = teacher((6, 4, 2), "tanh")
    first, last = source.layers
    start = source.replace(
        layers=(Layer(first.weight[:3], first.bias[:3]), Layer(last.weight[:, :3], last.bias))
    )
    found, _ = completed(source, start)
    assert not found.rebuilt.exact
    assert found.held_out > 1e-4
    assert found.rebuilt.network.hidden_widths == (3,)


def test_what_is_not_exact_within_the_subspace_is_not_exact():
    source = teacher((6, 3, 2), "tanh")
    found, _ = completed(source, off_by(source, 1e-4), exact=False)
    assert not found.rebuilt.exact
    assert not completed(source, off_by(source, 1e-4))[0].spare


def test_weights_along_known_directions_stay():
    source = teacher((6, 3, 2), "tanh")
    wrong = off_by(source, 1e-4)
    first, last = wrong.layers
    wrong = wrong.replace(layers=(Layer(first.weight + 1e-3 * KNOWN[:, 0], first.bias), last))
    found, _ = completed(source, wrong)
    restored = found.standard.restore(found.rebuilt.network)
    along = restored.layers[0].weight @ KNOWN
    np.testing.assert_allclose(along, wrong.layers[0].weight @ KNOWN, atol=1e-12)
    assert not found.rebuilt.exact


def test_rounding_of_the_known_weights_is_polished_away():
    source = teacher((6, 3, 2), "tanh")
    wrong = off_by(source, 1e-4)
    first, last = wrong.layers
    wrong = wrong.replace(layers=(Layer(first.weight + 1e-13 * KNOWN[:, 0], first.bias), last))
    found, bench = completed(source, wrong)
    assert found.rebuilt.exact
    assert found.rebuilt.loss <= 30.0 * bench.floor(bench.as_candidate(found.rebuilt.network))


def test_differences_fill_in_for_random_questions():
    source = teacher((6, 3, 2), "tanh")
    step = 1e-3
    bases = gaussian(3, 6, seed=5)
    rows = np.concatenate([np.concatenate([[x], x + step * np.eye(6)]) for x in bases])

    def made(standard):
        pairs = TrainingData(standard.inputs(rows), standard.targets(source(rows)))
        length = float(np.median(standard.input_scale)) / step
        return Differences(pairs, 7, length, length)

    # Three random questions give 6 equations for the 12 weights off the known directions.
    found, _ = completed(source, off_by(source, 1e-4), rows=3, differences=made)
    restored = found.standard.restore(found.rebuilt.network)
    np.testing.assert_allclose(restored.input_vectors, source.input_vectors, atol=1e-9)


def recovered(source, *, budget, **options):
    calls: list[int] = []

    def oracle(rows):
        calls.append(len(rows))
        return source(rows)

    quick: dict[str, Any] = {"students": 4, "seed": 0, **options}
    recovery = eac.recover(
        oracle,
        inputs=eac.Gaussian(source.input_size),
        activation=source.activation,
        max_queries=budget,
        **quick,
    )
    assert sum(calls) == recovery.queries <= budget
    return recovery


@pytest.mark.parametrize(
    ("activation", "large"), [("tanh", False), ("tanh", True), ("relu", False)]
)
def test_teacher_of_few_directions_is_recovered_over_all_inputs(activation, large, monkeypatch):
    if large:
        monkeypatch.setattr(workbench, "MOST_DENSE", 100)
        monkeypatch.setattr("expand_and_cluster.verdict.conditioning.MOST_DENSE", 100)
    source = network_of((24, 3, 2), activation)
    recovery = recovered(source, budget=2500)
    assert recovery.settings["subspace_rank"] == 3
    assert recovery.settings["width"] == 6
    assert recovery.expansion is None
    assert recovery.verdict.identified, recovery.verdict.reasons
    assert recovery.network.widths == source.widths
    assert eac.compare(recovery.network, source).max_weight_error < 1e-9


def test_few_questions_are_judged_with_the_differences_that_they_rest_on():
    source = network_of((60, 4, 2), "tanh")
    recovery = recovered(source, budget=760)
    assert recovery.settings["draft"].startswith("4 neurons read off")
    # Random questions alone are fewer equations than weights off the subspace.
    assert recovery.settings["questions_over_all_inputs"] * 2 < 4 * 56
    assert recovery.verdict.identified, recovery.verdict.reasons
    assert "small differences" in recovery.verdict.reasons[0]
    error = eac.compare(recovery.network, source).max_weight_error
    assert error < 1e-7
    assert recovery.settings["rounding_floor"] < 1e-13


def test_a_neuron_that_contributes_little_is_no_less_recovered():
    source = network_of((24, 3, 3), "g")
    source.layers[1].weight[:, 0] *= 0.004
    recovery = recovered(source, budget=4000)
    assert recovery.settings["found_by"] == "second derivatives of round 1"
    assert recovery.verdict.identified, recovery.verdict.reasons
    assert eac.compare(recovery.network, source).max_weight_error < 1e-9
