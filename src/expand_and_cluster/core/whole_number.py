"""Reading a whole number that a user gives."""

import operator
from typing import Any

import numpy as np

from expand_and_cluster.core.errors import InvalidInputError


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
