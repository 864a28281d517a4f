"""The budget is never exceeded, and each share of it is for something."""

import numpy as np
import pytest
from tests.queries.test_subspace import network_of

from expand_and_cluster.core.activations import catalogue
from expand_and_cluster.core.errors import InvalidInputError, QueryBudgetError
from expand_and_cluster.queries import asking
from expand_and_cluster.queries.asking import MOST_WHOLE, PER_BOUND, ask_all
from expand_and_cluster.queries.oracle import Oracle
from expand_and_cluster.queries.samplers import Gaussian, Pool, Uniform

SIZE = 20


def asked(network, sampler, budget, *, seed=0, ledger=None, activation="tanh"):
    oracle = Oracle(network, sampler.size, budget, ledger)
    answers = ask_all(
        oracle,
        sampler,
        np.random.default_rng(seed),
        max_queries=budget,
        activation=catalogue[activation],
    )
    return oracle, answers


SAMPLERS = {
    "found": Gaussian(SIZE),
    "given": Gaussian(SIZE, 1.0),
    "uniform": Uniform(SIZE, -1.0, 1.0),
}


@pytest.mark.parametrize("width", [3, 30])
@pytest.mark.parametrize("budget", [150, 1000, 3001])
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_budget_is_spent_and_not_exceeded(activation, sampler, budget, width):
    network = network_of((SIZE, width, 2), activation)
    oracle, answers = asked(network, SAMPLERS[sampler], budget, activation=activation)
    assert oracle.asked == answers.queries <= budget
    # A draft saves the questions that training students takes.
    if answers.draft is None:
        assert answers.queries == budget
        assert len(answers.pairs) > 0.15 * budget
    else:
        assert activation == "tanh"
        assert answers.subspace is not None
    assert (answers.subspace is None) == (answers.whole is None)
    if width == 30 or sampler == "uniform":
        assert answers.subspace is None
    elif budget > 150:
        assert answers.subspace is not None


def test_within_a_subspace_pairs_are_coordinates_with_their_answers():
    network = network_of((SIZE, 3, 2))
    _, answers = asked(network, Gaussian(SIZE), 3000)
    subspace, whole = answers.subspace, answers.whole
    assert subspace is not None
    assert whole is not None
    assert answers.pairs.inputs.shape[1] == subspace.rank == 3
    np.testing.assert_array_equal(
        answers.pairs.outputs, network(subspace.place(answers.pairs.inputs))
    )
    assert whole.inputs.shape[1] == SIZE
    np.testing.assert_array_equal(whole.outputs, network(whole.inputs))
    # Coordinates are standard normal, and questions over all inputs have the scale that was found.
    assert np.std(answers.pairs.inputs) == pytest.approx(1.0, rel=0.1)
    scale = answers.notes["sampler"]["scale"]
    assert np.std(whole.inputs) == pytest.approx(scale, rel=0.1)
    assert answers.notes["subspace_rank"] == 3
    assert "subspace" not in answers.notes


@pytest.mark.parametrize("budget", [700, 20_000])
def test_shares_follow_the_counting_bound(budget):
    network = network_of((SIZE, 3, 2), "relu")
    _, answers = asked(network, Gaussian(SIZE, 1.0), budget, activation="relu")
    assert answers.subspace is not None
    assert answers.whole is not None
    assert answers.draft is None
    left = budget - answers.subspace.queries
    # Three neurons: 21 weights into each of them and two out of it, and two outputs a question.
    wanted = min(PER_BOUND * 3 * (SIZE + 1 + 2) / 2, MOST_WHOLE * left)
    assert len(answers.whole) == int(wanted)
    assert len(answers.pairs) == left - int(wanted)


def test_a_draft_needs_no_more_questions_than_hold_its_weights():
    network = network_of((SIZE, 3, 2))
    oracle, answers = asked(network, Gaussian(SIZE), 20_000)
    assert answers.subspace is not None
    assert answers.draft is not None
    missed = answers.draft(answers.pairs.inputs) - answers.pairs.outputs
    assert np.sqrt(np.mean(missed**2)) < 0.05 * np.std(answers.pairs.outputs)
    assert answers.notes["draft_error"] < 0.05
    assert oracle.asked == answers.queries < 2_000


@pytest.mark.parametrize("least", [asking.LEAST_WITHIN, 10**6])
def test_a_draft_that_fails_leaves_the_budget_to_students(monkeypatch, least):
    """Also where all of it was asked to look at the draft."""
    monkeypatch.setattr(asking, "IMITATES", 0.0)
    monkeypatch.setattr(asking, "LEAST_WITHIN", least)
    _, answers = asked(network_of((SIZE, 3, 2)), Gaussian(SIZE), 4_000)
    assert answers.draft is None
    assert answers.notes["draft_error"] > 0.0
    assert answers.queries == 4_000


def test_without_a_subspace_all_pairs_are_alike_and_the_reason_is_kept():
    network = network_of((SIZE, 30, 2))
    oracle, answers = asked(network, Gaussian(SIZE, 2.0), 2000)
    assert answers.notes["subspace"]
    assert answers.pairs.inputs.shape[1] == SIZE
    assert np.std(answers.pairs.inputs) == pytest.approx(2.0, rel=0.05)
    assert len(answers.pairs) < len(oracle.pairs()) == 2000


def test_other_samplers_are_asked_at_once():
    network = network_of((SIZE, 3, 2))
    _, answers = asked(network, Uniform(SIZE, -1.0, 1.0), 500)
    assert len(answers.pairs) == 500
    assert "subspace" not in answers.notes
    rows = np.random.default_rng(0).normal(size=(80, SIZE))
    oracle, answers = asked(network, Pool(rows), 500)
    assert len(answers.pairs) == oracle.asked == answers.queries == 80


def test_a_given_scale_is_not_exceeded_within_the_subspace():
    network = network_of((SIZE, 3, 2))
    _, given = asked(network, Gaussian(SIZE, 0.5), 2000)
    assert given.subspace is not None
    asked_at = given.subspace.place(given.pairs.inputs)
    assert np.sqrt(np.mean(np.sum(asked_at**2, axis=1))) <= 0.5 * np.sqrt(SIZE) * 1.1


@pytest.mark.parametrize("width", [3, 30])
def test_resumed_work_asks_nothing_again(width, tmp_path):
    network = network_of((SIZE, width, 2))
    calls = []

    def counted(rows):
        calls.append(len(rows))
        return network(rows)

    oracle, first = asked(counted, Gaussian(SIZE), 2000, ledger=tmp_path)
    asked_for = oracle.asked
    assert sum(calls) == asked_for <= 2000
    calls.clear()
    resumed, second = asked(counted, Gaussian(SIZE), 2000, ledger=tmp_path)
    assert not calls
    assert resumed.asked == asked_for
    np.testing.assert_array_equal(first.pairs.inputs, second.pairs.inputs)
    np.testing.assert_array_equal(first.pairs.outputs, second.pairs.outputs)
    assert first.notes == second.notes
    # Half-way: what was answered before the stop is not asked again.
    kept = sorted(tmp_path.glob("answers-*"))
    for file in kept[len(kept) // 2 :]:
        file.unlink()
    _, third = asked(counted, Gaussian(SIZE), 2000, ledger=tmp_path)
    assert 0 < sum(calls) < asked_for
    np.testing.assert_array_equal(first.pairs.outputs, third.pairs.outputs)


def test_same_generator_same_questions():
    network = network_of((SIZE, 3, 2))
    (_, first), (_, same), (_, other) = (
        asked(network, Gaussian(SIZE), 1500, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.pairs.outputs, same.pairs.outputs)
    assert first.pairs.outputs.shape != other.pairs.outputs.shape or np.any(
        first.pairs.outputs != other.pairs.outputs
    )


def test_constant_answers_are_refused():
    with pytest.raises(InvalidInputError, match="the oracle's answers"):
        asked(lambda rows: np.ones((len(rows), 1)), Gaussian(SIZE, 1.0), 300)


def test_a_budget_that_does_not_reach_for_the_scale_is_said():
    with pytest.raises(QueryBudgetError, match="max_queries=30"):
        asked(network_of((SIZE, 3, 2)), Gaussian(SIZE), 30)
