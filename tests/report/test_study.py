import numpy as np
import pytest
from scipy.stats import binomtest
from tests.report.fakes import fake_study

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.report import (
    draw_study,
    draw_success_rates,
    recovered,
    style,
    summarise_study,
    wilson_interval,
)


def row(**changes: object) -> dict[str, object]:
    return {
        "input_size": 2, "width": 4, "seed": 0, "rmse": 4e-16, "found_width": 4,
        "max_weight_error": 1e-15, "identified": True, "seconds": 1.0,
    } | changes  # fmt: skip


def legend_texts(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_study_counts_what_it_shows(tmp_path):
    rows = fake_study()
    figure = draw_study(rows)
    style.save(figure, tmp_path / "study.png")
    good = sum(recovered(r) for r in rows)
    assert figure.get_suptitle() == f"{good} of 150 teachers recovered exactly"
    assert legend_texts(figure) == [
        "exact width (142)",
        "excess neurons (3)",
        "missing neurons (4)",
        "nothing recovered (1)",
        "called identified (142)",
    ]


def test_a_wrong_identification_is_ringed():
    figure = draw_study([row(), row(seed=1, max_weight_error=1.0)])
    assert "called identified, but wrong (1)" in legend_texts(figure)


@pytest.mark.parametrize(
    ("changes", "whole"),
    [
        ({}, True),
        ({"max_weight_error": None}, True),
        ({"max_weight_error": 1e-9}, False),
        ({"max_weight_error": np.nan}, False),
        ({"rmse": 1e-13}, False),
        ({"rmse": np.nan}, False),
        ({"rmse": None}, False),
        ({"found_width": 5}, False),
        ({"found_width": None}, False),
    ],
)
def test_recovered(changes, whole):
    assert recovered(row(**changes)) is whole


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    "rows",
    [
        [row()],
        [row(rmse=0.0)],
        [row(rmse=np.nan, found_width=None, max_weight_error=np.inf, identified=False)],
        [row(rmse=1e300, found_width=9, identified=False)],
        [row(), row(input_size=32, width=8)],  # two of the four cells are empty
    ],
)
def test_odd_studies(rows, tmp_path):
    assert style.save(draw_study(rows), tmp_path / "a.png").stat().st_size > 0


def test_summary():
    rows = [row(), row(seed=1, rmse=1e-3, identified=False, seconds=3.0), row(width=2)]
    first, second = summarise_study(rows)
    assert first["width"] == 2
    assert first["recovered"] == 0  # a network of 4 neurons for a teacher of 2
    assert second == {
        "input_size": 2, "width": 4, "teachers": 2, "recovered": 1, "identified": 1,
        "median_rmse": 4e-16, "worst_rmse": 1e-3, "seconds": 2.0,
    }  # fmt: skip
    without = {k: v for k, v in row().items() if k != "seconds"}
    assert summarise_study([without])[0]["seconds"] is None


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 10), (1, 7), (2, 1024), (72, 128), (10, 10), (1, 1)]
)
def test_wilson_interval_is_scipys(successes, trials):
    known = binomtest(successes, trials).proportion_ci(0.9, method="wilson")
    assert wilson_interval(successes, trials, 0.9) == pytest.approx(tuple(known), abs=1e-14)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (-1, 3), (4, 3)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(InvalidInputError, match=f"got {successes} of {trials}"):
        wilson_interval(successes, trials)


@pytest.mark.parametrize("counts", [[(2, 1024), (72, 128)], [(0, 3)], [(3, 3), (0, 5)]])
def test_success_rates(counts, tmp_path):
    rows = [
        {"overparameterisation": 2**i, "successes": s, "trials": t}
        for i, (s, t) in enumerate(counts)
    ]
    figure = draw_success_rates(rows)
    style.save(figure, tmp_path / "rates.png")
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts == [f"{s:,} of {t:,}" for s, t in counts]


def test_empty_studies_are_refused():
    with pytest.raises(InvalidInputError, match="rows is empty"):
        draw_study([])
    with pytest.raises(InvalidInputError, match="rows is empty"):
        draw_success_rates([])
