"""The picture of costs against what varies."""

import pytest

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.experiments.cost import tasks
from expand_and_cluster.report.costs import draw_costs, exponents

ROWS = [{"varied": "neurons of a layer", "value": r, "cost": 0.5 * r**2.0} for r in (5, 10, 20)] + [
    {"varied": "inputs", "value": d, "cost": 3.0 * d**0.5} for d in (40, 20, 80)
]


def test_the_exponent_is_the_slope():
    found = exponents(ROWS)
    assert found == pytest.approx({"neurons of a layer": 2.0, "inputs": 0.5})


def test_every_thing_that_varies_has_a_panel_with_its_exponent():
    figure = draw_costs(ROWS)
    first, second = figure.axes[:2]
    assert first.get_xlabel() == "neurons of a layer"
    assert [text.get_text() for text in first.texts] == ["exponent 2.00"]
    assert [text.get_text() for text in second.texts] == ["exponent 0.50"]


def test_one_point_has_no_exponent():
    figure = draw_costs(ROWS[:1])
    assert not figure.axes[0].texts
    with pytest.raises(InvalidInputError, match="rows is empty"):
        draw_costs([])


def test_one_thing_varies_at_a_time():
    for varied in ("neurons of a layer", "hidden layers", "inputs"):
        widths = [task["widths"] for task in tasks(smoke=False) if task["varied"] == varied]
        assert len({tuple(each) for each in widths}) == len(widths) >= 3
        same = {"neurons of a layer": (0, -1), "hidden layers": (0, 1, -1), "inputs": (1, -1)}
        for place in same[varied]:
            assert len({each[place] for each in widths}) == 1
