import numpy as np
import pytest
from tests.oracles.least_squares import fitted_loss
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.candidate import Workbench
from expand_and_cluster.students.training import TrainingData

SAMPLES = 250


def bench_for(source, *, samples=SAMPLES, **options):
    inputs = gaussian(samples, source.input_size)
    return Workbench(TrainingData(inputs, source(inputs)), source.activation, **options)


def rough(source, size=0.1):
    rng = np.random.default_rng(3)
    return source.input_vectors + size * rng.normal(size=source.input_vectors.shape)


def loss_without(bench, candidate, neuron):
    """Solved by another routine, from the activations of the neurons that are left."""
    present = candidate.present.copy()
    if neuron is not None:
        present[neuron] = False
    vectors = candidate.network.input_vectors[present]
    return fitted_loss(
        vectors, bench.training.inputs, bench.training.targets, bench.activation.name, bench.skip
    )


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
