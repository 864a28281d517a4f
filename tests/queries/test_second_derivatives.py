"""Hessians, their common basis, profiles along lines, and the draft that they make."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.queries.diagonalise import diagonalise
from expand_and_cluster.queries.drafts import draft_network
from expand_and_cluster.queries.hessians import ask_hessians, is_bent, queries_for
from expand_and_cluster.queries.profiles import PLACES, fit_profiles

RANK, OUTPUTS = 7, 3
BENT = ("g", "tanh", "sigmoid", "softplus", "gelu", "silu", "mish")


def within(activation="tanh", *, neurons=RANK, outputs=OUTPUTS, seed=0):
    """A network over coordinates that questions spread over by 1."""
    rng = np.random.default_rng((seed, neurons, outputs))
    weight = np.linalg.qr(rng.normal(size=(max(neurons, RANK), RANK)))[0][:neurons]
    weight = 2.5 * (weight + 0.1 * rng.normal(size=weight.shape))
    return Network.from_arrays(
        [
            (weight, rng.normal(size=neurons)),
            (rng.normal(size=(outputs, neurons)), rng.normal(size=outputs)),
        ],
        activation,
    )


class Counted:
    def __init__(self, network):
        self.network, self.rows = network, 0

    def __call__(self, rows):
        self.rows += len(rows)
        return self.network(rows)


def drafted(network, *, max_queries=5000, reserve=100, seed=0, **options):
    ask = Counted(network)
    draft = draft_network(
        ask,
        options.pop("rank", RANK),
        network.output_size,
        network.activation,
        np.random.default_rng(seed),
        max_queries=max_queries,
        reserve=reserve,
        **options,
    )
    assert draft.queries == ask.rows <= max_queries - reserve
    return draft


@pytest.mark.parametrize("activation", BENT)
def test_differences_are_the_hessians(activation):
    network = within(activation)
    point = 0.3 * np.random.default_rng(1).normal(size=RANK)
    ask = Counted(network)
    found, base = ask_hessians(ask, point)
    assert ask.rows == queries_for(RANK)
    with double():
        outputs = lambda z: network.apply(z[None])[0]  # noqa: E731 - two lines would say less
        wanted = np.asarray(jax.jit(jax.hessian(outputs))(point))
    np.testing.assert_allclose(found, wanted, atol=2e-3 * np.abs(wanted).max())
    np.testing.assert_array_equal(found, found.transpose(0, 2, 1))
    np.testing.assert_allclose(base, network(point[None])[0])


def test_relu_has_no_bend():
    bent = {name for name, activation in catalogue.items() if is_bent(activation)}
    assert set(catalogue) - bent == {"relu", "leaky_relu"}


def test_common_basis_is_found_up_to_order_and_length():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(RANK, RANK))
    diagonals = rng.normal(size=(4, RANK))
    # Two neurons that the first two matrices cannot tell apart.
    diagonals[:2, 1] = 2.0 * diagonals[:2, 0]
    matrices = np.einsum("mn,ni,nj->mij", diagonals, vectors, vectors)
    basis, off = diagonalise(matrices, rng)
    assert off < 1e-9
    moved = vectors @ basis
    assert np.array_equal(np.sort(np.abs(moved).argmax(axis=0)), np.arange(RANK))
    moved /= np.abs(moved).max(axis=0)
    assert np.sort(np.abs(moved), axis=0)[-2].max() < 1e-8


def test_noise_moves_the_basis_by_as_much():
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.normal(size=(RANK, RANK)))[0]
    matrices = np.einsum("mn,ni,nj->mij", rng.normal(size=(6, RANK)), vectors, vectors)
    noise = 1e-4 * rng.normal(size=matrices.shape)
    basis, off = diagonalise(matrices + noise + noise.transpose(0, 2, 1), rng)
    assert 1e-5 < off < 1e-2
    moved = np.sort(np.abs(vectors @ basis), axis=0)
    assert moved[-2].max() < 1e-2


def test_matrices_without_a_common_basis_are_told():
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(6, RANK, RANK))
    assert diagonalise(matrices + matrices.transpose(0, 2, 1), rng)[1] > 0.1
    assert diagonalise(np.zeros((3, RANK, RANK)), rng)[1] == np.inf


def test_a_profile_that_looks_alike_at_several_offsets_is_still_found():
    """g bends twice, and a line far from both looks like one beside either."""
    rng = np.random.default_rng(0)
    lines, function = 300, catalogue["g"].values
    slopes = rng.uniform(1.0, 4.0, lines) * rng.choice([-1.0, 1.0], lines)
    offsets, weights = rng.uniform(-4.0, 4.0, lines), rng.normal(size=(lines, OUTPUTS))
    moved = function(slopes[:, None] * PLACES + offsets[:, None]) - function(offsets)[:, None]
    found = fit_profiles(moved[:, :, None] * weights[:, None], catalogue["g"])
    np.testing.assert_allclose(found[0], slopes, rtol=1e-5)
    np.testing.assert_allclose(found[1], offsets, atol=1e-5)
    np.testing.assert_allclose(found[2], weights, rtol=1e-5)


@pytest.mark.parametrize("activation", BENT)
def test_profile_gives_slope_offset_and_weights(activation):
    rng = np.random.default_rng(0)
    lines = 20
    slopes = rng.uniform(0.5, 6.0, lines) * rng.choice([-1.0, 1.0], lines)
    offsets, weights = rng.uniform(-2.0, 2.0, lines), rng.normal(size=(lines, OUTPUTS))
    function = catalogue[activation].function
    with double():
        moved = np.asarray(function(jnp.asarray(slopes[:, None] * PLACES + offsets[:, None])))
        still = np.asarray(function(jnp.asarray(offsets)))
    rises = (moved - still[:, None])[:, :, None] * weights[:, None]
    found = fit_profiles(rises, catalogue[activation])
    with double():
        again = np.asarray(function(jnp.asarray(found[0][:, None] * PLACES + found[1][:, None])))
        middle = np.asarray(function(jnp.asarray(found[1])))
    # Some curves have two descriptions; every one is the same curve.
    rebuilt = (again - middle[:, None])[:, :, None] * found[2][:, None]
    np.testing.assert_allclose(rebuilt, rises, atol=1e-7 * np.abs(rises).max())
    if activation == "g":
        np.testing.assert_allclose(found[0], slopes, rtol=1e-6)
        np.testing.assert_allclose(found[1], offsets, atol=1e-6)
        np.testing.assert_allclose(found[2], weights, rtol=1e-6)


@pytest.mark.parametrize("activation", BENT)
@pytest.mark.parametrize("outputs", [1, 3])
def test_draft_imitates(activation, outputs):
    network = within(activation, outputs=outputs)
    draft = drafted(network)
    assert draft.network is not None, draft.note
    assert draft.network.hidden_widths == (RANK,)
    inputs = np.random.default_rng(5).normal(size=(500, RANK))
    missed = draft.network(inputs) - network(inputs)
    assert np.sqrt(np.mean(missed**2)) < 0.05 * np.std(network(inputs))


def test_no_draft_where_there_cannot_be_one():
    relu = drafted(within("relu"))
    assert relu.network is None
    assert relu.queries == 0
    poor = drafted(within("tanh"), max_queries=150, reserve=100)
    assert poor.network is None
    assert poor.queries == 0
    wide = drafted(within("tanh", neurons=20))
    assert wide.network is None
    assert "no common basis" in wide.note


def test_one_output_takes_a_second_point():
    assert drafted(within(outputs=1)).queries > queries_for(RANK) * 2
    once = drafted(within("softplus", outputs=8))
    assert once.queries == queries_for(RANK) + RANK * len(PLACES)


def test_draft_from_single_precision():
    network = within("softplus", outputs=6)
    rng = np.random.default_rng(0)
    options = {"max_queries": 5000, "reserve": 100, "precision": np.dtype(np.float32)}

    def ask(rows):
        return network(rows).astype(np.float32).astype(float)

    draft = draft_network(ask, RANK, 6, network.activation, rng, **options)
    assert draft.network is not None, draft.note
    inputs = rng.normal(size=(500, RANK))
    missed = draft.network(inputs) - network(inputs)
    assert np.sqrt(np.mean(missed**2)) < 0.05 * np.std(network(inputs))
