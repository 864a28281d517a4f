"""The synthetic family is the paper's (A.4), and every neuron of it can be found."""

from itertools import combinations

import jax.numpy as jnp
import numpy as np
import pytest

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.precision import double
from expand_and_cluster.teachers import synthetic, synthetic_deep, synthetic_inputs

STEP = np.sqrt(3.0)  # three times sqrt(3)/3


def is_multiple(values, low, high):
    whole = np.round(values)
    return np.allclose(values, whole, atol=1e-12) and whole.min() >= low and whole.max() <= high


@pytest.mark.parametrize("width", [2, 4, 8])
@pytest.mark.parametrize("inputs", [2, 4, 8, 16, 32])
def test_weights_and_biases_are_from_the_paper_s_sets(inputs, width):
    teacher = synthetic(inputs, width, seed=3)
    assert teacher.widths == (inputs, width, 1)
    assert teacher.activation == catalogue["g"]
    assert teacher.skip is None
    weight, bias = teacher.layers[0].weight, teacher.layers[0].bias
    assert np.linalg.norm(weight, axis=1) == pytest.approx(3)
    largest = np.abs(weight).max(axis=1, keepdims=True)
    assert is_multiple(weight / largest, -1, 1)
    assert is_multiple(bias / STEP, -2, 2)
    output = teacher.layers[1].weight
    assert np.allclose(np.abs(output), np.abs(output[0, 0]), rtol=1e-14)


@pytest.mark.parametrize("activation", ["g", "tanh", "relu", "softplus"])
@pytest.mark.parametrize("inputs", [2, 32])
def test_the_output_is_standardised_over_the_inputs(activation, inputs):
    teacher = synthetic(inputs, 8, seed=1, activation=activation)
    outputs = teacher(synthetic_inputs(200_000, inputs, seed=99))
    # Mean and deviation of 200,000 draws have standard errors near 2e-3.
    assert abs(outputs.mean()) < 1e-2
    assert abs(outputs.std() - 1) < 1e-2


@pytest.mark.parametrize("activation", ["g", "tanh", "sigmoid", "gelu", "relu"])
def test_no_two_neurons_are_the_same_up_to_what_the_activation_hides(activation):
    hides_sign = activation != "g"
    for seed in range(10):
        vectors = synthetic(1, 5 if hides_sign else 10, seed, activation).input_vectors
        for u, v in combinations(vectors, 2):
            assert np.linalg.norm(u - v) > 1
            if hides_sign:
                assert np.linalg.norm(u + v) > 1


def test_all_values_of_the_sets_occur():
    teachers = [synthetic(4, 8, seed) for seed in range(6)]
    steps = {int(k) for t in teachers for k in np.round(np.asarray(t.layers[0].bias) / STEP)}
    assert steps == {-2, -1, 0, 1, 2}
    signs = {int(s) for t in teachers for w in (t.layers[0].weight, t.layers[1].weight)
             for s in np.sign(w).ravel()}  # fmt: skip
    assert signs == {-1, 0, 1}


@pytest.mark.parametrize(("activation", "most"), [("g", 10), ("tanh", 5)])
def test_more_neurons_than_there_are_is_refused(activation, most):
    assert synthetic(1, most, 0, activation).hidden_widths == (most,)
    with pytest.raises(InvalidInputError, match=f"only {most} different"):
        synthetic(1, most + 1, 0, activation)


def test_the_seed_decides():
    one, same, other = synthetic(8, 4, 5), synthetic(8, 4, 5), synthetic(8, 4, 6)
    for k in range(2):
        assert np.array_equal(one.layers[k].weight, same.layers[k].weight)
        assert np.array_equal(one.layers[k].bias, same.layers[k].bias)
    assert not np.array_equal(one.layers[0].weight, other.layers[0].weight)
    assert np.array_equal(synthetic_inputs(5, 3, 1), synthetic_inputs(5, 3, 1))


def test_inputs_are_uniform_with_unit_variance():
    inputs = synthetic_inputs(100_000, 3, seed=4)
    assert inputs.shape == (100_000, 3)
    assert np.abs(inputs).max() <= np.sqrt(3)
    assert np.abs(inputs).max() > np.sqrt(3) - 1e-3
    assert inputs.mean(axis=0) == pytest.approx(0, abs=2e-2)
    assert np.cov(inputs.T) == pytest.approx(np.eye(3), abs=2e-2)


@pytest.mark.parametrize("widths", [(8, 4, 2, 1), (16, 8, 4, 2), (4, 6, 5, 3, 2)])
@pytest.mark.parametrize("activation", ["g", "relu", "tanh"])
def test_deep_layers_are_drawn_for_standardised_inputs(widths, activation):
    teacher = synthetic_deep(widths, seed=2, activation=activation)
    assert teacher.widths == widths
    values = synthetic_inputs(100_000, widths[0], seed=98)
    outputs = teacher(values)
    assert np.abs(outputs.mean(axis=0)).max() < 1e-2
    assert np.abs(outputs.std(axis=0) - 1).max() < 1e-2
    for k, layer in enumerate(teacher.layers[:-1]):
        weight, bias = np.asarray(layer.weight), np.asarray(layer.bias)
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        # In units of standardised inputs the layer is one of the shallow family.
        own, own_bias = weight * deviation, bias + weight @ mean
        assert np.linalg.norm(own, axis=1) == pytest.approx(3, rel=2e-2)
        relative = own / np.abs(own).max(axis=1, keepdims=True)
        assert np.abs(relative - np.round(relative)).max() < 2e-2
        assert np.abs(own_bias / STEP - np.round(own_bias / STEP)).max() < 4e-2
        z = values @ weight.T + bias
        assert np.all((z.min(axis=0) < 0) & (z.max(axis=0) > 0))
        if k > 0:
            assert np.all(np.any(weight != 0, axis=0))
        with double():
            values = np.asarray(teacher.activation(jnp.asarray(z)))


def test_every_hidden_neuron_is_used_even_by_a_single_one():
    for seed in range(4):
        teacher = synthetic_deep((4, 6, 1, 1), seed)
        assert np.all(np.asarray(teacher.layers[1].weight) != 0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: synthetic(0, 4, 0), "widths"),
        (lambda: synthetic(4, 0, 0), "widths"),
        (lambda: synthetic(4, 4, -1), "seed"),
        (lambda: synthetic(4, 4, 0, "cube"), "activation"),
        (lambda: synthetic_deep((4, 1), 0), "widths"),
        (lambda: synthetic_inputs(0, 4, 0), "count"),
        (lambda: synthetic_inputs(4, 0, 0), "input_size"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, words):
    with pytest.raises(InvalidInputError, match=words):
        call()
