from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest

from expand_and_cluster.core.activations import catalogue, resolve
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.symmetries.relations import (
    equivalence_classes,
    find_relation,
    same_networks,
)

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(50, 3))


def network(activation, *, hidden=(4,), skip=False):
    widths = (3, *hidden, 2)
    layers = [(RNG.normal(size=(o, i)), RNG.normal(size=o)) for i, o in pairwise(widths)]
    extra = (RNG.normal(size=(2, 3)), RNG.normal(size=2)) if skip else None
    return Network.from_arrays(layers, activation, extra)


def relation(one, other):
    found = find_relation(resolve(one), resolve(other))
    assert found is not None
    return found


def test_sigmoid_is_tanh_of_half_of_it():
    found = relation("sigmoid", "tanh")
    assert vars(found) == pytest.approx(
        {"amount": 0.5, "stretch": 0.5, "shift": 0.0, "slope": 0.0, "constant": 0.5}
    )


def test_leaky_relu_is_relu_with_a_linear_part():
    assert relation("leaky_relu", "relu").slope == pytest.approx(0.01)
    assert not same_networks(catalogue["leaky_relu"], catalogue["relu"])


@pytest.mark.parametrize(
    ("one", "other"), [("gelu", "silu"), ("softplus", "relu"), ("elu", "selu")]
)
def test_others_are_not_related(one, other):
    assert find_relation(catalogue[one], catalogue[other]) is None


def test_a_shifted_function_of_the_users_own_is_recognised():
    def moved(z):
        return 3.0 * jnp.tanh(0.7 * z + 0.2) - 1.0

    assert same_networks(resolve("tanh"), resolve(moved))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(("one", "other"), [("tanh", "sigmoid"), ("leaky_relu", "relu")])
def test_a_rewritten_network_gives_the_same_outputs(one, other, skip):
    before = network(one, skip=skip)
    after = relation(one, other).rewrite(before, resolve(other))
    assert after.widths == before.widths
    assert after.activation.name == other
    assert (after.skip is None) == (one == "tanh" and not skip)
    np.testing.assert_allclose(after(INPUTS), before(INPUTS), rtol=0, atol=1e-13)


def test_several_hidden_layers_are_rewritten_where_nothing_is_left_over():
    before = network("sigmoid", hidden=(4, 5))
    after = relation("sigmoid", "tanh").rewrite(before, resolve("tanh"))
    np.testing.assert_allclose(after(INPUTS), before(INPUTS), rtol=0, atol=1e-13)
    with pytest.raises(InvalidInputError, match="linear part, which can be rewritten for one"):
        relation("relu", "leaky_relu").rewrite(
            network("relu", hidden=(4, 5)), resolve("leaky_relu")
        )


def test_classes_hold_what_gives_the_same_networks():
    names = ("relu", "sigmoid", "gelu", "tanh")
    classes = equivalence_classes([catalogue[name] for name in names])
    assert [[each.name for each in members] for members in classes] == [
        ["relu"],
        ["sigmoid", "tanh"],
        ["gelu"],
    ]
