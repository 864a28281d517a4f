"""All pictures of one saved run."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from expand_and_cluster.core.errors import FileFormatError
from expand_and_cluster.core.strict_json import loads
from expand_and_cluster.recovery import Recovery, load
from expand_and_cluster.report import style
from expand_and_cluster.report.activations import draw_activation_ranking
from expand_and_cluster.report.dendrogram import draw_dendrogram
from expand_and_cluster.report.expansion import draw_expansion
from expand_and_cluster.report.losses import draw_losses
from expand_and_cluster.report.neurons import (
    NeuronDistances,
    draw_agreement,
    draw_teacher_distances,
)
from expand_and_cluster.report.similarity import draw_similarity


def write_pictures(
    folder: str | PathLike[str],
    *,
    comparison: NeuronDistances | None = None,
    recovery: Recovery | None = None,
) -> list[Path]:
    """Draw what a run folder tells into `folder/pictures`.

    Writes activations.png (where the activation was not given), losses.png, expansion.png,
    dendrogram.png, similarity.png and neurons.png. A picture whose evidence the run does not hold
    is left out.

    Args:
        folder: A folder written by `Recovery.save`.
        comparison: Distances to a known teacher; None reads them from `folder/comparison.json`
            if that is there. Without them the neurons' picture shows the students' agreement.
        recovery: The folder's recovery if it is at hand; None reads it. Needed when the
            activation is a function of your own, which a file cannot hold.

    Returns:
        The files written.

    Raises:
        FileFormatError: The folder or its comparison.json is not what it claims to be.
    """
    place = Path(folder)
    if recovery is None:
        recovery = load(place)
    if comparison is None:
        comparison = _read_comparison(place / "comparison.json")
    return [
        style.save(draw(), place / "pictures" / f"{name}.png")
        for name, draw in _drawings(recovery, comparison).items()
    ]


def _drawings(
    recovery: Recovery, comparison: NeuronDistances | None
) -> dict[str, Callable[[], Figure]]:
    """Only one figure is held at a time: each is drawn when it is written."""
    drawings: dict[str, Callable[[], Figure]] = {}
    curves, expansion, clustering = recovery.curves, recovery.expansion, recovery.clustering
    named = recovery.activations
    if named is not None:
        drawings["activations"] = lambda: draw_activation_ranking(named)
    if curves.losses.size:
        drawings["losses"] = lambda: draw_losses(
            curves.steps, curves.losses, curves.codes, held_out=curves.held_out
        )
    if expansion is not None and expansion.losses.size:
        drawings["expansion"] = lambda: draw_expansion(
            expansion.widths, expansion.losses, expansion.criterion, expansion.chosen
        )
    if clustering is not None and clustering.labels.size:
        drawings["dendrogram"] = lambda: draw_dendrogram(
            clustering.tree, clustering.height, clustering.labels, students=clustering.students
        )
        drawings["similarity"] = lambda: draw_similarity(
            clustering.vectors, clustering.labels, tree=clustering.tree,
            sign_free=recovery.network.activation.symmetry.flip is not None,
        )  # fmt: skip
    if comparison is not None:
        drawings["neurons"] = lambda: draw_teacher_distances(comparison)
    elif recovery.neurons:
        drawings["neurons"] = lambda: draw_agreement(
            np.array([n.agreement for n in recovery.neurons]),
            np.array([len(n.students) for n in recovery.neurons]),
            len(curves.codes),
            types=[n.type for n in recovery.neurons],
        )
    return drawings


def _read_comparison(path: Path) -> NeuronDistances | None:
    try:
        data = loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise FileFormatError(
            f"{path} is not strict JSON ({error}); compare again to rewrite it."
        ) from error
    neurons = data.get("neurons") if isinstance(data, dict) else None
    return NeuronDistances.from_json(neurons) if isinstance(neurons, dict) else None
