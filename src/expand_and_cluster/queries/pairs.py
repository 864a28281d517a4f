"""Questions with their answers."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.queries.arrays import read_numbers, read_rows, refuse_non_finite


@dataclass(frozen=True, eq=False, init=False, repr=False)
class QueryPairs:
    """Inputs that a teacher was given and the outputs it answered with.

    Both are kept as read-only float64 copies, so that nothing changes under a running recovery.

    Attributes:
        inputs: One question for each row.
        outputs: Its answer (un-normalised outputs: logits).
    """

    inputs: Float[np.ndarray, "pairs inputs"]
    outputs: Float[np.ndarray, "pairs outputs"]

    def __init__(self, inputs: Any, outputs: Any) -> None:
        """Check and copy the arrays.

        Args:
            inputs: (pairs, inputs) array-like of finite numbers.
            outputs: (pairs, outputs) array-like of finite numbers; (pairs,) counts as one output.

        Raises:
            InvalidInputError: A shape, dtype or value is none of these.
        """
        questions = read_rows("inputs", inputs)
        answers = read_numbers("outputs", outputs)
        if answers.ndim == 1:
            answers = answers[:, None]
        if answers.ndim != 2 or answers.shape[1] == 0:
            raise InvalidInputError(
                f"outputs must be (pairs, outputs) or (pairs,), got shape {answers.shape}."
            )
        if len(answers) != len(questions):
            raise InvalidInputError(
                f"inputs has {len(questions)} rows but outputs has {len(answers)}; every question "
                "needs exactly one answer."
            )
        refuse_non_finite("outputs", answers)
        self._keep(questions, answers)

    def _keep(self, inputs: np.ndarray, outputs: np.ndarray) -> None:
        inputs.flags.writeable = False
        outputs.flags.writeable = False
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "outputs", outputs)

    @classmethod
    def adopt(
        cls,
        inputs: Float[np.ndarray, "pairs inputs"],
        outputs: Float[np.ndarray, "pairs outputs"],
    ) -> "QueryPairs":
        """Wrap arrays that are already checked, without a copy; they become read-only."""
        pairs = object.__new__(cls)
        pairs._keep(inputs, outputs)
        return pairs

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.inputs)

    def __repr__(self) -> str:
        """Sizes only."""
        return f"QueryPairs({len(self)} pairs, {self.input_size} in, {self.output_size} out)"

    @property
    def input_size(self) -> int:
        """Number of inputs."""
        return self.inputs.shape[1]

    @property
    def output_size(self) -> int:
        """Number of outputs."""
        return self.outputs.shape[1]

    def digest(self) -> str:
        """Short fingerprint of all numbers, to tell whether two sets of pairs are the same."""
        content = hashlib.sha256(self.inputs.tobytes())
        content.update(self.outputs.tobytes())
        return content.hexdigest()[:16]

    def take(self, rows: Int[np.ndarray, " chosen"]) -> "QueryPairs":
        """The pairs at these positions, in this order."""
        return QueryPairs.adopt(self.inputs[rows], self.outputs[rows])

    def split(self, fraction: float = 0.1, seed: int = 0) -> tuple["QueryPairs", "QueryPairs"]:
        """Set a random part of the pairs aside.

        Args:
            fraction: Share of the pairs to hold out, between 0 and 1; at least one pair is held
                out and at least one is left.
            seed: Decides which pairs; the same seed always chooses the same ones.

        Returns:
            The pairs to train on and the held-out pairs, each in their original order.

        Raises:
            InvalidInputError: The fraction is not between 0 and 1, or there is only one pair.
        """
        if not 0.0 < fraction < 1.0:
            raise InvalidInputError(f"fraction must lie between 0 and 1, got {fraction}.")
        if len(self) < 2:
            raise InvalidInputError("a single pair cannot be split; at least two are needed.")
        held = min(max(round(fraction * len(self)), 1), len(self) - 1)
        order = np.random.default_rng(seed).permutation(len(self))
        return self.take(np.sort(order[held:])), self.take(np.sort(order[:held]))


def check_informative(pairs: QueryPairs, *, name: str = "pairs") -> None:
    """Refuse pairs from which no network can be recovered.

    Args:
        pairs: Questions and answers.
        name: What to call them in an error.

    Raises:
        InvalidInputError: There are fewer answered numbers than one hidden neuron has unknowns,
            all inputs are the same, or all outputs are constant.
    """
    _check_determined(len(pairs), pairs.input_size, pairs.output_size, name)
    if _constant(pairs.inputs):
        raise InvalidInputError(
            f"the inputs of {name} are {len(pairs)} rows that are all the same; they must vary for "
            "their answers to tell anything."
        )
    if _constant(pairs.outputs):
        raise InvalidInputError(
            f"the outputs of {name} are constant over all {len(pairs)} rows, which a network of "
            "any width can be; give inputs on which the outputs vary."
        )


def _check_determined(rows: int, input_size: int, output_size: int, name: str) -> None:
    # One neuron has its input weights and a bias, and every output one weight and one bias.
    unknowns = input_size + 1 + 2 * output_size
    if rows * output_size < unknowns:
        raise InvalidInputError(
            f"{name} has {rows} rows with {output_size} outputs, {rows * output_size} numbers, but "
            f"a single hidden neuron with {input_size} inputs has {unknowns} unknowns; at least "
            f"{-(-unknowns // output_size)} rows are needed, and more for every further neuron."
        )


def _constant(rows: np.ndarray) -> bool:
    # Four units of rounding: answers of a constant network may differ by the order of a sum.
    rounding = 4 * np.finfo(np.float64).eps * np.max(np.abs(rows), axis=0)
    return bool(np.all(np.ptp(rows, axis=0) <= rounding))
