"""Loss curves and expansion curve."""

import numpy as np
import pytest
from tests.report.fakes import REASONS, fake_curves, fake_expansion

from expand_and_cluster.report import draw_expansion, draw_losses, style


def legend_texts(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_losses_name_reasons_and_the_best(tmp_path):
    curves = fake_curves()
    figure = draw_losses(curves.steps, curves.losses, curves.codes, held_out=curves.held_out)
    style.save(figure, tmp_path / "losses.png")
    final = [row[np.isfinite(row)][-1] for row in curves.losses]
    assert legend_texts(figure) == [
        f"{reason} ({curves.codes.count(reason)})"
        for reason in REASONS if reason in curves.codes
    ] + [f"best: student {np.argmin(final)}"]  # fmt: skip
    assert figure.get_suptitle().startswith("6 of 10 students reached the target loss")


def one(losses, **more):
    losses = np.asarray(losses, dtype=np.float64)
    steps = np.arange(losses.shape[1])
    return draw_losses(steps, losses, ("used all steps",) * len(losses), **more)


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    "losses",
    [
        [[1.0]],
        [[0.0, 0.0, 0.0]],
        [[np.nan, np.nan]],
        [[1.0, np.inf], [1.0, 0.1]],
        [[1e-320, 1.0]],
        [[1e200, 1e-200]],
    ],
)
def test_degenerate_losses(losses, tmp_path):
    held_out = np.full(len(losses), np.nan)
    held_out[0] = losses[0][0]
    figure = one(losses, held_out=held_out)
    assert style.save(figure, tmp_path / "a.png").stat().st_size > 0


def test_an_unknown_reason_gets_a_colour():
    figure = draw_losses(np.arange(2), np.ones((2, 2)), ("used all steps", "out of ideas"))
    assert "out of ideas (1)" in legend_texts(figure)


def test_expansion(tmp_path):
    curve = fake_expansion()
    figure = draw_expansion(curve.widths, curve.losses, curve.criterion, curve.chosen)
    style.save(figure, tmp_path / "expansion.png")
    assert figure.get_suptitle() == "Width 8 is the first with near-zero loss; width 16 was taken"


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    ("widths", "losses", "criterion"),
    [
        ([4], [[0.1]], 1e-3),
        ([4], [[0.0]], 1e-3),
        ([2, 4], [[np.nan], [np.nan]], 1e-3),
        ([2, 4, 6], [[1.0, np.inf], [0.1, 0.2], [0.0, 0.0]], 0.0),
        (list(range(1, 60)), [[0.5]] * 59, 1e-3),
    ],
)
def test_degenerate_expansion(widths, losses, criterion, tmp_path):
    figure = draw_expansion(np.array(widths), np.array(losses), criterion, widths[-1])
    assert style.save(figure, tmp_path / "a.png").stat().st_size > 0
