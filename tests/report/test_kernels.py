"""The picture of kernels."""

from pathlib import Path

import numpy as np

from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.report.kernels import draw_kernels, write_kernels


def test_both_panels_hold_every_weight_once():
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(5, 2 * 9 + 1))
    figure = draw_kernels(teacher, 2.0 * teacher, np.full(5, 1e-15), kernel=3, layer=2)
    for axes, factor in zip(figure.axes[:2], (1.0, 2.0), strict=True):
        drawn = axes.images[0].get_array()
        assert drawn is not None
        sheet = np.ma.filled(np.ma.masked_invalid(drawn), np.nan)
        shown = np.sort(sheet[np.isfinite(sheet)])
        np.testing.assert_allclose(shown, np.sort(factor * teacher[:, :-1].ravel()))


def test_every_layer_of_every_teacher_gets_a_picture(tmp_path: Path):
    rng = np.random.default_rng(0)
    arrays = {}
    for number, size in ((1, 10), (2, 37)):
        arrays[f"teacher-{number}"] = arrays[f"recovered-{number}"] = rng.normal(size=(4, size))
        arrays[f"distances-{number}"] = np.zeros(4)
    Checkpoint(tmp_path / "kernels").save("one", arrays, {"kernels": [3, 3]})
    written = write_kernels(tmp_path)
    assert [path.name for path in written] == [f"kernels-one-layer-{k}.png" for k in (1, 2)]
    assert all(path.stat().st_size > 1000 for path in written)
