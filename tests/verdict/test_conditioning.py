import numpy as np
import pytest
from tests.oracles import jacobian
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.verdict.conditioning import analyse_conditioning

SAMPLES = 150


def dense_gram(network, inputs):
    """Jacobian products of all weights, from the brute-force Jacobian."""
    last = network.layers[1]
    skip = network.skip is not None
    constants = last.bias[:, None]
    if skip:
        constants = np.hstack([network.skip.weight, (last.bias + network.skip.bias)[:, None]])
    shape = (network.hidden_widths[0], inputs.shape[1] + 1, *constants.shape)
    flat = jacobian.flatten(network.input_vectors, last.weight, constants)
    targets = np.zeros((len(inputs), constants.shape[0]))
    dense = jacobian.dense(flat, shape, inputs, targets, network.activation.name, skip=skip)[1]
    return dense.T @ dense


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", ["g", "tanh"])
def test_amplification_is_the_spread_of_least_squares_estimates(activation, outputs, skip):
    network = teacher((3, 3, outputs), activation)
    if skip:
        rng = np.random.default_rng(0)
        network = network.replace(skip=Layer(rng.normal(size=(outputs, 3)), np.zeros(outputs)))
    inputs = gaussian(SAMPLES, 3)
    found = analyse_conditioning(network, TrainingData(inputs, network(inputs)))
    covariance = np.linalg.inv(dense_gram(network, inputs))
    wanted = np.sqrt(np.diag(covariance)[:12]).reshape(3, 4)
    # A Gram matrix of condition 1e6 leaves nine or ten digits of its inverse.
    np.testing.assert_allclose(found.amplification, wanted, rtol=1e-7)


def test_amplification_is_what_noise_does():
    """Refit to noisy outputs, to first order in the noise."""
    network = teacher((2, 2, 1), "tanh")
    inputs = gaussian(SAMPLES, 2)
    found = analyse_conditioning(network, TrainingData(inputs, network(inputs)))
    flat = jacobian.flatten(network.input_vectors, network.layers[1].weight, network.layers[1].bias)
    dense = jacobian.dense(flat, (2, 3, 1, 1), inputs, network(inputs), "tanh")[1]
    noise = np.random.default_rng(0).normal(size=(SAMPLES, 4000))
    moves = np.linalg.lstsq(dense, noise, rcond=None)[0][:6]
    # A standard deviation from 4,000 draws is right to 1.1 %.
    np.testing.assert_allclose(moves.std(axis=1), found.amplification.ravel(), rtol=0.06)


def test_smallest_singular_value_is_relative_and_without_units():
    network = teacher((3, 3, 2), "tanh")
    inputs = gaussian(SAMPLES, 3)
    gram = dense_gram(network, inputs)
    reduced = gram[:12, :12] - gram[:12, 12:] @ np.linalg.solve(gram[12:, 12:], gram[12:, :12])
    scale = np.sqrt(np.diag(reduced))
    values = np.linalg.eigvalsh(reduced / np.outer(scale, scale))
    found = analyse_conditioning(network, TrainingData(inputs, network(inputs)))
    assert found.smallest == pytest.approx(np.sqrt(values[0] / values[-1]), rel=1e-7)
    # Stretching an input and shrinking its weights is the same problem in other units.
    stretch = np.array([1.0, 1e-3, 50.0])
    first, last = network.layers
    stretched = Network.from_arrays(
        [(first.weight / stretch, first.bias), (last.weight, last.bias)], "tanh"
    )
    data = TrainingData(inputs * stretch, network(inputs))
    other = analyse_conditioning(stretched, data)
    assert other.smallest == pytest.approx(found.smallest, rel=1e-6)
    np.testing.assert_allclose(
        other.amplification[:, :3] * stretch, found.amplification[:, :3], rtol=1e-6
    )


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_free_scale_is_no_uncertainty(activation):
    network = teacher((3, 3, 1), activation)
    inputs = gaussian(600, 3)
    found = analyse_conditioning(network, TrainingData(inputs, network(inputs)))
    assert np.all(np.isfinite(found.amplification))
    assert found.smallest > 1e-3
    if activation == "relu":
        # The direction of the input vector is what is measured: across it, the pseudo-inverse.
        gram = dense_gram(network, inputs)
        reduced = gram[:12, :12] - gram[:12, 12:] @ np.linalg.solve(gram[12:, 12:], gram[12:, :12])
        across = np.diag(np.linalg.pinv(reduced, rcond=1e-10, hermitian=True)).reshape(3, 4)
        ratio = (found.amplification**2).sum(axis=1) / across.sum(axis=1)
        # The fixed direction adds less than one of the other three does on average.
        assert np.all((ratio > 1.0 - 1e-6) & (ratio < 4.0 / 3.0))


def test_input_that_never_varies_is_not_held_while_the_others_are():
    network = teacher((3, 3, 1), "g")
    inputs = gaussian(300, 3)
    inputs[:, 1] = 0.0
    found = analyse_conditioning(network, TrainingData(inputs, network(inputs)))
    assert np.all(np.isinf(found.amplification[:, 1]))
    assert np.all(np.isfinite(found.amplification[:, [0, 2, 3]]))
    assert found.smallest > 1e-6


@pytest.mark.parametrize("activation", ["g", "tanh"])
def test_duplicate_neuron_is_not_held(activation):
    network = teacher((3, 3, 1), activation)
    first, last = network.layers
    rows, share = [0, 1, 2, 0], np.array([0.4, 1.0, 1.0, 0.6])
    doubled = Network.from_arrays(
        [(first.weight[rows], first.bias[rows]), (share * last.weight[:, rows], last.bias)],
        activation,
    )
    inputs = gaussian(300, 3)
    found = analyse_conditioning(doubled, TrainingData(inputs, network(inputs)))
    assert np.all(found.amplification[[0, 3]] > 1e4)
    assert np.all(found.amplification[[1, 2]] < 1e4)


def test_neuron_without_output_weights_is_not_held():
    network = teacher((3, 3, 1), "g")
    network.layers[1].weight[0, 2] = 0.0
    inputs = gaussian(300, 3)
    found = analyse_conditioning(network, TrainingData(inputs, network(inputs)))
    assert np.all(np.isinf(found.amplification[2]))
    assert np.all(np.isfinite(found.amplification[:2]))


def test_too_few_pairs_hold_nothing():
    network = teacher((3, 3, 1), "tanh")
    inputs = gaussian(9, 3)
    found = analyse_conditioning(network, TrainingData(inputs, network(inputs)))
    assert np.all(found.amplification > 1e4)


@pytest.mark.parametrize("activation", ["g", "tanh", "relu"])
def test_constant_neuron_is_not_held(activation):
    """Its bias can move, and the output bias makes up for it."""
    network = teacher((3, 3, 1), activation)
    first, last = network.layers
    spare = Network.from_arrays(
        [
            (np.vstack([first.weight, np.zeros(3)]), np.append(first.bias, 1.0)),
            (np.hstack([last.weight, [[0.5]]]), last.bias),
        ],
        activation,
    )
    inputs = gaussian(300, 3)
    found = analyse_conditioning(spare, TrainingData(inputs, network(inputs)))
    assert np.isinf(found.amplification[3]).any()
    assert np.all(np.isfinite(found.amplification[:3]))


def test_off_bound_neuron_is_not_held():
    """All the data lie on one side of its hyperplane: an affine map of which much is free."""
    network = teacher((3, 3, 1), "relu")
    first, last = network.layers
    spare = Network.from_arrays(
        [
            (np.vstack([first.weight, [0.2, -0.3, 0.1]]), np.append(first.bias, 9.0)),
            (np.hstack([last.weight, [[0.5]]]), last.bias),
        ],
        "relu",
    )
    inputs = gaussian(300, 3)
    found = analyse_conditioning(spare, TrainingData(inputs, network(inputs)))
    assert np.isinf(found.amplification[3]).any()
    assert np.all(np.isfinite(found.amplification[:3]))
