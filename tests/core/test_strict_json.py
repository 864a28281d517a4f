"""Strict JSON loses nothing that a plain value holds."""

import enum
import json
import math
from pathlib import Path

import numpy as np
import pytest

from expand_and_cluster.core.strict_json import dumps, loads, plain


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, 2.5, None), [1, 2.5, None]),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.bool_(True), True),
        (np.float32(0.5), 0.5),
        (Colour.RED, "red"),
        (Path("a") / "b", str(Path("a") / "b")),
        ({3: {"b", "a"}}, {"3": ["a", "b"]}),
        (math.sin, "sin"),
        (object(), "object"),
    ],
)
def test_plain_values(value, expected):
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


def test_every_float_comes_back():
    value = {"a": [math.inf, -math.inf, 0.1, -0.0, 5e-324], "b": {"c": math.nan}}
    text = dumps(value)
    json.loads(text, parse_constant=pytest.fail)
    back = loads(text)
    assert back["a"] == value["a"]
    assert math.isnan(back["b"]["c"])


def test_lossy_writes_null():
    assert dumps([math.nan, np.inf, 1.0], lossy=True) == "[null, null, 1.0]"


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "{"])
def test_loose_json_is_refused(text):
    with pytest.raises(ValueError, match=r"strict|Expecting"):
        loads(text)
