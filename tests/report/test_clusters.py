"""Dendrogram and similarity matrix."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from scipy.cluster.hierarchy import dendrogram, linkage
from tests.report.fakes import fake_clustering

from expand_and_cluster.report import draw_dendrogram, draw_similarity, style


def segments(figure):
    (lines,) = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    return [np.array(s) for s in lines.get_segments()]


def test_dendrogram_is_scipys(tmp_path):
    found = fake_clustering(students=3, width=5, teacher=2)
    figure = draw_dendrogram(found.tree, found.height, found.labels, students=found.students)
    style.save(figure, tmp_path / "dendrogram.png")
    known = dendrogram(found.tree, no_plot=True)
    # SciPy puts leaves at 5, 15, 25, ...; ours stand at 0, 1, 2, ...
    expected = np.array(sorted(((np.array(x) - 5) / 10).tolist() for x in known["icoord"]))
    ours = np.array(sorted(s[:, 0].tolist() for s in segments(figure)))
    assert ours == pytest.approx(expected)
    tops = sorted(s[:, 1].max() for s in segments(figure))
    assert tops == pytest.approx(sorted(max(y) for y in known["dcoord"]))
    ticks = [t.get_text() for t in figure.axes[0].get_xticklabels()]
    assert ticks == [str(found.students[leaf]) for leaf in known["leaves"]]


def test_large_dendrograms_are_bundled_but_keep_every_kept_neuron(tmp_path):
    found = fake_clustering(students=10, width=64, teacher=16, inputs=6)
    figure = draw_dendrogram(
        found.tree, found.height, found.labels, students=found.students, max_leaves=200
    )
    style.save(figure, tmp_path / "dendrogram.png")
    # All 160 kept neurons and the bundles between them: few loose neurons stand alone.
    assert len(segments(figure)) < 260
    assert "bundles" in figure.axes[0].get_title(loc="left")
    shown = np.asarray(figure.axes[1].collections[0].get_offsets())
    assert len(shown) >= 160  # 16 kept neurons of each student, each with its mark


def test_long_chains_need_no_deep_recursion(tmp_path):
    points = np.cumsum(1.01 ** np.arange(1500.0))[:, None]  # single steps: one merges after another
    labels = np.zeros(1500, dtype=int)
    figure = draw_dendrogram(linkage(points, "average"), 1.0, labels)
    assert style.save(figure, tmp_path / "a.png").stat().st_size > 0


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    ("vectors", "labels", "height"),
    [
        ([[1.0, 2.0]], [0], 0.0),
        ([[1.0, 2.0]], [-1], 1e-3),
        ([[1.0, 2.0]] * 3, [0, 0, 0], 1e-3),  # all distances are zero
        ([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0]], [-1, -1, -1], 0.0),
        ([[0.0, 0.0], [1.0, 2.0]], [0, -1], np.inf),
    ],
)
def test_degenerate_trees(vectors, labels, height, tmp_path):
    vectors, labels = np.array(vectors), np.array(labels)
    tree = linkage(vectors, "average") if len(vectors) > 1 else np.zeros((0, 4))
    students = np.zeros(len(labels), dtype=int)
    figure = draw_dendrogram(tree, height, labels, students=students)
    assert style.save(figure, tmp_path / "a.png").stat().st_size > 0
    for sign_free in (False, True):
        figure = draw_similarity(vectors, labels, tree=tree, sign_free=sign_free)
        assert style.save(figure, tmp_path / "b.png").stat().st_size > 0


def test_one_student(tmp_path):
    found = fake_clustering(students=1, width=60, teacher=4)
    figure = draw_dendrogram(found.tree, found.height, found.labels, students=found.students)
    assert style.save(figure, tmp_path / "a.png").stat().st_size > 0


def matrix(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def test_similarity_is_ordered_by_cluster():
    vectors = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, -2.0], [3.0, 0.0], [1.0, 1.0]])
    labels = np.array([1, 0, 1, 0, -1])
    half = np.sqrt(0.5)
    signed = [
        [1, 1, 0, 0, half],
        [1, 1, 0, 0, half],
        [0, 0, 1, -1, half],
        [0, 0, -1, 1, -half],
        [half, half, half, -half, 1],
    ]
    assert matrix(draw_similarity(vectors, labels)) == pytest.approx(np.array(signed))
    free = draw_similarity(vectors, labels, sign_free=True)
    assert matrix(free) == pytest.approx(np.abs(signed))
    boxes = next(c for c in free.axes[0].collections if isinstance(c, LineCollection))
    assert len(boxes.get_segments()) == 2


def test_large_matrices_are_thinned_and_say_so():
    found = fake_clustering(students=10, width=32, teacher=4)
    figure = draw_similarity(found.vectors, found.labels, tree=found.tree, max_neurons=120)
    assert matrix(figure).shape == (40 + 70, 40 + 70)
    assert figure.axes[0].get_title(loc="left") == "shown: 1 in 4 of the rejected neurons"


def test_many_clusters_keep_their_labels_apart(tmp_path):
    found = fake_clustering(students=5, width=128, teacher=128)
    figure = draw_similarity(found.vectors, found.labels, tree=found.tree)
    style.save(figure, tmp_path / "a.png")
    boxes = [t.get_window_extent() for t in figure.axes[0].get_yticklabels()]
    tops = sorted((b.y0, b.y1) for b in boxes)
    assert all(low[1] <= high[0] for low, high in pairwise(tops))
