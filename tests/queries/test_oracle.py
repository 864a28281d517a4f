"""The oracle counts, checks, keeps and resumes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from expand_and_cluster.core.errors import (
    FileFormatError,
    InvalidInputError,
    OracleError,
    QueryBudgetError,
)
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.progress import Progress
from expand_and_cluster.queries.oracle import Oracle


class Teacher:
    """Counts the rows it is asked, and fails at the call it is told to."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.rows = 0
        self.calls = 0
        self.fail_at = fail_at

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        self.rows += len(inputs)
        self.calls += 1
        if self.calls == self.fail_at:
            raise ConnectionError("line cut")
        return truth(inputs)


def truth(inputs: np.ndarray) -> np.ndarray:
    return np.stack([inputs.sum(axis=1), np.sin(inputs[:, 0])], axis=1)


def questions(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3))


def test_every_row_is_counted_and_answered_in_order() -> None:
    teacher = Teacher()
    oracle = Oracle(teacher, 3, max_queries=100, chunk_rows=16)
    rows = questions(50)
    assert np.array_equal(oracle.ask(rows), truth(rows))
    assert (oracle.asked, oracle.left, teacher.rows, teacher.calls) == (50, 50, 50, 4)
    assert np.array_equal(oracle.pairs().inputs, rows)
    assert np.array_equal(oracle.pairs().outputs, truth(rows))


def test_the_budget_is_never_exceeded() -> None:
    teacher = Teacher()
    oracle = Oracle(teacher, 3, max_queries=20, chunk_rows=8)
    oracle.ask(questions(15))
    with pytest.raises(QueryBudgetError, match=r"6 more rows.* 15 are asked, 5 are left") as e:
        oracle.ask(questions(6, seed=1))
    assert teacher.rows == 15
    assert len(e.value.partial) == 15
    oracle.ask(questions(5, seed=2))
    assert (teacher.rows, oracle.left) == (20, 0)


def test_failed_calls_count_too() -> None:
    teacher = Teacher(fail_at=2)
    oracle = Oracle(teacher, 3, max_queries=30, chunk_rows=10)
    rows = questions(20)
    with pytest.raises(OracleError):
        oracle.ask(rows)
    assert (oracle.asked, oracle.answered, oracle.left) == (20, 10, 10)
    assert np.array_equal(oracle.ask(rows), truth(rows))
    with pytest.raises(QueryBudgetError):
        oracle.ask(questions(1, seed=1))
    assert teacher.rows == oracle.asked == 30


def test_a_question_answered_before_is_not_asked_again() -> None:
    teacher = Teacher()
    oracle = Oracle(teacher, 3, max_queries=10)
    rows = questions(10)
    oracle.ask(rows[:6])
    again = oracle.ask(np.concatenate([rows[::-1], rows[:2]]))
    assert np.array_equal(again, truth(np.concatenate([rows[::-1], rows[:2]])))
    assert teacher.rows == oracle.asked == len(oracle.pairs()) == 10


def test_pairs_stay_as_they_were_when_more_is_asked() -> None:
    oracle = Oracle(Teacher(), 3)
    oracle.ask(questions(4))
    pairs = oracle.pairs()
    oracle.ask(questions(4, seed=1))
    assert len(pairs) == 4
    assert len(oracle.pairs()) == 8
    assert oracle.left is None


@pytest.mark.parametrize("on_disk", [False, True])
def test_failure_midway_loses_nothing(tmp_path: Path, on_disk: bool) -> None:
    rows = questions(50)
    ledger = tmp_path / "ledger" if on_disk else None
    oracle = Oracle(Teacher(fail_at=3), 3, ledger=ledger, chunk_rows=16)
    with pytest.raises(OracleError, match=r"ConnectionError: line cut.*32 earlier") as caught:
        oracle.ask(rows)
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert np.array_equal(caught.value.partial.inputs, rows[:32])
    assert np.array_equal(caught.value.partial.outputs, truth(rows[:32]))


def test_resumes_from_disk(tmp_path: Path) -> None:
    rows = questions(50)
    with pytest.raises(OracleError):
        Oracle(Teacher(fail_at=3), 3, 50, tmp_path, chunk_rows=16).ask(rows)
    teacher = Teacher()
    resumed = Oracle(teacher, 3, 50, tmp_path, chunk_rows=16)
    assert (resumed.asked, resumed.left, resumed.output_size) == (32, 18, 2)
    assert np.array_equal(resumed.ask(rows), truth(rows))
    assert (teacher.rows, resumed.asked) == (18, 50)
    third = Oracle(Teacher(fail_at=1), 3, 50, tmp_path)
    assert np.array_equal(third.ask(rows), truth(rows))
    assert np.array_equal(third.pairs().inputs, rows)


def test_an_interrupt_passes_through_and_keeps_answers(tmp_path: Path) -> None:
    calls = []

    def interrupted(inputs: np.ndarray) -> np.ndarray:
        calls.append(len(inputs))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return truth(inputs)

    oracle = Oracle(interrupted, 3, ledger=tmp_path, chunk_rows=4)
    with pytest.raises(KeyboardInterrupt):
        oracle.ask(questions(8))
    assert len(oracle.pairs()) == len(Oracle(Teacher(), 3, ledger=tmp_path).pairs()) == 4


def test_a_ledger_of_another_size_is_refused(tmp_path: Path) -> None:
    Oracle(Teacher(), 3, ledger=tmp_path).ask(questions(2))
    with pytest.raises(InvalidInputError, match=r"questions with 3 inputs, but .* takes 5"):
        Oracle(Teacher(), 5, ledger=tmp_path)


def test_a_broken_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "answers-000000.safetensors").write_bytes(b"not a ledger")
    with pytest.raises(FileFormatError, match="answers-000000"):
        Oracle(Teacher(), 3, ledger=tmp_path)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda x: truth(x)[:-1], r"answer to 8 rows must be \(8, outputs\), got shape \(7, 2\)"),
        (lambda x: truth(x).T, r"must be \(8, outputs\), got shape \(2, 8\)"),
        (lambda x: truth(x)[None], r"must be \(8, outputs\), got shape \(1, 8, 2\)"),
        (lambda x: 1.0, r"must be \(8, outputs\), got shape \(\)"),
        (lambda x: x[:, :0], r"must be \(8, outputs\), got shape \(8, 0\)"),
        (lambda x: np.where(x > 1e9, x, np.nan), "must be finite, but row 0 holds nan"),
        (lambda x: x * 1j, "complex"),
        (lambda x: ["yes"] * len(x), "must be an array of numbers"),
        (lambda x: None, "must be an array of numbers"),
        (lambda x: x @ np.ones(99), "the oracle failed on a question of 8 rows .ValueError"),
    ],
)
def test_bad_answers_are_refused(function: Callable[[np.ndarray], Any], sentence: str) -> None:
    oracle = Oracle(function, 3)
    with pytest.raises(OracleError, match=sentence) as caught:
        oracle.ask(questions(8))
    assert caught.value.partial is None
    with pytest.raises(OracleError, match="not answered anything yet"):
        oracle.pairs()


def test_the_number_of_outputs_must_not_change() -> None:
    oracle = Oracle(lambda x: x[:, : 1 + (len(x) == 4)], 3, chunk_rows=5)
    with pytest.raises(OracleError, match="has 2 outputs, but earlier ones had 1") as caught:
        oracle.ask(questions(9))
    assert len(caught.value.partial) == 5


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum(axis=1),
        lambda x: x.sum(axis=1).astype(np.float32)[:, None],
        lambda x: jnp.asarray(x).sum(axis=1),
        lambda x: x.sum(axis=1).tolist(),
    ],
)
def test_answers_of_any_kind_become_float64_columns(function: Callable[[np.ndarray], Any]) -> None:
    answers = Oracle(function, 3).ask(questions(6))
    assert answers.dtype == np.float64
    # Single precision of the oracle's own answer.
    assert np.allclose(answers, questions(6).sum(axis=1)[:, None], atol=1e-6)


def test_a_network_is_an_oracle() -> None:
    network = Network.from_arrays([(np.eye(3), np.ones(3)), (np.ones((2, 3)), np.zeros(2))], "tanh")
    rows = questions(5)
    assert np.array_equal(Oracle(network, network.input_size).ask(rows), network(rows))


def test_an_oracle_that_writes_into_its_question_changes_nothing() -> None:
    def greedy(inputs: np.ndarray) -> np.ndarray:
        answers = truth(inputs)
        inputs[:] = 0.0
        return answers

    oracle = Oracle(greedy, 3)
    rows = questions(5)
    oracle.ask(rows)
    assert np.array_equal(oracle.pairs().inputs, rows)


def test_an_oracle_that_reuses_its_answer_buffer_changes_nothing() -> None:
    buffer = np.zeros((4, 2))

    def frugal(inputs: np.ndarray) -> np.ndarray:
        buffer[:] = truth(inputs)
        return buffer

    rows = questions(8)
    assert np.array_equal(Oracle(frugal, 3, chunk_rows=4).ask(rows), truth(rows))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (np.ones((2, 4)), r"must be \(rows, 3\), got shape \(2, 4\)"),
        (np.ones(3), "two-dimensional"),
        (np.full((1, 3), np.inf), "must be finite"),
    ],
)
def test_bad_questions_never_reach_the_oracle(rows: np.ndarray, sentence: str) -> None:
    teacher = Teacher()
    with pytest.raises(InvalidInputError, match=sentence):
        Oracle(teacher, 3).ask(rows)
    assert teacher.calls == 0


def test_progress_is_reported_by_chunk() -> None:
    seen: list[Progress] = []
    Oracle(Teacher(), 3, chunk_rows=4, report=seen.append).ask(questions(10))
    assert [(p.stage, p.done, p.total) for p in seen] == [
        ("ask the oracle", 4, 10),
        ("ask the oracle", 8, 10),
        ("ask the oracle", 10, 10),
    ]
