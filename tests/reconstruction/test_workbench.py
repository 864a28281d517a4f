import time

import numpy as np
import pytest
from tests.oracles.least_squares import fitted_loss
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.progress import Progress
from expand_and_cluster.reconstruction import least_squares, workbench
from expand_and_cluster.reconstruction.ordinary import ordinary_error, without_far
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData

SAMPLES = 250


def bench_for(source, *, samples=SAMPLES, **options):
    inputs = gaussian(samples, source.input_size)
    return Workbench(TrainingData(inputs, source(inputs)), source.activation, **options)


def rough(source, size=0.1):
    rng = np.random.default_rng(3)
    return source.input_vectors + size * rng.normal(size=source.input_vectors.shape)


def rough_layer(source):
    """A first layer near the source's."""
    vectors = rough(source)
    return Layer(vectors[:, :-1], vectors[:, -1])


def loss_without(bench, candidate, neuron):
    """Solved by another routine, from the activations of the neurons that are left."""
    present = candidate.present.copy()
    if neuron is not None:
        present[neuron] = False
    vectors = candidate.network.input_vectors[present]
    return fitted_loss(
        vectors, bench.training.inputs, bench.training.targets, bench.activation.name, bench.skip
    )


def test_with_fewer_rows_than_features_every_neuron_is_to_spare():
    source = teacher((4, 3, 1), "relu")
    bench = bench_for(source, samples=5, skip=True)
    candidate = bench.start(source.input_vectors, 3)
    assert np.all(bench.removal_costs(candidate) < 1e-20)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
def test_output_weights_are_least_squares(outputs, skip):
    source = teacher((3, 4, outputs), "gelu")
    bench = bench_for(source, skip=skip)
    candidate = bench.start(rough(source), 6)
    assert candidate.width == 4
    assert candidate.loss == pytest.approx(loss_without(bench, candidate, None), rel=1e-9)
    compact = candidate.compact()
    error = compact(bench.training.inputs) - bench.training.targets
    assert np.mean(error**2) == pytest.approx(candidate.loss, rel=1e-9)
    assert compact.hidden_widths == (4,)
    assert (compact.skip is not None) == skip
    np.testing.assert_array_equal(compact.input_vectors, rough(source))


def test_a_sample_may_count_less_in_output_weights():
    """As often as its weight says: two for one is that sample twice."""
    source = teacher((3, 4, 2), "gelu")
    bench = bench_for(source)
    present = np.ones(4, bool)
    network = source.replace(layers=(rough_layer(source), source.layers[1]))
    weights = np.random.default_rng(5).integers(0, 3, size=SAMPLES)
    found = bench.solve_outputs(network, present, weights.astype(float))
    rows = np.repeat(np.arange(SAMPLES), weights)
    often = TrainingData(bench.training.inputs[rows], bench.training.targets[rows])
    wanted = Workbench(often, source.activation).solve_outputs(network, present)
    np.testing.assert_allclose(
        found.network.layers[1].weight, wanted.network.layers[1].weight, rtol=1e-9
    )
    error = found.network(bench.training.inputs) - bench.training.targets
    assert found.loss == pytest.approx(np.mean(error**2), rel=1e-12)


@pytest.mark.parametrize("off", [0.3, 30.0])
def test_output_weights_without_samples_that_are_far_off(off):
    """Exact on all others, whatever a twentieth of them says."""
    source = teacher((3, 4, 2), "gelu")
    inputs = gaussian(400, 3)
    targets = source(inputs).copy()
    targets[::20] += off * np.random.default_rng(2).normal(size=(20, 2))
    bench = Workbench(TrainingData(inputs, targets), source.activation)
    candidate = without_far(bench, bench.start(source.input_vectors, 4))
    np.testing.assert_allclose(
        candidate.network.layers[1].weight, source.layers[1].weight, atol=1e-9
    )
    assert ordinary_error(bench, candidate) < 1e-18


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(("activation", "outputs"), [("g", 1), ("tanh", 3), ("relu", 2)])
def test_removal_costs_are_what_solving_anew_gives(activation, outputs, skip):
    source = teacher((3, 5, outputs), activation)
    bench = bench_for(source, skip=skip)
    candidate = bench.start(rough(source)[:4], 6)  # a neuron is missing: the loss is not zero
    costs = bench.removal_costs(candidate)
    wanted = [loss_without(bench, candidate, k) - candidate.loss for k in range(4)]
    np.testing.assert_allclose(costs[:4], wanted, rtol=1e-8)
    assert np.all(np.isinf(costs[4:]))


def test_removing_an_exact_duplicate_costs_nothing():
    source = teacher((3, 3, 1), "g")
    bench = bench_for(source)
    candidate = bench.start(np.vstack([source.input_vectors, source.input_vectors[:1]]), 4)
    costs = bench.removal_costs(candidate)
    allowed = 10.0 * bench.floor(candidate)
    assert costs[0] <= allowed
    assert costs[3] <= allowed
    # The direction that is lost in rounding touches the others' costs by little.
    wanted = [loss_without(bench, candidate, neuron) for neuron in (1, 2)]
    np.testing.assert_allclose(costs[1:3], wanted, rtol=1e-2)


def test_removing_what_is_affine_on_the_data_costs_nothing_beside_a_skip():
    """An off-bound neuron: its hyperplane has all the data on one side."""
    source = teacher((3, 2, 1), "relu")
    bench = bench_for(source, skip=True)
    outside = np.array([[0.3, -0.2, 0.1, 9.0]])
    candidate = bench.start(np.vstack([source.input_vectors, outside]), 4)
    costs = bench.removal_costs(candidate)
    assert costs[2] <= 10.0 * bench.floor(candidate)
    assert costs[:2].min() > 1e-3


def test_removing_a_constant_neuron_costs_nothing():
    source = teacher((3, 2, 1), "tanh")
    bench = bench_for(source)
    constant = np.array([[0.0, 0.0, 0.0, 0.7]])
    candidate = bench.start(np.vstack([source.input_vectors, constant]), 3)
    assert bench.removal_costs(candidate)[2] <= 10.0 * bench.floor(candidate)


@pytest.mark.parametrize("activation", ["g", "tanh", "gelu"])
def test_polish_ends_at_rounding(activation):
    source = teacher((3, 3, 2), activation)
    bench = bench_for(source)
    candidate = bench.start(rough(source, 0.02), 4)
    assert not bench.at_floor(candidate)
    polished = bench.polish(candidate)
    assert bench.at_floor(polished)
    np.testing.assert_array_equal(polished.present, candidate.present)
    np.testing.assert_allclose(polished.compact().input_vectors, source.input_vectors, atol=1e-11)


def test_polish_never_returns_something_worse():
    source = teacher((3, 3, 1), "g")
    bench = bench_for(source)
    exact = bench.start(source.input_vectors, 3)
    assert bench.polish(exact).loss <= exact.loss
    assert bench.polish(exact, steps=0).loss <= exact.loss


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", ["g", "tanh", "relu"])
def test_floor_lies_just_above_the_rounding_of_the_exact_solution(activation, outputs):
    source = teacher((4, 6, outputs), activation)
    bench = bench_for(source)
    exact = bench.start(source.input_vectors, 6)
    floor = bench.floor(exact)
    assert 1e-32 <= floor <= 1e-27
    assert bench.at_floor(exact)
    # The eleventh digit is already seen as an error.
    off = bench.start(rough(source, 1e-11), 6)
    assert not bench.at_floor(off)


def test_floor_grows_with_large_terms_that_cancel_and_with_rounded_answers():
    source = teacher((4, 6, 1), "tanh")
    bench = bench_for(source)
    exact = bench.start(source.input_vectors, 6)
    first, last = source.layers
    layers = [(first.weight, first.bias), (1e4 * last.weight, last.bias)]
    large = bench.as_candidate(Network.from_arrays(layers, "tanh"))
    assert bench.floor(large) > 1e6 * bench.floor(exact)
    rounded = bench_for(source, noise=1e-7)
    assert rounded.floor(exact) == pytest.approx(bench.floor(exact) + 1e-14, rel=1e-12)


def test_finished_network_has_the_floor_of_its_candidate():
    source = teacher((4, 3, 2), "tanh")
    bench = bench_for(source)
    exact = bench.start(source.input_vectors, 5)
    assert bench.floor(bench.as_candidate(exact.compact())) == pytest.approx(bench.floor(exact))
    assert bench.as_candidate(source).width == 3


@pytest.fixture
def without_matrix(monkeypatch):
    """Every candidate counts as large."""
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)


@pytest.mark.usefixtures("without_matrix")
@pytest.mark.parametrize("activation", ["g", "tanh"])
def test_large_candidates_are_polished_without_a_matrix(activation):
    source = teacher((3, 4, 2), activation)
    reports: list[Progress] = []
    bench = bench_for(source, report=reports.append)
    padded = bench.start(rough(source, 0.02), 6)
    polished = bench.polish(padded)
    assert bench.at_floor(polished)
    np.testing.assert_array_equal(polished.present, padded.present)
    np.testing.assert_allclose(polished.compact().input_vectors, source.input_vectors, atol=1e-10)
    # Absent neurons stay in their places.
    np.testing.assert_array_equal(polished.network.input_vectors[4:], 0.0)
    np.testing.assert_array_equal(polished.network.output_vectors[4:], 0.0)
    assert {report.stage for report in reports} == {"polish"}
    assert [report.done for report in reports] == list(range(1, len(reports) + 1))
    shown = reports[-1].losses
    assert shown is not None
    assert shown[0] == pytest.approx(np.sqrt(polished.loss), rel=1e-12)


@pytest.mark.parametrize(("cheap", "told"), [(0.0, True), (1e12, False)])
def test_steps_that_take_long_are_reported(cheap, told, monkeypatch):
    monkeypatch.setattr(workbench, "CHEAP", cheap)
    source = teacher((3, 4, 2), "tanh")
    reports: list[Progress] = []
    bench = bench_for(source, report=reports.append)
    start = bench.start(rough(source, 0.02), 4)
    polished = bench.polish(start)
    assert bool(reports) is told
    if told:
        assert {report.note for report in reports} == {"4 neurons"}
        first, last = reports[0], reports[-1]
        assert (first.done, first.total) == (0, 200)
        assert last.done > 0
        for report, loss in ((first, start.loss), (last, polished.loss)):
            assert report.losses is not None
            assert report.losses[0] == pytest.approx(np.sqrt(loss), rel=1e-6)


def test_both_ways_of_polishing_agree_on_loss_and_network(monkeypatch):
    source = teacher((3, 4, 2), "gelu")
    bench = bench_for(source, skip=True)
    start = bench.start(rough(source, 0.02), 4)
    dense = bench.polish(start)
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    large = bench.polish(start)
    assert bench.at_floor(dense)
    assert bench.at_floor(large)
    # Rounding of the answers, through a problem whose condition is some hundreds.
    np.testing.assert_allclose(large.network.input_vectors, dense.network.input_vectors, atol=1e-10)
    error = large.compact()(bench.training.inputs) - bench.training.targets
    assert np.mean(error**2) == pytest.approx(large.loss, rel=1.0, abs=1e-29)


@pytest.mark.usefixtures("without_matrix")
def test_large_polish_never_returns_something_worse():
    source = teacher((3, 3, 1), "g")
    bench = bench_for(source)
    exact = bench.start(source.input_vectors, 3)
    assert bench.polish(exact).loss <= exact.loss
    broken = bench.start(source.input_vectors, 3)
    broken.network.layers[0].weight[0, 0] = np.nan
    assert bench.polish(broken) is broken


@pytest.mark.usefixtures("without_matrix")
def test_deadline_stops_a_large_polish():
    source = teacher((3, 4, 2), "tanh")
    bench = bench_for(source, deadline=time.monotonic() - 1.0)
    start = bench.start(rough(source), 4)
    polished = bench.polish(start)
    np.testing.assert_array_equal(polished.network.input_vectors, start.network.input_vectors)


def test_only_small_candidates_have_cheap_steps(monkeypatch):
    source = teacher((3, 4, 2), "tanh")
    bench = bench_for(source)
    small = bench.start(source.input_vectors, 4)
    assert bench.cheap(small)
    # 4 neurons of 4 weights each.
    monkeypatch.setattr(workbench, "MOST_DENSE", 15)
    assert not bench.cheap(small)
    monkeypatch.setattr(workbench, "MOST_DENSE", 16)
    assert bench.cheap(small)


@pytest.mark.parametrize("skip", [False, True])
def test_least_squares_of_large_designs_are_those_of_small_ones(skip, monkeypatch):
    source = teacher((3, 4, 2), "gelu")
    bench = bench_for(source, skip=skip)
    wanted = bench.start(rough(source), 6)
    exact = bench.start(source.input_vectors, 6)
    monkeypatch.setattr(least_squares, "MOST_FACTORED", 0)
    monkeypatch.setattr(workbench, "ROWS", 64)
    found = bench.start(rough(source), 6)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-10)
    np.testing.assert_allclose(
        found.network.output_vectors, wanted.network.output_vectors, atol=1e-9
    )
    assert bench.at_floor(bench.start(source.input_vectors, 6))
    # Copies make the normal equations singular; the loss is that without them.
    twice = bench.start(np.vstack([source.input_vectors, source.input_vectors[:1]]), 6)
    assert bench.at_floor(twice)
    assert bench.at_floor(exact)
