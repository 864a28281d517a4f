import subprocess
import sys

import numpy as np
import pytest

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.report import style

PNG = b"\x89PNG\r\n\x1a\n"


def test_png_and_svg_are_written(tmp_path):
    figure = style.new_figure(3.0, 2.0)
    figure.add_subplot().plot([1, 2], [3, 4])
    png = style.save(figure, tmp_path / "deep" / "a.png")
    svg = style.save(figure, tmp_path / "deep" / "a.svg")
    assert png.read_bytes().startswith(PNG)
    assert b"<svg" in svg.read_bytes()
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["a.png", "a.svg"]


def test_png_has_150_dots_per_inch(tmp_path):
    path = style.save(style.new_figure(3.0, 2.0), tmp_path / "a.png")
    width, height = (int.from_bytes(path.read_bytes()[i : i + 4], "big") for i in (16, 20))
    assert (width, height) == (450, 300)


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match=r"\.png or \.svg, got 'a\.gif'"):
        style.save(style.new_figure(3.0, 2.0), tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "floor"),
    [
        ([3e-5, 1.0], 1e-5),
        ([0.0, 3e-5], 1e-6),  # zero gets a decade of its own
        ([np.nan, np.inf, 2.0], 1.0),
        ([0.0], style.NEAR_NOTHING),
        ([], style.NEAR_NOTHING),
        ([5e-324], style.LOWEST),
    ],
)
def test_log_floor(values, floor):
    assert style.log_floor(values) == pytest.approx(floor)


def test_log_ceiling_is_above_the_floor():
    assert style.log_ceiling([], floor=1e-17) == pytest.approx(1e-16)
    assert style.log_ceiling([np.nan, 0.02], floor=1e-5) == pytest.approx(0.1)
    assert style.log_ceiling([0.1], floor=1e-5) == pytest.approx(0.1)


def test_long_headlines_are_wrapped_to_the_figure():
    figure = style.new_figure(3.0, 2.0)
    style.headline(figure, "many words " * 10)
    assert "\n" in figure.get_suptitle()


def test_importing_the_room_touches_no_global_state():
    # A fresh process: this one may have pyplot loaded already.
    code = (
        "import sys, matplotlib as m; before = dict(dict.items(m.rcParams));"
        "import expand_and_cluster.report;"
        "assert dict(dict.items(m.rcParams)) == before;"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
