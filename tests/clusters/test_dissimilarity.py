"""Distances are right to the last digits that the vectors have."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from tests.oracles import clusters as oracle

from expand_and_cluster.clusters import dissimilarity
from expand_and_cluster.clusters.dissimilarity import angles, pairwise
from expand_and_cluster.core.errors import InvalidInputError

DISTANCE = {"euclidean": oracle.euclidean, "cosine": oracle.cosine}


def vectors(kind, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "random":
        return rng.normal(size=(23, 7))
    if kind == "clustered":  # copies at every distance from 1e-14 to 1
        base = 1e3 * rng.normal(size=(3, 7))
        noise = 10 ** rng.uniform(-14, 0, size=(24, 1))
        return np.repeat(base, 8, axis=0) + 1e3 * noise * rng.normal(size=(24, 7))
    if kind == "opposite":
        rows = vectors("clustered", seed)
        return rows * rng.choice([-1, 1], size=(len(rows), 1))
    if kind == "far away":  # near each other, far from zero
        return 1e6 + 1e-4 * rng.normal(size=(20, 5))
    if kind == "identical":
        return np.tile(rng.normal(size=6), (9, 1))
    if kind == "huge":
        return 1e200 * rng.normal(size=(8, 4))
    if kind == "tiny":
        return 1e-200 * rng.normal(size=(8, 4))
    if kind == "with zeros":
        rows = rng.normal(size=(9, 4))
        rows[[0, 4, 8]] = 0.0
        return rows
    raise AssertionError(kind)


KINDS = [
    "random",
    "clustered",
    "opposite",
    "identical",
    "huge",
    "tiny",
    "far away",
    "with zeros",
]


@pytest.mark.parametrize("sign_free", [False, True])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_exact_arithmetic(kind, metric, sign_free):
    rows = vectors(kind)
    expected = np.array(oracle.condensed(rows, DISTANCE[metric], sign_free))
    got = pairwise(rows, metric=metric, sign_free=sign_free)
    assert got.dtype == np.float64
    # Just above the cancellation threshold, 1e-16 / 1e-4 of a squared distance is lost.
    if metric == "euclidean":
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=0)
        return
    # Unit vectors are rounded at 1e-16 of their length, so chords cannot be better than that.
    np.testing.assert_allclose(np.sqrt(got), np.sqrt(expected), rtol=1e-11, atol=4e-16)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_equals_scipy(metric):
    rows = np.random.default_rng(3).normal(size=(120, 31))
    np.testing.assert_allclose(pairwise(rows, metric=metric), pdist(rows, metric), rtol=1e-12)


@pytest.mark.parametrize("sign_free", [False, True])
@pytest.mark.parametrize("kind", ["random", "clustered", "opposite", "identical"])
def test_does_not_depend_on_the_blocks(kind, sign_free, monkeypatch):
    rows = vectors(kind)
    whole = pairwise(rows, sign_free=sign_free)
    for block in (1, 50, 333):
        monkeypatch.setattr(dissimilarity, "BLOCK", block)
        for dense in (0.0, 1.0):  # always, and never, from differences throughout
            monkeypatch.setattr(dissimilarity, "DENSE", dense)
            got = pairwise(rows, sign_free=sign_free)
            np.testing.assert_allclose(got, whole, rtol=1e-9, atol=0)


@pytest.mark.parametrize("exponent", range(-15, 0))
@pytest.mark.parametrize("sign_free", [False, True])
def test_small_angles_keep_their_digits(exponent, sign_free):
    angle = 10.0**exponent
    rows = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    got = angles(pairwise(rows, metric="cosine", sign_free=sign_free))
    np.testing.assert_allclose(got, angle, rtol=1e-12)


def test_angles_of_right_and_straight():
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    np.testing.assert_allclose(
        angles(pairwise(rows, metric="cosine")), [np.pi / 2, np.pi, np.pi / 2], rtol=1e-15
    )


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_signs_are_free(metric):
    rng = np.random.default_rng(5)
    rows = vectors("clustered")
    flipped = rows * rng.choice([-1, 1], size=(len(rows), 1))
    np.testing.assert_allclose(
        pairwise(flipped, metric=metric, sign_free=True),
        pairwise(rows, metric=metric, sign_free=True),
        rtol=1e-13,
    )


def test_a_zero_coordinate_decides_no_sign():
    rows = np.array([[1e-17, 1.0, 2.0], [1e-17, -1.0, -2.0], [0.0, -1.0, -2.0]])
    assert pairwise(rows, sign_free=True).max() <= 3e-17


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("sign_free", [False, True])
def test_order_of_the_vectors_is_kept(metric, sign_free):
    rows, order = vectors("clustered"), np.random.default_rng(7).permutation(24)
    one = squareform(pairwise(rows, metric=metric, sign_free=sign_free))
    two = squareform(pairwise(rows[order], metric=metric, sign_free=sign_free))
    np.testing.assert_allclose(two, one[np.ix_(order, order)], rtol=1e-11)


def test_scale_is_kept_or_free():
    rows = vectors("clustered")
    np.testing.assert_array_equal(pairwise(8.0 * rows), 8.0 * pairwise(rows))
    powers = 2.0 ** np.random.default_rng(6).integers(-9, 9, size=(24, 1))  # exact factors
    np.testing.assert_allclose(
        pairwise(powers * rows, metric="cosine"), pairwise(rows, metric="cosine"), rtol=1e-11
    )


def test_a_zero_vector_has_no_direction():
    rows = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    np.testing.assert_array_equal(pairwise(rows, metric="cosine"), [1, 1, 0, 1, 1, 1])
    np.testing.assert_array_equal(pairwise(np.zeros((3, 2)), metric="cosine"), [1, 1, 1])
    np.testing.assert_array_equal(pairwise(np.zeros((3, 2))), [0, 0, 0])


def test_one_vector_has_no_pairs():
    assert pairwise(np.ones((1, 3))).shape == (0,)


def test_vectors_are_not_changed():
    rows = vectors("clustered")
    before = rows.copy()
    for metric in ("euclidean", "cosine"):
        pairwise(rows, metric=metric)
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.ones(3), "got \\(3,\\)"),
        (np.ones((0, 3)), "got \\(0, 3\\)"),
        (np.ones((3, 0)), "got \\(3, 0\\)"),
        (np.array([[1.0, np.nan]]), "NaN"),
        (np.array([[1.0, np.inf]]), "infinity"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_refuses(rows, words):
    with pytest.raises(InvalidInputError, match=words):
        pairwise(rows)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.usefixtures("unchecked")
def test_refuses_an_unknown_metric():
    with pytest.raises(InvalidInputError, match="manhattan"):
        pairwise(np.ones((2, 2)), metric="manhattan")  # pyright: ignore[reportArgumentType]
