"""Strict JSON for files: no NaN, no infinity, and nothing lost on the way back."""

import enum
import json
import math
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

import numpy as np

# JSON has no word for these. They are written as an object with this single key, so that a file
# stays readable by every strict parser and the value comes back as it was.
_FLOAT = "$float"


def plain(value: Any) -> Any:
    """The nearest value made of dict, list, str, int, float, bool and None.

    Tuples, sets and arrays become lists, NumPy numbers become Python's, paths become text, and
    a function or another object is replaced by its name.

    Args:
        value: Anything.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, str | int | float):
        return _bare(value)
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, PathLike):
        return fspath(value)
    name = getattr(value, "name", getattr(value, "__name__", None))
    return name if isinstance(name, str) else type(value).__name__


def _bare(value: str | int | float) -> str | int | float:
    # Subclasses (an integer with a unit, say) would not come back as what they were.
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    return value


def dumps(value: Any, *, indent: int | None = None, lossy: bool = False) -> str:
    """JSON text of any value, made plain first.

    Args:
        value: Anything; see `plain`.
        indent: Spaces for each level, or None for one line.
        lossy: Write NaN and infinity as null (for files read by other programs) instead of a
            marked form that `loads` turns back.
    """
    return json.dumps(_mark(plain(value), lossy), indent=indent, allow_nan=False)


def loads(text: str | bytes) -> Any:
    """The plain value that `dumps` wrote.

    Raises:
        ValueError: The text is not strict JSON.
    """
    return json.loads(text, object_hook=_unmark, parse_constant=_refuse)


def _mark(value: Any, lossy: bool) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if lossy else {_FLOAT: repr(value)}
    if isinstance(value, dict):
        return {key: _mark(item, lossy) for key, item in value.items()}
    if isinstance(value, list):
        return [_mark(item, lossy) for item in value]
    return value


def _unmark(found: dict[str, Any]) -> Any:
    return float(found[_FLOAT]) if found.keys() == {_FLOAT} else found


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not strict JSON")
