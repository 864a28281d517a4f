"""Reading what users pass as arrays: lists, NumPy, pandas, torch, JAX."""

from typing import Any

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.errors import InvalidInputError

Matrix = Float[np.ndarray, "rows columns"]


def read_numbers(name: str, value: Any) -> np.ndarray:
    """Copy real numbers of any array-like into float64, whatever their shape.

    Args:
        name: What to call the value in an error.
        value: Nested lists, or anything NumPy can read. A torch tensor may require gradients or
            live on another device.

    Raises:
        InvalidInputError: The value is no rectangular array of real numbers.
    """
    if np.ma.is_masked(value):
        raise InvalidInputError(f"{name} has masked values; drop or fill those rows first.")
    try:
        for step in ("detach", "cpu"):
            value = getattr(value, step)() if hasattr(value, step) else value
        array = np.asarray(value)
    except Exception as error:
        raise InvalidInputError(
            f"{name} must be a rectangular array of numbers; reading it failed ({error})."
        ) from error
    if array.dtype.kind == "c":
        raise InvalidInputError(f"{name} holds complex numbers; real numbers are expected.")
    # Kind "V" without fields: the narrow float types that JAX adds to NumPy, such as bfloat16.
    narrow_float = array.dtype.kind == "V" and array.dtype.names is None
    if array.dtype.kind not in "biuf" and not narrow_float:
        raise InvalidInputError(
            f"{name} must be an array of numbers, not of dtype {array.dtype} "
            f"({type(value).__name__})."
        )
    try:
        return np.array(array, dtype=np.float64, order="C")
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"{name} of dtype {array.dtype} cannot be read as float64 ({error})."
        ) from error


def refuse_non_finite(name: str, rows: Matrix) -> None:
    """Refuse NaN and infinity.

    Raises:
        InvalidInputError: Names the first row and column that is not finite, counted from 0.
    """
    finite = np.isfinite(rows)
    if finite.all():
        return
    row = int(np.argmin(finite.all(axis=1)))
    column = int(np.argmin(finite[row]))
    raise InvalidInputError(
        f"{name} must be finite, but row {row} holds {rows[row, column]} in column {column}; "
        f"{int((~finite.all(axis=1)).sum())} of {len(rows)} rows are not finite."
    )


def read_rows(name: str, value: Any) -> Matrix:
    """Copy a non-empty, finite two-dimensional array into float64.

    Raises:
        InvalidInputError: The shape is another, or a number is not finite.
    """
    rows = read_numbers(name, value)
    if rows.ndim != 2:
        hint = f" for one-dimensional inputs write {name}.reshape(-1, 1)," if rows.ndim == 1 else ""
        raise InvalidInputError(
            f"{name} must be two-dimensional, (rows, columns), got shape {rows.shape};{hint} "
            "every row is one question or answer."
        )
    if 0 in rows.shape:
        raise InvalidInputError(
            f"{name} must have at least one row and one column, got shape {rows.shape}."
        )
    refuse_non_finite(name, rows)
    return rows
