"""Errors of the library travel between processes."""

import pickle

import pytest

from expand_and_cluster.core.errors import EacError, InvalidInputError, QueryBudgetError


@pytest.mark.parametrize("kind", [EacError, InvalidInputError, QueryBudgetError])
def test_the_sentence_travels_without_what_was_reached(kind: type[EacError]):
    error = kind("one sentence", partial=lambda: "no pickle takes this")
    error.add_note("where it was raised")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == "one sentence"
    assert again.partial is None
    assert again.__notes__ == ["where it was raised"]
    assert error.partial is not None
