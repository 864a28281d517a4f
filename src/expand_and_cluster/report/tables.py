"""Rows of plain values as Markdown and CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expand_and_cluster.core.checkpoint import write_atomically
from expand_and_cluster.core.errors import InvalidInputError

Row = Mapping[str, Any]


def markdown_table(rows: Sequence[Row], columns: Sequence[str] | None = None) -> str:
    """A Markdown table, numbers rounded to three digits and aligned to the right.

    Args:
        rows: One mapping for each line; a missing value is left empty.
        columns: Which keys to write, in which order; None takes all, in order of appearance.
    """
    names = _columns(rows, columns)
    if not names:
        return ""
    cells = [[_rounded(row.get(name)) for name in names] for row in rows]
    numeric = [all(_is_number(row.get(n)) for row in rows) and bool(rows) for n in names]
    widths = [max([3, len(n), *(len(line[i]) for line in cells)]) for i, n in enumerate(names)]
    head = [
        _padded(n.replace("_", " "), w, r) for n, w, r in zip(names, widths, numeric, strict=True)
    ]
    rule = ["-" * (w - 1) + (":" if r else "-") for w, r in zip(widths, numeric, strict=True)]
    body = [
        [_padded(c, w, r) for c, w, r in zip(line, widths, numeric, strict=True)] for line in cells
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, rule, *body])


def csv_table(rows: Sequence[Row], columns: Sequence[str] | None = None) -> str:
    """A CSV table with a header line, numbers in full precision.

    Args:
        rows: One mapping for each line; a missing value is left empty.
        columns: Which keys to write, in which order; None takes all, in order of appearance.
    """
    names = _columns(rows, columns)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_exact(row.get(name)) for name in names] for row in rows)
    return text.getvalue()


def write_table(path: Path, rows: Sequence[Row], columns: Sequence[str] | None = None) -> Path:
    """Write a table whole or not at all; the ending .md or .csv decides the form.

    Raises:
        InvalidInputError: The path ends otherwise.
    """
    forms = {".md": markdown_table, ".csv": csv_table}
    if path.suffix.lower() not in forms:
        raise InvalidInputError(f"path must end in .md or .csv, got {path.name!r}.")
    write_atomically(path, forms[path.suffix.lower()](rows, columns).encode())
    return path


def _columns(rows: Sequence[Row], columns: Sequence[str] | None) -> list[str]:
    if columns is not None:
        return list(columns)
    return list(dict.fromkeys(name for row in rows for name in row))


def _is_number(value: object) -> bool:
    return value is None or (
        isinstance(value, int | float | np.number) and not isinstance(value, bool)
    )


def _rounded(value: object) -> str:
    match value:
        case None:
            return ""
        case bool() | np.bool_():
            return "yes" if value else "no"
        case float() | np.floating():
            return f"{float(value):.3g}"
        case _:
            return str(value).replace("|", "\\|").replace("\n", " ")


def _exact(value: object) -> str:
    match value:
        case None:
            return ""
        case bool() | np.bool_():
            return "true" if value else "false"
        case float() | np.floating():
            return repr(float(value))
        case _:
            return str(value)


def _padded(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)
