"""Asking a teacher: every row counted, every answer checked and kept."""

import hashlib
import os
from collections.abc import Callable, Container
from typing import Any

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.errors import (
    FileFormatError,
    InvalidInputError,
    OracleError,
    QueryBudgetError,
)
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.queries.arrays import read_numbers, read_rows, refuse_non_finite
from expand_and_cluster.queries.pairs import QueryPairs

Rows = Float[np.ndarray, "rows inputs"]
Answers = Float[np.ndarray, "rows outputs"]

CHUNK_ROWS = 4096


class Oracle:
    """A teacher that can only be asked.

    A question (one row) that was answered before is answered from memory: it is neither asked nor
    counted again. With a ledger folder this holds across processes too, so that work that was
    killed goes on where it stopped. Questions are the same when all bytes of their rows are.

    Rows of a call that failed or was killed have no answer. They count as asked in the running
    process; a later process that resumes from the ledger cannot know of them and asks them again,
    at most one chunk.

    Args:
        function: Teacher: (rows, inputs) float64 array to (rows, outputs) array-like.
        input_size: Number of inputs of a question.
        max_queries: Most rows that may be asked; None means no limit.
        ledger: Folder in which every answered chunk is kept; None keeps answers in memory only.
        chunk_rows: Most rows in one call of the function, and so the most that one failure loses.
        report: Told after every chunk.
    """

    def __init__(
        self,
        function: Callable[[Rows], Any],
        input_size: int,
        max_queries: int | None = None,
        ledger: str | os.PathLike[str] | None = None,
        *,
        chunk_rows: int = CHUNK_ROWS,
        report: Reporter = silent,
    ) -> None:
        """Take up the answers of the ledger, if there are any.

        Raises:
            InvalidInputError: The ledger holds questions with another number of inputs.
            FileFormatError: The ledger holds a file that is not one of ours.
        """
        self.input_size = input_size
        self.max_queries = max_queries
        self.output_size: int | None = None
        self._function = function
        self._ledger = Checkpoint(ledger)
        self._chunk_rows = chunk_rows
        self._report = report
        self._inputs: list[np.ndarray] = []
        # Answers grow in place: joining all of them anew for every question would take longer than
        # to ask, where questions come in many small pieces.
        self._outputs = np.zeros((0, 0))
        self._position: dict[bytes, int] = {}
        self._unanswered = 0
        self._entries = 0
        self._read_ledger()

    @property
    def answered(self) -> int:
        """Number of different questions that have an answer, those of the ledger included."""
        return len(self._position)

    @property
    def asked(self) -> int:
        """Number of queries: answered questions, and rows of calls that failed."""
        return self.answered + self._unanswered

    @property
    def left(self) -> int | None:
        """Queries that may still be asked, or None without a limit."""
        return None if self.max_queries is None else max(self.max_queries - self.asked, 0)

    def ask(self, inputs: Any) -> Answers:
        """Answers to questions, asking only what has no answer yet.

        Args:
            inputs: (rows, input_size) array-like of finite numbers.

        Returns:
            (rows, outputs) in float64.

        Raises:
            InvalidInputError: The questions have another shape or are not finite.
            QueryBudgetError: More queries would be needed than are left; nothing was asked.
            OracleError: The function raised, or its answer was not one finite row for each row.
                `partial` holds all pairs answered so far (None if there are none).
        """
        rows = read_rows("inputs", inputs)
        if rows.shape[1] != self.input_size:
            raise InvalidInputError(
                f"inputs must be (rows, {self.input_size}), got shape {rows.shape}."
            )
        keys = _keys(rows)
        new = _first_rows(keys, known=self._position)
        self._check_budget(len(new))
        for start in range(0, len(new), self._chunk_rows):
            chosen = new[start : start + self._chunk_rows]
            chunk = rows[chosen]
            answers = self._answer(chunk)
            self._keep(chunk, answers, [keys[row] for row in chosen])
            self._report(Progress("ask the oracle", start + len(chosen), len(new)))
        return self._outputs[[self._position[key] for key in keys]]

    def pairs(self) -> QueryPairs:
        """All questions with their answers, in the order of asking.

        Raises:
            OracleError: Nothing was answered yet.
        """
        if not self._position:
            raise OracleError("the oracle has not answered anything yet; ask it first.")
        self._merge()
        return QueryPairs.adopt(self._inputs[0], self._outputs[: self.answered].copy())

    def _check_budget(self, wanted: int) -> None:
        left = self.left
        if left is not None and wanted > left:
            raise QueryBudgetError(
                f"asking {wanted} more rows would exceed max_queries={self.max_queries}: "
                f"{self.asked} are asked, {left} are left; nothing was asked now.",
                partial=self._partial(),
            )

    def _answer(self, chunk: Rows) -> Answers:
        # Counted before the call, and taken back once the answers are kept, so that a call that
        # fails in any way has been counted.
        self._unanswered += len(chunk)
        try:
            raw = self._function(chunk.copy())
        except Exception as error:
            raise OracleError(
                f"the oracle failed on a question of {len(chunk)} rows "
                f"({type(error).__name__}: {error}); {self._kept()}",
                partial=self._partial(),
            ) from error
        try:
            answers = read_numbers("the oracle's answer", raw)
            if answers.ndim == 1 and len(answers) == len(chunk):
                answers = answers[:, None]
            self._check_shape(answers, len(chunk))
            refuse_non_finite("the oracle's answer", answers)
        except InvalidInputError as error:
            raise OracleError(f"{error} {self._kept()}", partial=self._partial()) from error
        self.output_size = answers.shape[1]
        return answers

    def _check_shape(self, answers: np.ndarray, rows: int) -> None:
        if answers.ndim != 2 or len(answers) != rows or answers.shape[1] == 0:
            raise InvalidInputError(
                f"the oracle's answer to {rows} rows must be ({rows}, outputs), got shape "
                f"{answers.shape}."
            )
        if self.output_size is not None and answers.shape[1] != self.output_size:
            raise InvalidInputError(
                f"the oracle's answer has {answers.shape[1]} outputs, but earlier ones had "
                f"{self.output_size}."
            )

    def _kept(self) -> str:
        where = "" if self._ledger.folder is None else f" and in {self._ledger.folder}"
        return f"{self.answered} earlier answers are kept in .partial{where}."

    def _partial(self) -> QueryPairs | None:
        return self.pairs() if self._position else None

    def _keep(self, chunk: Rows, answers: Answers, keys: list[bytes]) -> None:
        self._ledger.save(
            _entry(self._entries),
            {"inputs": chunk, "outputs": answers},
            {"rows": len(chunk)},
        )
        self._entries += 1
        self._remember(chunk, answers, keys)
        self._unanswered -= len(chunk)

    def _remember(self, chunk: Rows, answers: Answers, keys: list[bytes]) -> None:
        first = len(self._position)
        self._position.update({key: first + i for i, key in enumerate(keys)})
        self._inputs.append(chunk)
        if first + len(answers) > len(self._outputs):
            grown = np.zeros((2 * (first + len(answers)), answers.shape[1]))
            if first:
                grown[:first] = self._outputs[:first]
            self._outputs = grown
        self._outputs[first : first + len(answers)] = answers

    def _merge(self) -> None:
        if len(self._inputs) > 1:
            self._inputs = [np.concatenate(self._inputs)]

    def _read_ledger(self) -> None:
        while (entry := self._ledger.load(_entry(self._entries))) is not None:
            arrays, _ = entry
            try:
                inputs, outputs = arrays["inputs"], arrays["outputs"]
            except KeyError as error:
                raise FileFormatError(
                    f"{_entry(self._entries)} in {self._ledger.folder} is no ledger entry (it has "
                    f"no {error}); give an empty folder."
                ) from error
            if inputs.shape[1] != self.input_size:
                raise InvalidInputError(
                    f"the ledger in {self._ledger.folder} holds questions with {inputs.shape[1]} "
                    f"inputs, but this oracle takes {self.input_size}; give another folder."
                )
            self.output_size = outputs.shape[1]
            self._remember(inputs, outputs, _keys(inputs))
            self._entries += 1


def _entry(number: int) -> str:
    return f"answers-{number:06d}"


def _keys(rows: Rows) -> list[bytes]:
    # 16 bytes instead of the whole row: two different rows share them with a chance of 2**-128.
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]


def _first_rows(keys: list[bytes], known: Container[bytes]) -> list[int]:
    """Where each unknown key stands for the first time."""
    first: dict[bytes, int] = {}
    for row, key in enumerate(keys):
        if key not in known:
            first.setdefault(key, row)
    return list(first.values())
