"""The subspace of the inputs that answers depend on is found where there is one."""

import numpy as np
import pytest

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.progress import Progress
from expand_and_cluster.queries.gradients import SHARE_OF_BUDGET, examine_subspace
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.queries.samplers import Gaussian
from expand_and_cluster.queries.subspace import Subspace

SIZE = 24
BUDGET = 4000


def network_of(widths, activation="tanh", seed=0):
    """Neurons whose hyperplanes cross standard normal data."""
    rng = np.random.default_rng((seed, *widths))
    size, width, outputs = widths
    weight = rng.normal(size=(width, size)) * 1.5 / np.sqrt(size)
    return Network.from_arrays(
        [
            (weight, 0.5 * rng.normal(size=width)),
            (rng.normal(size=(outputs, width)), rng.normal(size=outputs)),
        ],
        activation,
    )


def examine(network, *, sampler=None, budget=BUDGET, seed=0, **options):
    return examine_subspace(
        network,
        sampler or Gaussian(SIZE, 1.0),
        np.random.default_rng(seed),
        max_queries=budget,
        **options,
    )


def found_in(network, **options):
    examined = examine(network, **options)
    assert examined.subspace is not None, examined.note
    return examined.subspace


def distance_to(subspace, weight):
    """Largest share of a weight vector that lies outside of the subspace."""
    basis = np.linalg.qr(subspace.root)[0]
    outside = weight - weight @ basis @ basis.T
    return (np.linalg.norm(outside, axis=1) / np.linalg.norm(weight, axis=1)).max()


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", ["g", "tanh", "relu"])
def test_subspace_is_that_of_the_weight_vectors(activation, outputs):
    network = network_of((SIZE, 5, outputs), activation)
    found = found_in(network)
    assert found.rank == 5
    assert found.outputs == outputs
    # Differences are wrong by their step, 1e-4, times the bend; relu's are exact but for kinks
    # that lie within a step.
    assert distance_to(found, network.layers[0].weight) < 1e-2
    assert found.beyond < 1.0 / 30.0


def test_gains_are_the_size_of_the_gradients():
    network = network_of((SIZE, 4, 2))
    found = found_in(network)
    assert np.all(np.diff(found.gains) <= 0.0)
    # Mean square of the gradients over the same distribution, by the chain rule.
    inputs = np.random.default_rng(1).normal(size=(4000, SIZE))
    first, last = network.layers
    slopes = 1.0 - np.tanh(inputs @ first.weight.T + first.bias) ** 2
    mixed = (first.weight @ first.weight.T) * (last.weight.T @ last.weight)
    wanted = np.mean(np.einsum("nk,kl,nl->n", slopes, mixed, slopes)) / 2
    # From a dozen points.
    assert np.sum(found.gains**2) == pytest.approx(wanted, rel=0.5)


def test_steep_directions_are_asked_over_a_smaller_range():
    found = found_in(network_of((SIZE, 5, 2)))
    lengths = np.linalg.norm(found.root, axis=0)
    np.testing.assert_allclose(lengths**2 * found.gains, lengths[0] ** 2 * found.gains[0])
    angles = found.root.T @ found.root
    np.testing.assert_allclose(angles, np.diag(lengths**2), atol=1e-10)


def test_questions_spread_no_wider_than_a_given_gaussian():
    network = network_of((SIZE, 5, 2))
    given, free = (found_in(network, wider=wider) for wider in (False, True))
    # The typical question lies no further from the center than those of the Gaussian.
    assert np.linalg.norm(given.root) <= np.sqrt(SIZE) * (1.0 + 1e-12)
    assert np.linalg.norm(free.root) > np.linalg.norm(given.root)
    np.testing.assert_array_equal(given.gains, free.gains)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_units_of_the_inputs_do_not_matter(scale):
    network = network_of((SIZE, 4, 2))
    first, last = network.layers
    stretched = Network.from_arrays(
        [(first.weight / scale, first.bias), (last.weight, last.bias)], "tanh"
    )
    found, other = (
        found_in(network),
        found_in(stretched, sampler=Gaussian(SIZE, scale)),
    )
    assert other.rank == found.rank
    # Differences know the gradients to about the length of their steps.
    np.testing.assert_allclose(
        np.linalg.norm(other.root, axis=0), scale * np.linalg.norm(found.root, axis=0), rtol=1e-4
    )
    assert distance_to(other, stretched.layers[0].weight) < 1e-3


def test_questions_lie_around_the_center():
    network = network_of((SIZE, 4, 2))
    first, last = network.layers
    center = 30.0 + np.arange(SIZE)
    moved = Network.from_arrays(
        [(first.weight, first.bias - first.weight @ center), (last.weight, last.bias)], "tanh"
    )
    asked = []

    def ask(rows):
        asked.append(rows)
        return moved(rows)

    found = found_in(ask, sampler=Gaussian(SIZE, 1.0, center))
    assert found.rank == 4
    np.testing.assert_array_equal(found.center, center)
    assert np.abs(np.concatenate(asked) - center).max() < 6.0
    np.testing.assert_array_equal(found.place(np.zeros((1, 4))), center[None])
    coordinates = np.random.default_rng(0).normal(size=(5, 4))
    np.testing.assert_allclose(found.place(coordinates), center + coordinates @ found.root.T)


@pytest.mark.parametrize("skip", [False, True])
def test_lifted_network_gives_the_same_function_and_the_same_directions(skip):
    network = network_of((SIZE, 4, 2))
    center = np.linspace(-1.0, 2.0, SIZE)
    found = found_in(network, sampler=Gaussian(SIZE, 1.0, center))
    # The teacher in coordinates: project its weights.
    first, last = network.layers
    layers = [(first.weight @ found.root, first.bias + first.weight @ center)]
    affine = np.random.default_rng(3).normal(size=(2, 4)) if skip else None
    within = Network.from_arrays(
        [*layers, (last.weight, last.bias)],
        "tanh",
        None if affine is None else (affine, np.array([0.5, -1.0])),
    )
    lifted = found.lift(within)
    assert lifted.widths == network.widths
    coordinates = np.random.default_rng(4).normal(size=(50, 4))
    np.testing.assert_allclose(lifted(found.place(coordinates)), within(coordinates), atol=1e-12)
    # Steps across the subspace change nothing, and the weights are the teacher's.
    rng = np.random.default_rng(5)
    basis = np.linalg.qr(found.root)[0]
    across = rng.normal(size=(50, SIZE))
    across -= across @ basis @ basis.T
    np.testing.assert_allclose(
        lifted(found.place(coordinates) + across), within(coordinates), atol=1e-11
    )
    np.testing.assert_allclose(lifted.input_vectors, network.input_vectors, atol=1e-3)
    assert (lifted.skip is not None) == skip


@pytest.mark.parametrize("outputs", [1, 4])
def test_answers_in_single_precision_are_enough(outputs):
    network = network_of((SIZE, 5, outputs))
    found = found_in(lambda rows: network(rows).astype(np.float32).astype(np.float64))
    assert found.rank == 5
    # Rounding of 1e-7 over steps of 4e-3, and the bend over such steps.
    assert distance_to(found, network.layers[0].weight) < 0.05


def test_a_dozen_neurons_with_one_output():
    network = network_of((32, 12, 1))
    found = found_in(network, sampler=Gaussian(32, 1.0))
    assert found.rank == 12
    assert found.points >= 12 + 4
    assert distance_to(found, network.layers[0].weight) < 1e-2


@pytest.mark.parametrize("seed", range(6))
def test_neurons_that_are_flat_at_most_points_are_seen(seed):
    network = network_of((SIZE, 3, 4), "relu", seed)
    network.layers[0].bias[0] = -1.0
    assert found_in(network, seed=seed).rank == 3


@pytest.mark.parametrize("seed", range(6))
def test_rank_that_is_still_in_doubt_is_waited_for(seed):
    """One direction is much weaker than the others: its gap is not the edge."""
    network = network_of((SIZE, 6, 1), "g", seed)
    network.layers[1].weight[:, 0] *= 0.01
    for budget in (700, 900, 1100):
        examined = examine(network, budget=budget, seed=seed)
        assert examined.subspace is None or examined.subspace.rank == 6


def test_neuron_without_output_weights_and_copies_add_no_direction():
    network = network_of((SIZE, 6, 2))
    first, last = network.layers
    first.weight[4] = 2.0 * first.weight[0]
    last.weight[:, 5] = 0.0
    assert found_in(network).rank == 4


def test_queries_are_counted_and_within_their_share():
    network = network_of((SIZE, 5, 2))
    oracle = Oracle(network, SIZE, max_queries=BUDGET)
    reports: list[Progress] = []
    examined = examine(oracle.ask, report=reports.append)
    found = examined.subspace
    assert found is not None
    assert examined.queries == found.queries == oracle.asked <= SHARE_OF_BUDGET * BUDGET
    assert found.queries == found.points * (SIZE + 1)
    assert len(reports) == found.points
    assert {report.stage for report in reports} == {"find the subspace"}
    assert found.describe() == {
        "subspace_rank": 5,
        "subspace_points": found.points,
        "subspace_queries": found.queries,
        "subspace_beyond": found.beyond,
    }


@pytest.mark.parametrize("budget", [60, 150, 400, 800])
def test_share_is_kept_however_small_the_budget(budget):
    oracle = Oracle(network_of((SIZE, 8, 1)), SIZE, max_queries=budget)
    examined = examine(oracle.ask, budget=budget)
    assert examined.queries == oracle.asked <= SHARE_OF_BUDGET * budget
    assert examined.subspace is None or examined.subspace.rank == 8


def test_few_inputs_or_queries_are_not_looked_at():
    network = network_of((8, 3, 1))
    for examined in (
        examine(network, sampler=Gaussian(8, 1.0)),
        examine(network_of((SIZE, 3, 1)), budget=2 * (SIZE + 1)),
    ):
        assert examined.subspace is None
        assert examined.queries == 0
        assert examined.note


@pytest.mark.parametrize("width", [20, SIZE, 40])
def test_outputs_that_depend_on_most_directions_have_no_subspace(width):
    oracle = Oracle(network_of((SIZE, width, 3)), SIZE)
    examined = examine(oracle.ask)
    assert examined.subspace is None
    assert examined.note
    assert examined.queries == oracle.asked
    # Little is spent to learn it.
    assert examined.queries <= 1.5 * SIZE * (SIZE + 1)


def test_constant_answers_have_no_subspace():
    examined = examine(lambda rows: np.ones((len(rows), 2)))
    assert examined.subspace is None
    assert examined.note


def test_the_search_depends_on_the_generator_alone():
    network = network_of((SIZE, 5, 2))
    first, second, other = (found_in(network, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.root, second.root)
    assert np.any(first.root != other.root)


def test_what_was_asked_is_kept_as_differences():
    network = network_of((SIZE, 5, 2))
    found = found_in(network, seed=1)
    asked, group = found.differences, SIZE + 1
    assert len(asked) == found.queries == found.points * group
    np.testing.assert_allclose(asked.outputs, network(asked.inputs), atol=1e-14)
    steps = asked.inputs[1:group] - asked.inputs[0]
    np.testing.assert_allclose(steps, found.step * np.eye(SIZE), atol=1e-12)


def test_lift_keeps_deeper_layers():
    rng = np.random.default_rng(0)
    root = np.linalg.qr(rng.normal(size=(5, 2)))[0] * np.array([2.0, 0.5])
    asked = QueryPairs(np.zeros((6, 5)), np.zeros((6, 1)))
    subspace = Subspace(np.ones(5), root, np.ones(2), 0.0, asked, 1e-4)
    within = Network.from_arrays(
        [
            (rng.normal(size=(3, 2)), rng.normal(size=3)),
            (rng.normal(size=(2, 3)), rng.normal(size=2)),
            (rng.normal(size=(1, 2)), rng.normal(size=1)),
        ],
        "tanh",
    )
    lifted = subspace.lift(within)
    coordinates = rng.normal(size=(10, 2))
    np.testing.assert_allclose(lifted(subspace.place(coordinates)), within(coordinates), atol=1e-13)
    assert isinstance(lifted.layers[0], Layer)
    assert lifted.widths == (5, 3, 2, 1)


def test_a_direction_that_other_layers_hide_is_found():
    """A neuron of the first layer that passes through one that is seldom on."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(4, 20))
    second = np.abs(rng.normal(size=(3, 4)))
    second[:, 3] = 0.0
    second[2] = [-1.0, -1.0, -1.0, 1.0]
    network = Network.from_arrays(
        [
            (first, np.zeros(4)),
            (second, np.array([0.0, 0.0, -9.0])),
            (np.ones((1, 3)), np.zeros(1)),
        ],
        "relu",
    )
    asked = []

    def ask(rows):
        asked.append(len(rows))
        return network(rows)

    ranks = [
        examine_subspace(
            ask,
            Gaussian(20, 1.0),
            np.random.default_rng(2),
            max_queries=10_000,
            kinked=True,
            hidden_layers=layers,
        )
        for layers in (1, 2)
    ]
    assert [each.subspace.rank for each in ranks if each.subspace is not None] == [3, 4]
    assert sum(asked) == sum(each.queries for each in ranks)
