"""Kernels of the teacher beside the recovered ones (paper, Fig. A.16)."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.report import style


def draw_kernels(
    teacher: Float[np.ndarray, "channels size"],
    recovered: Float[np.ndarray, "channels size"],
    distances: Float[np.ndarray, " channels"],
    kernel: int,
    layer: int,
) -> Figure:
    """All kernels of one layer twice: a row for each channel, a square for each channel below.

    Args:
        teacher: The teacher's kernels, bias last, one row for each channel.
        recovered: The matching recovered ones, brought to the teacher's length; zero where missing.
        distances: Cosine distance of each pair.
        kernel: Side of a kernel, in pixels.
        layer: Number of the layer, from 1, for the title.

    Source:
        Figure A.16 of the paper.
    """
    below = (teacher.shape[1] - 1) // kernel**2
    # Few squares in a row leave room for several channels beside each other.
    wrap = min(max(1, 16 // below), len(teacher))
    lines = -(-len(teacher) // wrap)
    figure = style.new_figure(9.0, min(9.0, 1.3 + 3.6 * lines / (wrap * below)))
    panels = figure.subplots(1, 2)
    limit = float(np.abs(teacher[:, :-1]).max())
    image = None
    for axes, vectors, name in zip(
        panels, (teacher, recovered), ("teacher", "recovered"), strict=True
    ):
        sheet = _sheet(vectors[:, :-1].reshape(len(vectors), below, kernel, kernel), wrap)
        image = axes.imshow(sheet, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_axis_off()
        style.note(axes, name)
    assert image is not None
    bar = figure.colorbar(image, ax=list(panels), shrink=0.7, pad=0.02)
    bar.set_label("weight", fontsize=9.5, color=style.INK)
    bar.outline.set_visible(False)  # type: ignore[operator]
    found = distances[distances < 1.0]
    worst = f", cosine distance at most {style.short(float(found.max()))}" if len(found) else ""
    style.headline(figure, f"Layer {layer}: {len(found)} of {len(teacher)} channels found{worst}")
    return figure


def write_kernels(folder: Path) -> list[Path]:
    """Draw every layer of every teacher whose kernels a study's folder holds.

    Args:
        folder: The study's folder, with its subfolder `kernels`.
    """
    written = []
    kept = Checkpoint(folder / "kernels")
    for path in sorted((folder / "kernels").glob("*.safetensors")):
        loaded = kept.load(path.stem)
        assert loaded is not None
        arrays, meta = loaded
        for number, side in enumerate(meta["kernels"], start=1):
            parts = [arrays[f"{name}-{number}"] for name in ("teacher", "recovered", "distances")]
            written.append(folder / f"kernels-{path.stem}-layer-{number}.png")
            style.save(draw_kernels(*parts, kernel=side, layer=number), written[-1])
    return written


def _sheet(
    kernels: Float[np.ndarray, "channels below side side"], wrap: int
) -> Float[np.ndarray, "rows columns"]:
    """Kernels on one sheet, a pixel of nothing beside each."""
    channels, below, side, _ = kernels.shape
    lines, step = -(-channels // wrap), side + 1
    sheet = np.full((lines * step - 1, wrap * below * step), np.nan)
    for channel in range(channels):
        row, first = divmod(channel, wrap)
        for number in range(below):
            column = (first * below + number) * step
            sheet[row * step : row * step + side, column : column + side] = kernels[channel, number]
    return sheet
