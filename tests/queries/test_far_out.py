"""Networks whose kinks are soft: what they are far out, and how long their input vectors are."""

import jax.numpy as jnp
import numpy as np
import pytest

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.core.errors import OracleError
from expand_and_cluster.core.network import Network
from expand_and_cluster.queries.asking import ask_all
from expand_and_cluster.queries.asymptotes import asymptotes_of
from expand_and_cluster.queries.bend_domain import Domain
from expand_and_cluster.queries.bend_equations import as_layer
from expand_and_cluster.queries.bend_lengths import with_lengths
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.samplers import Gaussian
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.teachers.untrained import untrained


@pytest.mark.parametrize(
    ("name", "slopes", "meeting", "value"),
    [
        ("softplus", (0.0, 1.0), 0.0, 0.0),
        # softplus(z) + sigmoid(4 z) is z + 1 above, and 0 below.
        ("g", (0.0, 1.0), -1.0, 0.0),
        ("gelu", (0.0, 1.0), 0.0, 0.0),
        ("silu", (0.0, 1.0), 0.0, 0.0),
        ("elu", (0.0, 1.0), -1.0, -1.0),
    ],
)
def test_lines_far_from_zero_and_where_they_meet(name, slopes, meeting, value):
    found = asymptotes_of(resolve(name))
    assert found is not None
    assert found.slopes == pytest.approx(slopes, abs=1e-12)
    assert (found.meeting, found.value) == pytest.approx((meeting, value), abs=1e-12)
    beyond = np.linspace(-40.0, 40.0, 801)
    np.testing.assert_allclose(
        found.lines(beyond) + found.softness(beyond),
        found.activation.values(found.meeting + beyond),
        atol=1e-11,
    )


def test_a_function_of_the_users_has_lines_too():
    found = asymptotes_of(resolve(lambda z: 3.0 * jnp.logaddexp(0.0, z + 0.5) - 0.25 * z + 2.0))
    assert found is not None
    assert found.slopes == pytest.approx((-0.25, 2.75), abs=1e-12)
    assert found.meeting == pytest.approx(-0.5, abs=1e-12)
    assert found.bend == pytest.approx(3.0)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "relu", "leaky_relu", "relu,g"])
def test_what_has_no_soft_kink(name):
    assert asymptotes_of(resolve(name)) is None


def test_what_grows_faster_than_a_line_has_none():
    assert asymptotes_of(resolve(lambda z: jnp.tanh(z) * z**2 + z)) is None


@pytest.mark.parametrize("name", ["softplus", "g", "gelu", "elu"])
def test_lengths_and_biases_are_told_by_the_softness(name):
    """Every neuron scaled by a factor of its own, biases and output weights forgotten."""
    network = untrained((5, 6, 4, 2), name, seed=1)
    rng = np.random.default_rng(0)
    factors = [np.ones(5), np.exp(rng.normal(size=6)), np.exp(rng.normal(size=4))]
    scaled = [
        (own[:, None] * layer.weight / below, np.zeros(len(own)))
        for layer, own, below in zip(network.layers, factors[1:], factors[:-1], strict=False)
    ]
    read = Network.from_arrays([*scaled, (np.zeros((2, 4)), np.zeros(2))], "relu")
    domain = Domain.of(lambda count: rng.normal(size=(count, 5)), rng)
    asymptotes = asymptotes_of(network.activation)
    assert asymptotes is not None
    found, note = with_lengths(network, read, asymptotes, domain)
    assert found is not None, note
    assert compare(found, network).max_weight_error < 1e-6


def test_a_neuron_that_is_none_shows_no_length():
    network = untrained((5, 6, 4, 2), "g", seed=1)
    first, second = network.layers[0], network.layers[1]
    rng = np.random.default_rng(0)
    more = np.vstack([first.weight, rng.normal(size=(1, 5))])
    wider = np.column_stack([second.weight, np.zeros(4)])
    read = Network.from_arrays(
        [(more, np.zeros(7)), (wider, np.zeros(4)), (np.zeros((2, 4)), np.zeros(2))], "relu"
    )
    domain = Domain.of(lambda count: rng.normal(size=(count, 5)), rng)
    asymptotes = asymptotes_of(network.activation)
    assert asymptotes is not None
    found, note = with_lengths(network, read, asymptotes, domain)
    assert found is None
    assert note == "1 neurons show no length"


@pytest.mark.parametrize(("name", "center", "seed"), [("softplus", 0.0, 1), ("g", 2.0, 2)])
def test_a_deep_network_with_soft_kinks_is_read(name, center, seed):
    network = untrained((6, 5, 4, 2), name, seed)
    answers = ask_all(
        Oracle(network, 6, 100_000),
        Gaussian(6, 1.0, center),
        np.random.default_rng(0),
        max_queries=100_000,
        activation=resolve(name),
        hidden_layers=2,
    )
    assert answers.draft is not None, answers.notes
    assert answers.queries < 60_000
    assert compare(answers.draft, network).max_weight_error < 1e-2


@pytest.mark.parametrize("name", ["softplus", "tanh"])
def test_an_oracle_that_overflows_far_out_is_asked_nearby(name):
    network = untrained((6, 5, 4, 2), name, seed=1)

    def near(rows):
        if np.abs(rows).max() > 1e3:
            return np.full((len(rows), 2), np.inf)
        return network(rows)

    oracle = Oracle(near, 6, 3000)
    with pytest.raises(OracleError):
        oracle.ask(np.full((1, 6), 1e4))
    answers = ask_all(
        Oracle(near, 6, 3000),
        Gaussian(6, 1.0),
        np.random.default_rng(0),
        max_queries=3000,
        activation=resolve(name),
        hidden_layers=2,
    )
    assert answers.draft is None
    assert answers.first_layer is None
    assert answers.queries <= 3000
    assert len(answers.pairs) > 2500


def test_questions_turn_neurons_that_seldom_are_on():
    """A neuron with one positive weight of many, over neurons that are on half of the time."""
    rng = np.random.default_rng(3)
    first = np.column_stack([rng.normal(size=(12, 14)), 0.1 * rng.normal(size=12)])
    second = np.column_stack([-np.abs(rng.normal(size=(6, 12))), np.zeros(6)])
    second[np.arange(6), np.arange(6)] = 0.7
    domain = Domain.of(lambda count: rng.normal(size=(count, 14)), rng)
    layers = [as_layer(first)]
    draw = domain.spreading(layers)
    assert draw is not None

    def shares(points):
        below = np.maximum(points @ first[:, :-1].T + first[:, -1], 0.0)
        return (below @ second[:, :-1].T > 0.0).mean(axis=0)

    assert shares(domain.wide(2000)).min() < 0.01
    assert shares(draw(2000)).min() > 0.04
    # In the layer above questions are led by single neurons as well.
    third = domain.spreading(
        [*layers, as_layer(np.column_stack([rng.normal(size=(5, 12)), second[:5, :1]]))]
    )
    assert third is not None
    assert third(7).shape == (7, 14)
    assert np.all(np.isfinite(third(7)))
