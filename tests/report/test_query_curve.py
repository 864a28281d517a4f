"""The picture of what questions buy."""

import numpy as np
import pytest

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.report.query_curve import draw_query_curve


def row(queries, error, *, neurons=64, identified=True):
    return {
        "queries": queries,
        "bound": 5089,
        "width": 64,
        "neurons": neurons,
        "max_weight_error": error,
        "identified": identified,
    }


def texts(figure):
    return " ".join(
        text.get_text() for text in figure.findobj(match=lambda o: hasattr(o, "get_text"))
    )


def test_headline_names_the_fewest_questions_that_were_enough():
    figure = draw_query_curve(
        [row(20_356, 1e-14), row(7_633, None, neurons=3, identified=False), row(10_178, 2e-11)]
    )
    assert "10,178" in texts(figure)
    assert "2.00 times" in texts(figure)
    above, below = figure.axes
    assert np.asarray(above.lines[0].get_ydata()).tolist() == [3, 64, 64]
    assert np.asarray(below.lines[0].get_ydata())[0] == 10.0


def test_failures_alone_are_drawn_too():
    figure = draw_query_curve([row(6_000, float("inf"), neurons=0, identified=False)])
    assert "No number" in texts(figure)


def test_no_rows_are_refused():
    with pytest.raises(InvalidInputError, match="at least one number"):
        draw_query_curve([])
