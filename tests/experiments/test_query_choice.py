"""A second half of questions that nothing is known to choose by is plain, and failures are rows."""

import numpy as np
import pytest

from expand_and_cluster.core.errors import EacError
from expand_and_cluster.core.progress import silent
from expand_and_cluster.experiments import query_choice

TASK = {"activation": "tanh", "choice": "hyperplanes", "share": 2.0, "seed": 0, "seconds": 5.0}


def test_without_a_network_the_second_half_is_plain_and_the_row_says_that_it_failed(
    monkeypatch: pytest.MonkeyPatch,
):
    asked = []

    def fail(task: object, inputs: np.ndarray, answers: np.ndarray, report: object) -> None:
        asked.append(inputs)
        raise EacError("no student imitates the teacher")

    monkeypatch.setattr(query_choice, "_recovered", fail)
    row = query_choice.recover_chosen(TASK, silent)
    plain = query_choice.recover_chosen({**TASK, "choice": "plain"}, silent)
    assert row["exact"] is False
    assert row["identified"] is False
    assert row["max_weight_error"] == np.inf
    # First the half, then all; plain questions need no first network.
    assert [len(inputs) for inputs in asked] == [33, 66, 66]
    np.testing.assert_array_equal(asked[1], asked[2])
    assert row["queries"] == plain["queries"] == 66
