import csv
import io

import numpy as np
import pytest

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.report import csv_table, markdown_table, write_table

ROWS = [
    {"name": "a|b", "input_size": 2, "rmse": 1.23456e-15, "identified": True},
    {"name": "c", "input_size": np.int64(16), "rmse": None, "identified": np.False_, "more": 1.0},
]


def test_markdown():
    assert markdown_table(ROWS) == (
        "| name | input size |     rmse | identified | more |\n"
        "| ---- | ---------: | -------: | ---------- | ---: |\n"
        "| a\\|b |          2 | 1.23e-15 | yes        |      |\n"
        "| c    |         16 |          | no         |    1 |\n"
    )


def test_columns_can_be_chosen():
    assert markdown_table(ROWS, ["input_size"]).splitlines()[0] == "| input size |"
    assert csv_table(ROWS, ["name", "more"]) == "name,more\na|b,\nc,1.0\n"


def test_csv_keeps_full_precision():
    lines = list(csv.DictReader(io.StringIO(csv_table(ROWS))))
    assert float(lines[0]["rmse"]) == ROWS[0]["rmse"]
    assert [line["identified"] for line in lines] == ["true", "false"]
    assert lines[1]["rmse"] == ""


def test_no_rows():
    assert markdown_table([]) == ""
    assert csv_table([], ["a"]) == "a\n"


def test_files(tmp_path):
    assert write_table(tmp_path / "t.md", ROWS).read_text() == markdown_table(ROWS)
    assert write_table(tmp_path / "t.csv", ROWS).read_text() == csv_table(ROWS)
    with pytest.raises(InvalidInputError, match=r"\.md or \.csv, got 't\.txt'"):
        write_table(tmp_path / "t.txt", ROWS)
