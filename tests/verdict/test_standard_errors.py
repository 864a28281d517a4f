"""Standard errors are as large as the errors are."""

import numpy as np
import pytest
from scipy.stats import binom, chi2
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.students.standardisation import Standardisation
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.verdict.linearised import linearise
from expand_and_cluster.verdict.noise import NoiseHypothesis
from expand_and_cluster.verdict.standard_errors import covariance

DRAWS, ROWS, NOISE = 100, 240, 1e-3
# Chance that a right statement about all weights of a network fails here.
LEVEL = 1e-3


def flat(network: Network) -> np.ndarray:
    parts = [np.ravel(part) for layer in network.layers for part in (layer.weight, layer.bias)]
    return np.concatenate(parts)


@pytest.mark.parametrize("outputs", [1, 2])
def test_intervals_cover_the_truth_at_their_stated_rate(outputs):
    """Refits under many draws of noise, each with its own estimate of the noise.

    Counts of covered weights are binomial and sums of squared deviations follow a chi-square
    distribution; both are held to their quantiles, with a chance of one in a thousand to fail.
    """
    source = teacher((2, 2, outputs), "g")
    inputs = gaussian(ROWS + 20, 2)
    rng = np.random.default_rng(0)
    deviations = []
    for _ in range(DRAWS):
        answers = source(inputs) + NOISE * rng.normal(size=(len(inputs), outputs))
        hypothesis = NoiseHypothesis(
            QueryPairs(inputs[:ROWS], answers[:ROWS]), QueryPairs(inputs[ROWS:], answers[ROWS:])
        )
        found = hypothesis.explain(source)
        assert found is not None
        errors = found.errors.restored(found.standard)
        moved = flat(errors.network) - flat(source)
        deviations.append(moved / flat(errors.mapped(np.eye(outputs))))
        assert found.noise == pytest.approx(NOISE, rel=0.25)
    measured = np.array(deviations)
    weights = measured.shape[1]
    covered = (np.abs(measured) <= 1.96).sum(axis=0)
    # Estimating the noise from some 230 equations widens the tails by less than a tenth of a
    # percent.
    assert covered.min() >= binom.ppf(LEVEL / (3 * weights), DRAWS, 0.949)
    squares = np.sum(measured**2, axis=0)
    low, high = chi2.ppf([LEVEL / (3 * weights), 1 - LEVEL / (3 * weights)], DRAWS)
    assert squares.min() >= 0.97 * low
    assert squares.max() <= 1.03 * high


def moments_of(network, inputs):
    return linearise(network, TrainingData(inputs, network(inputs)))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_errors_are_the_inverse_of_a_dense_jacobian(activation):
    source = teacher((3, 2, 2), activation)
    inputs = gaussian(300, 3)
    found = covariance(source, moments_of(source, inputs), 0.1)
    assert found is not None
    step = 1e-6
    sizes = [part.shape for layer in source.layers for part in (layer.weight, layer.bias)]

    def outputs_at(values):
        ends = np.cumsum([np.prod(size) for size in sizes])[:-1]
        parts = [p.reshape(s) for p, s in zip(np.split(values, ends), sizes, strict=True)]
        layers = (Layer(parts[0], parts[1]), Layer(parts[2], parts[3]))
        return source.replace(layers=layers)(inputs).ravel()

    middle = flat(source)
    jacobian = np.stack(
        [
            (outputs_at(middle + step * one) - outputs_at(middle - step * one)) / (2 * step)
            for one in np.eye(len(middle))
        ],
        axis=1,
    )
    if activation == "relu":
        # With the lengths of input vectors kept: moves at right angles to them.
        kept = np.zeros((2, len(middle)))
        for k, vector in enumerate(source.input_vectors):
            kept[k, 3 * k : 3 * k + 3], kept[k, 6 + k] = vector[:3], vector[3]
        allowed = np.linalg.svd(kept)[2][2:].T
        inner = np.linalg.inv(allowed.T @ jacobian.T @ jacobian @ allowed)
        dense = allowed @ inner @ allowed.T
    else:
        dense = np.linalg.inv(jacobian.T @ jacobian)
    np.testing.assert_allclose(
        flat(found.mapped(np.eye(2))), 0.1 * np.sqrt(np.diag(dense)), rtol=1e-4
    )


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_raw_coordinates_give_the_same_errors_as_their_own_jacobian(activation):
    source = teacher((3, 2, 2), activation)
    raw = gaussian(300, 3) * [1.0, 5.0, 0.2] + [0.0, 3.0, -1.0]
    centre, scale = raw.mean(axis=0), raw.std(axis=0)
    standard = Standardisation(centre, scale, np.array([0.5, -1.0]), np.array([2.0, 2.0]))
    found = covariance(source, moments_of(source, standard.inputs(raw)), 0.1)
    assert found is not None
    restored = found.restored(standard)
    own = covariance(restored.network, moments_of(restored.network, raw), 0.2)
    assert own is not None
    np.testing.assert_allclose(
        flat(restored.mapped(np.eye(2))), flat(own.mapped(np.eye(2))), rtol=1e-6
    )


def test_inputs_that_never_vary_have_infinite_errors():
    source, inputs = teacher((3, 2, 1), "tanh"), gaussian(200, 3)
    inputs[:, 1] = 0.5
    found = covariance(source, moments_of(source, inputs), 0.1)
    assert found is not None
    errors = found.mapped(np.eye(1))
    assert np.isinf(errors.layers[0].weight[:, 1]).all()
    assert np.isfinite(errors.layers[0].weight[:, [0, 2]]).all()
    assert np.isfinite(errors.layers[1].weight).all()


def test_a_neuron_to_spare_has_no_errors():
    source, inputs = teacher((3, 2, 1), "tanh"), gaussian(200, 3)
    first, last = source.layers
    twice = source.replace(
        layers=(
            Layer(first.weight[[0, 1, 1]], first.bias[[0, 1, 1]]),
            Layer(last.weight[:, [0, 1, 1]] * np.array([1.0, 0.5, 0.5]), last.bias),
        )
    )
    assert covariance(twice, moments_of(twice, inputs), 0.1) is None
