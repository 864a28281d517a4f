"""The picture of what noise costs."""

import numpy as np
import pytest

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.report.noise_curve import draw_noise_curve


def row(level, error, *, identified=True):
    return {
        "level": level,
        "width": 4,
        "neurons": 4 if identified else 1,
        "weight_error": error,
        "standard_error": None if error is None else 2.0 * error,
        "identified": identified,
    }


def texts(figure):
    return " ".join(
        text.get_text() for text in figure.findobj(match=lambda o: hasattr(o, "get_text"))
    )


@pytest.mark.parametrize(("decimals", "levels"), [(True, (2, 3, 4)), (False, (1e-1, 1e-2, 1e-3))])
def test_true_errors_are_drawn_beside_the_standard_errors(decimals, levels):
    rows = [row(levels[0], None, identified=False), row(levels[1], 1e-3), row(levels[2], 1e-4)]
    figure = draw_noise_curve(rows, decimals=decimals)
    assert "2 of 3 called identified; errors are 0.5 times" in texts(figure)
    assert "1 of 3 without standard errors" in texts(figure)
    above, below = figure.axes
    drawn = np.sort(np.asarray(above.lines[1].get_ydata()))
    assert drawn.tolist() == [25.0, 100.0, 100.0]
    assert np.sort(np.asarray(below.lines[0].get_ydata())) == pytest.approx([2e-4, 2e-3])


def test_failures_alone_are_drawn_too():
    assert "No standard" in texts(draw_noise_curve([row(2, None)], decimals=True))


def test_no_rows_are_refused():
    with pytest.raises(InvalidInputError, match="at least one level"):
        draw_noise_curve([], decimals=True)
