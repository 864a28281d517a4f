"""Steps without a matrix end where dense methods end."""

import time

import numpy as np
import pytest
from scipy.optimize import least_squares
from tests.fitting.problems import flattened
from tests.oracles import jacobian
from tests.oracles.least_squares import fitted_loss
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.fitting import gauss_newton
from expand_and_cluster.fitting.gauss_newton import GaussNewton, GaussNewtonSettings
from expand_and_cluster.fitting.projection import frame_of
from expand_and_cluster.fitting.result import StopReason

WIDTHS = (6, 5, 3)
SAMPLES = 400
# Rounding of the answers, through a well-conditioned problem.
EXACT = 1e-11


def polish(network, inputs, targets, settings=None):
    """The network after a whole descent, and its mean squared error."""
    frame = frame_of(inputs, targets, skip=network.skip is not None)
    descent = GaussNewton(network, frame, settings)
    for _ in descent.run():
        pass
    return descent.network(), descent.loss


def nearby(network, size=0.05, seed=3):
    """The same network with its input vectors moved and its output weights forgotten."""
    rng = np.random.default_rng(seed)
    first, last = network.layers
    moved = Layer(
        first.weight + size * rng.normal(size=first.weight.shape),
        first.bias + size * rng.normal(size=first.bias.shape),
    )
    return network.replace(layers=(moved, Layer(0.0 * last.weight, 0.0 * last.bias)))


def descent_of(network, inputs, targets, settings=None, **options):
    frame = frame_of(inputs, targets, skip=network.skip is not None)
    return GaussNewton(network, frame, settings, **options)


def run(descent):
    for _ in descent.run():
        pass
    return descent


@pytest.fixture(scope="module")
def problem():
    source = teacher(WIDTHS, "tanh")
    inputs = gaussian(SAMPLES, 6)
    return source, inputs, source(inputs)


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("activation", ["g", "tanh", "softplus"])
def test_reaches_rounding_from_a_nearby_start(activation, single):
    source = teacher(WIDTHS, activation)
    inputs = gaussian(SAMPLES, 6)
    settings = GaussNewtonSettings(target=1e-29, single=single)
    found = run(descent_of(nearby(source), inputs, source(inputs), settings))
    assert found.loss < 1e-27
    assert found.stop in (StopReason.TARGET, StopReason.STALLED)
    np.testing.assert_allclose(flattened(found.network()), flattened(source), atol=EXACT * 10)


def test_reaches_rounding_with_kinks():
    source = teacher(WIDTHS, "relu")
    inputs = gaussian(SAMPLES, 6)
    network, loss = polish(nearby(source, 0.03), inputs, source(inputs))
    assert loss < 1e-27
    lengths, wanted = (
        np.linalg.norm(vectors, axis=1, keepdims=True)
        for vectors in (network.input_vectors, source.input_vectors)
    )
    np.testing.assert_allclose(
        network.input_vectors / lengths, source.input_vectors / wanted, atol=EXACT
    )
    np.testing.assert_allclose(
        network.output_vectors * lengths, source.output_vectors * wanted, atol=EXACT
    )


def test_skip_is_fitted_too():
    source = teacher((6, 3, 2), "gelu")
    rng = np.random.default_rng(0)
    source = source.replace(skip=Layer(rng.normal(size=(2, 6)), np.zeros(2)))
    start = nearby(source).replace(skip=Layer(np.zeros((2, 6)), np.ones(2)))
    inputs = gaussian(SAMPLES, 6)
    network, loss = polish(start, inputs, source(inputs))
    assert loss < 1e-26
    assert network.skip is not None
    assert source.skip is not None
    np.testing.assert_allclose(network.skip.weight, source.skip.weight, atol=1e-9)
    np.testing.assert_allclose(network(inputs), source(inputs), atol=1e-12)


def test_loss_is_that_of_the_network_and_never_rises(problem):
    source, inputs, targets = problem
    found = descent_of(nearby(source, 0.3), inputs, targets, GaussNewtonSettings(steps=6))
    assert found.loss == pytest.approx(
        fitted_loss(nearby(source, 0.3).input_vectors, inputs, targets, "tanh", False), rel=1e-9
    )
    seen = [found.loss]
    for _ in found.run():
        seen.append(found.loss)
        error = found.network()(inputs) - targets
        assert found.loss == pytest.approx(np.mean(error**2), rel=1e-9)
    assert found.stop == StopReason.STEPS
    assert [step for step, _ in found.history] == list(range(7))
    assert [loss for _, loss in found.history] == seen
    assert np.all(np.diff(seen) <= 0.0)
    assert seen[-1] < 0.1 * seen[0]
    assert 6 <= found.iterations <= 6 * 150


def test_twice_is_the_same(problem):
    source, inputs, targets = problem
    first, second = (
        run(descent_of(nearby(source), inputs, targets, GaussNewtonSettings(steps=5)))
        for _ in range(2)
    )
    assert first.history == second.history
    np.testing.assert_array_equal(flattened(first.network()), flattened(second.network()))


def test_deadline_in_the_past_leaves_the_input_vectors(problem):
    source, inputs, targets = problem
    start = nearby(source)
    found = run(descent_of(start, inputs, targets, deadline=time.monotonic() - 1.0))
    assert found.stop == StopReason.TIME
    assert found.step == 0
    np.testing.assert_array_equal(found.network().input_vectors, start.input_vectors)
    wanted = fitted_loss(start.input_vectors, inputs, targets, "tanh", False)
    assert found.loss == pytest.approx(wanted, rel=1e-9)


def test_long_steps_say_what_they_are_at_and_are_the_same_in_pieces(problem, monkeypatch):
    source, inputs, targets = problem
    settings = GaussNewtonSettings(steps=2, own=True, tolerance=1e-6)
    told: list[str] = []
    monkeypatch.setattr(gauss_newton, "PIECE", 2)
    pieces = descent_of(
        nearby(source), inputs, targets, settings, tell=lambda _, note: told.append(note)
    )
    run(pieces)
    assert "0 of 5 neurons measured" in told
    assert "2 of at most 150 iterations" in told
    monkeypatch.setattr(gauss_newton, "PIECE", 1000)
    whole = run(descent_of(nearby(source), inputs, targets, settings))
    assert pieces.iterations == whole.iterations
    np.testing.assert_allclose(pieces.history, whole.history, rtol=1e-9)


def test_target_ends_the_descent(problem):
    source, inputs, targets = problem
    found = run(descent_of(nearby(source), inputs, targets, GaussNewtonSettings(target=1e-6)))
    assert found.stop == StopReason.TARGET
    assert found.loss <= 1e-4
    exact = run(descent_of(source, inputs, targets, GaussNewtonSettings(target=1e-20)))
    assert (exact.stop, exact.step) == (StopReason.TARGET, 0)


def test_weights_that_are_no_numbers_end_at_once(problem):
    source, inputs, targets = problem
    start = nearby(source)
    start.layers[0].weight[1, 2] = np.nan
    found = run(descent_of(start, inputs, targets))
    assert found.stop == StopReason.DIVERGED
    assert found.step == 0
    assert not np.isfinite(found.loss)


def test_absent_neurons_stay_and_give_nothing(problem):
    source, inputs, targets = problem
    first, last = nearby(source).layers
    extra = np.random.default_rng(1).normal(size=(2, 7))
    order = [0, 1, 5, 2, 3, 6, 4]
    vectors = np.vstack([np.hstack([first.weight, first.bias[:, None]]), extra])[order]
    padded = Network(
        (Layer(vectors[:, :-1], vectors[:, -1]), Layer(np.zeros((3, 7)), last.bias)),
        source.activation,
    )
    present = np.array([True, True, False, True, True, False, True])
    found = run(descent_of(padded, inputs, targets, present=present))
    assert found.loss < 1e-27
    network = found.network()
    np.testing.assert_array_equal(network.input_vectors[~present], extra)
    np.testing.assert_array_equal(network.output_vectors[~present], 0.0)
    np.testing.assert_allclose(network.input_vectors[present], source.input_vectors, atol=EXACT)


def test_input_that_never_varies_leaves_its_weights_alone():
    source = teacher(WIDTHS, "tanh")
    inputs = gaussian(SAMPLES, 6)
    inputs[:, 2] = 0.0
    start = nearby(source)
    network, loss = polish(start, inputs, source(inputs))
    assert loss < 1e-27
    found, wanted = network.input_vectors, source.input_vectors
    np.testing.assert_allclose(found[:, 2], start.input_vectors[:, 2], atol=1e-14)
    others = [0, 1, 3, 4, 5, 6]
    np.testing.assert_allclose(found[:, others], wanted[:, others], atol=EXACT)


def test_copied_input_shares_the_move():
    """Two equal inputs: only the sum of their weights is seen, the difference stays."""
    source = teacher(WIDTHS, "tanh")
    inputs = gaussian(SAMPLES, 6)
    inputs[:, 1] = inputs[:, 0]
    start = nearby(source)
    network, loss = polish(start, inputs, source(inputs))
    assert loss < 1e-27
    found, first, wanted = (n.input_vectors for n in (network, start, source))
    np.testing.assert_allclose(found[:, 0] - found[:, 1], first[:, 0] - first[:, 1], atol=1e-13)
    np.testing.assert_allclose(found[:, :2].sum(axis=1), wanted[:, :2].sum(axis=1), atol=EXACT)


def test_directions_of_very_little_variance_are_found_too():
    source = teacher(WIDTHS, "tanh")
    spread = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 10**-4.5])
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(6, 6)))[0]
    inputs = gaussian(SAMPLES, 6) * spread @ turn
    network, loss = polish(nearby(source), inputs, source(inputs))
    assert loss < 1e-27
    # Along the weak direction answers say less by their variance's root.
    found, wanted = network.input_vectors[:, :6] @ turn.T, source.input_vectors[:, :6] @ turn.T
    np.testing.assert_allclose(found[:, :5], wanted[:, :5], atol=EXACT)
    np.testing.assert_allclose(found[:, 5], wanted[:, 5], atol=EXACT * 10**4.5)


@pytest.mark.parametrize("outputs", [1, 2])
def test_finds_the_minimum_that_scipy_finds(outputs):
    """Noisy targets: the minimum is not zero, and both methods must end in the same one."""
    source = teacher((2, 2, outputs), "tanh")
    inputs = gaussian(120, 2)
    targets = source(inputs) + 0.05 * np.random.default_rng(6).normal(size=(120, outputs))
    shape = (2, 3, outputs, 1)

    def dense(flat):
        return jacobian.dense(flat, shape, inputs, targets, "tanh")

    first = jacobian.flatten(source.input_vectors, source.layers[1].weight, source.layers[1].bias)
    theirs = least_squares(
        lambda flat: dense(flat)[0],
        first,
        jac=lambda flat: dense(flat)[1],  # type: ignore[arg-type]  # SciPy has no types; pyright guesses
        method="lm",
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
    )
    settings = GaussNewtonSettings(steps=100, progress=1e-12)
    network, loss = polish(nearby(source), inputs, targets, settings)
    assert loss == pytest.approx(2.0 * theirs.cost / (120 * outputs), rel=1e-9)
    wanted = theirs.x[:6].reshape(2, 3)
    # The loss is flat at its minimum: losses that agree to 1e-9 leave weights apart by its root.
    np.testing.assert_allclose(network.input_vectors, wanted, atol=1e-4)


def test_stalls_where_nothing_is_left_to_gain(problem):
    _, inputs, _ = problem
    targets = np.random.default_rng(8).normal(size=(SAMPLES, 3))
    found = run(descent_of(teacher(WIDTHS, "tanh"), inputs, targets, GaussNewtonSettings(steps=90)))
    assert found.stop == StopReason.STALLED
    assert found.step < 90


@pytest.mark.parametrize("own", [False, True])
def test_spoiled_samples_count_less_and_the_others_are_fitted(problem, own):
    """Two in a hundred answers are far off: least squares follow them, weighted steps do not."""
    source, inputs, targets = problem
    spoiled = targets.copy()
    spoiled[::50] += 3.0
    plain = GaussNewtonSettings(own=own)
    left = run(descent_of(nearby(source), inputs, spoiled, plain))
    ordinary = np.arange(SAMPLES) % 50 != 0

    def missed(found):
        return np.abs(found.network()(inputs) - targets)[ordinary].max()

    weighted = GaussNewtonSettings(own=own, robust=0.9)
    found = run(descent_of(nearby(source), inputs, spoiled, weighted))
    assert missed(found) < 1e-6
    assert missed(left) > 1e-2
    assert found.loss < 1e-3 * left.loss


def test_weights_change_nothing_about_an_exact_solution(problem):
    source, inputs, targets = problem
    settings = GaussNewtonSettings(target=1e-29, robust=0.9)
    found = run(descent_of(nearby(source), inputs, targets, settings))
    np.testing.assert_allclose(flattened(found.network()), flattened(source), atol=EXACT * 10)


def test_a_ridge_changes_nothing_about_an_exact_solution(problem):
    """It vanishes with the error, and with it what it does to output weights."""
    source, inputs, targets = problem
    settings = GaussNewtonSettings(target=1e-29, ridge=1e-2)
    found = run(descent_of(nearby(source), inputs, targets, settings))
    np.testing.assert_allclose(flattened(found.network()), flattened(source), atol=EXACT * 10)


def drifted(shift):
    """Softplus neurons; two of a start are shifted to where softplus is an exponential."""
    source = teacher((4, 4, 3), "softplus")
    inputs = gaussian(SAMPLES, 4)
    start = nearby(source, 0.1)
    first, last = start.layers
    bias = first.bias - shift * np.array([1.0, 1.0, 0.0, 0.0])
    skip = Layer(np.zeros((3, 4)), np.zeros(3))
    start = start.replace(layers=(Layer(first.weight, bias), last), skip=skip)
    return source, start, inputs


def test_a_ridge_leads_back_from_the_exponential_tail():
    """One step does; the same step without a ridge leaves a neuron out there."""
    source, start, inputs = drifted(9.0)
    farthest = {}
    for ridge in (0.0, 1e-2):
        settings = GaussNewtonSettings(steps=1, ridge=ridge)
        found = run(descent_of(start, inputs, source(inputs), settings))
        farthest[ridge] = found.network().layers[0].bias.min()
    assert farthest[0.0] < -8.0
    assert farthest[1e-2] > -2.0
