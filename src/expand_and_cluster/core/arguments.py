"""Reading numbers, folders and callables that a user gives."""

import math
import operator
import os
from pathlib import Path
from typing import Any, cast

import numpy as np

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.progress import Reporter, silent


def whole_number(name: str, value: Any, least: int, why: str = "") -> int:
    """A whole number, of Python or NumPy.

    Args:
        name: What to call it in an error.
        value: What was given.
        least: The smallest that is allowed.
        why: Reason of that bound, for the error.

    Raises:
        InvalidInputError: The value is not whole, or too small.
    """
    expected = f"a whole number, at least {least}" + (f" ({why})" if why else "")
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least or isinstance(value, bool | np.bool):
        raise InvalidInputError(f"{name} must be {expected}, got {value!r}.")
    return number


def positive_number(
    name: str, value: Any, most: float = math.inf, limit: str = "infinity"
) -> float | None:
    """A number above zero; None for None.

    Args:
        name: What to call it in an error.
        value: What was given.
        most: The largest that is allowed.
        limit: The same in words.

    Raises:
        InvalidInputError: It is no such number.
    """
    if value is None:
        return None
    allowed = isinstance(value, int | float | np.integer | np.floating)
    if not allowed or isinstance(value, bool) or not (0.0 < value <= most and value < math.inf):
        bound = "" if most == math.inf else f" and at most {limit}"
        raise InvalidInputError(f"{name} must be a number above 0{bound}, got {value!r}.")
    return float(value)


def read_progress(value: Any) -> Reporter:
    """The callable that is told of progress; one that does nothing for None.

    Args:
        value: What was given as `progress`.

    Raises:
        InvalidInputError: It cannot be called.
    """
    if value is None:
        return silent
    if not callable(value):
        raise InvalidInputError(
            f"progress must be a callable that takes one eac.Progress, got {type(value).__name__}."
        )
    return cast(Reporter, value)


def read_folder(value: Any) -> Path | None:
    """The folder of a checkpoint, None for none.

    Args:
        value: What was given as `checkpoint`.

    Raises:
        InvalidInputError: It is no path, or leads to or through a file.
    """
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise InvalidInputError(f"checkpoint must be the path of a folder, got {value!r}.")
    folder = Path(os.fsdecode(value))
    for place in (folder, *folder.parents):
        if place.exists():
            if not place.is_dir():
                raise InvalidInputError(
                    f"checkpoint must be a folder, but {place} is an existing file; give another "
                    "path."
                )
            break
    return folder
