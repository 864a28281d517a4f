"""One form for equal networks: whatever order, signs and scales they come in."""

from itertools import pairwise

import numpy as np
import pytest

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.symmetries.canonical import canonical

RNG = np.random.default_rng(11)
INPUTS = RNG.normal(size=(60, 4))


def random_network(activation, widths, rng, skip=False):
    layers = [(rng.normal(size=(o, i)), rng.normal(size=o)) for i, o in pairwise(widths)]
    extra = (rng.normal(size=(widths[-1], widths[0])), rng.normal(size=widths[-1]))
    return Network.from_arrays(layers, activation, skip=extra if skip else None)


def disguised(network, rng):
    """Another network of the same function: every freedom that its class has is used."""
    symmetry = network.activation.symmetry
    rule, skip = symmetry.flip, network.skip
    layers = [(x.weight.copy(), x.bias.copy()) for x in network.layers]
    absorbs = skip is not None and len(layers) == 2
    for place in range(len(layers) - 1):
        (w, b), (v, c) = layers[place], layers[place + 1]
        order = rng.permutation(len(w))
        w, b, v = w[order], b[order], v[:, order]
        if rule is not None and (rule.linear == 0.0 or absorbs):
            for k in np.flatnonzero(rng.random(len(w)) < 0.5):
                if skip is not None:
                    slope = skip.weight - rule.linear * np.outer(v[:, k], w[k])
                    skip = Layer(slope, skip.bias - rule.linear * v[:, k] * b[k])
                c = c + rule.constant * v[:, k]
                w[k], b[k], v[:, k] = -w[k], -b[k], rule.sign * v[:, k]
        if symmetry.scale_free:
            scale = rng.uniform(0.2, 5.0, len(w))
            w, b, v = w * scale[:, None], b * scale, v / scale
        layers[place], layers[place + 1] = (w, b), (v, c)
    if skip is not None:  # how a constant is shared is free as well
        moved = rng.normal(size=len(skip.bias))
        skip = Layer(skip.weight, skip.bias + moved)
        layers[-1] = (layers[-1][0], layers[-1][1] - moved)
    return network.replace(layers=tuple(Layer(*pair) for pair in layers), skip=skip)


def difference(one, other):
    pairs = list(zip(one.layers, other.layers, strict=True))
    if one.skip is not None:
        pairs.append((one.skip, other.skip))
    return max(
        max(np.abs(a.weight - b.weight).max(), np.abs(a.bias - b.bias).max()) for a, b in pairs
    )


@pytest.mark.parametrize(
    ("widths", "skip"), [((4, 6, 2), False), ((4, 5, 1), True), ((4, 5, 4, 3), False)]
)
@pytest.mark.parametrize("activation", list(catalogue))
def test_equal_networks_have_one_form(activation, widths, skip):
    rng = np.random.default_rng(sum(widths))
    for _ in range(5):
        network = random_network(activation, widths, rng, skip)
        form = canonical(network)
        np.testing.assert_allclose(form(INPUTS), network(INPUTS), atol=1e-11)
        other = disguised(network, rng)
        np.testing.assert_allclose(other(INPUTS), network(INPUTS), atol=1e-11)
        assert difference(canonical(other), form) < 1e-11
        assert difference(canonical(form), form) == 0.0
        first, *others = network.layers
        moved = Layer(first.weight + 1e-4, first.bias)
        changed = network.replace(layers=(moved, *others))
        assert difference(canonical(changed), form) > 1e-6


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
def test_coordinates_at_zero_or_equal_decide_nothing(activation):
    weight = np.array([[0, 1, 0, 0], [0, -1, 1, 0], [0, 0, 0, 1], [2, 1, 0, 0], [1, 2, 0, 0.0]])
    network = Network.from_arrays(
        [(weight, np.zeros(5)), (RNG.normal(size=(2, 5)), [0.0, 0.0])], activation
    )
    form = canonical(network)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        other = disguised(network, rng)
        first = other.layers[0]
        noisy = Layer(
            first.weight + 1e-14 * rng.normal(size=weight.shape), first.bias - 1e-14 * rng.random(5)
        )
        other = other.replace(layers=(noisy, other.layers[1]))
        assert difference(canonical(other), form) < 1e-12


def test_signs_that_are_not_free_stay():
    """Without a skip there is no place for the affine map that a flip of softplus leaves."""
    network = random_network("softplus", (4, 3, 1), RNG)
    before = {tuple(row) for row in network.input_vectors}
    assert {tuple(row) for row in canonical(network).input_vectors} == before


def test_neurons_without_weights_and_copies_are_safe():
    vectors = np.array([[0, 0, 0, 0], [1, 2, 3, 4], [1, 2, 3, 4], [0, 0, 0, 0.0]])
    out = np.array([[1.0, 2.0, 3.0, 4.0]])
    for activation in ("relu", "tanh"):
        network = Network.from_arrays([(vectors, [0, 1, 1, 0]), (out, [0.0])], activation)
        turned = Network.from_arrays(
            [(vectors[::-1], [0, 1, 1, 0]), (out[:, ::-1], [0.0])], activation
        )
        assert difference(canonical(network), canonical(turned)) == 0.0


def test_a_symmetry_about_another_point():
    import jax.numpy as jnp

    def moved(z):
        return jnp.tanh(z - 0.5)

    network = random_network(moved, (4, 3, 2), RNG)
    first, last = network.layers
    opposite = network.replace(
        layers=(Layer(-first.weight, 1.0 - first.bias), Layer(-last.weight, last.bias))
    )
    np.testing.assert_allclose(opposite(INPUTS), network(INPUTS), atol=1e-12)
    assert difference(canonical(opposite), canonical(network)) < 1e-12


def test_ensembles_are_refused():
    network = random_network("tanh", (4, 3, 1), RNG)
    with pytest.raises(InvalidInputError, match="ensemble of 2"):
        canonical(Network.stack([network, network]))
