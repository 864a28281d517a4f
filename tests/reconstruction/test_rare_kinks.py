"""Neurons with a kink that few samples are beyond are told by what is left of these."""

import numpy as np
import pytest
from tests.reconstruction.planted import distance, gaussian, rarely_bent, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.reconstruction import workbench
from expand_and_cluster.reconstruction.candidate import Candidate
from expand_and_cluster.reconstruction.crossing import cross_kinks
from expand_and_cluster.reconstruction.far_samples import far_samples
from expand_and_cluster.reconstruction.kinked import descend_with_kinks
from expand_and_cluster.reconstruction.linear_neurons import without_skip
from expand_and_cluster.reconstruction.ordinary import ordinary_error
from expand_and_cluster.reconstruction.rare_kinks import read_kinks
from expand_and_cluster.reconstruction.rebuild import rebuild
from expand_and_cluster.reconstruction.winnowing import winnow
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData

INPUTS = gaussian(3000, 6)
WIDTHS = (6, 7, 4)


def benches(source: Network) -> tuple[Workbench, Workbench]:
    """One with a skip and one without."""
    data = TrainingData(INPUTS, source(INPUTS))
    return Workbench(data, source.activation, skip=True), Workbench(data, source.activation)


def known(source: Network, count: int) -> np.ndarray:
    """The first input vectors, nearly, one of them with the wrong sign."""
    vectors = source.input_vectors[:count]
    vectors = vectors + 0.02 * np.random.default_rng(0).normal(size=vectors.shape)
    vectors[1] *= -1.0
    return vectors


@pytest.mark.parametrize(
    ("activation", "shares"), [("leaky_relu", (0.99, 0.005)), ("relu", (0.99, 0.995))]
)
def test_they_are_told_by_what_is_left_of_few_samples(activation, shares, monkeypatch):
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    source = rarely_bent(WIDTHS, activation, INPUTS, *shares)
    bench, plain = benches(source)
    candidate, _ = winnow(bench, bench.start(known(source, 5), 8))
    linear, _ = without_skip(bench, plain, candidate)
    # The map is a sum of two terms, and all signs are right.
    assert linear.width == 7
    assert ordinary_error(plain, linear) < 1e-12
    reading = read_kinks(plain, far_samples(plain, linear))
    assert (reading.read, reading.terms) == (2, 0)
    read = reading.candidate(plain, reading.terms)
    assert read.width == 7
    assert read.loss < 1e-2 * linear.loss
    polished = plain.polish(read)
    assert plain.at_floor(polished)
    found = polished.compact().input_vectors
    assert distance(found, source.input_vectors, source.activation.symmetry) < 1e-9


def test_rebuilding_ends_with_all_of_them(monkeypatch):
    """With neurons to spare, and one of which the map has a hundredth."""
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    source = rarely_bent(WIDTHS, "leaky_relu", INPUTS, 0.99, 0.005)
    bench, _ = benches(source)
    spare = np.random.default_rng(1).normal(size=(3, 7))
    rebuilt = rebuild(bench, np.vstack([known(source, 5), spare]), 8, spare=True)
    assert rebuilt.exact
    assert rebuilt.network.skip is None
    assert rebuilt.network.hidden_widths == (7,)
    found = rebuilt.network.input_vectors
    assert distance(found, source.input_vectors, source.activation.symmetry) < 1e-9


def test_a_neuron_that_is_hardly_ever_on_is_begun_with_its_samples(monkeypatch):
    """It has no part of the map: a relu, on at more samples than it has weights, comes back."""
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    source = rarely_bent(WIDTHS, "relu", INPUTS, 0.99, 12 / 3000)
    bench, plain = benches(source)
    candidate, _ = winnow(bench, bench.start(known(source, 5), 8))
    left, _ = descend_with_kinks(plain, without_skip(bench, plain, candidate)[0])
    assert left.width == 7
    assert np.all(_angles(left, source) < 0.1)
    # Steps in which samples far off count less end when all others are exact.
    assert np.all(_angles(plain.polish(left), source) < 1e-6)


def test_one_that_is_on_at_fewer_samples_than_it_has_weights_is_not_told(monkeypatch):
    monkeypatch.setattr(workbench, "MOST_DENSE", 0)
    source = rarely_bent(WIDTHS, "relu", INPUTS, 0.99, 4 / 3000)
    bench, plain = benches(source)
    candidate, _ = winnow(bench, bench.start(known(source, 5), 8))
    linear, _ = without_skip(bench, plain, candidate)
    reading = read_kinks(plain, far_samples(plain, linear))
    assert reading.read == 1
    angle = _angles(reading.candidate(plain, reading.terms), source)
    assert np.all(angle[:6] < 0.05)
    assert angle[6] > 0.1


def test_nothing_is_read_where_nothing_is_left():
    source = rarely_bent(WIDTHS, "leaky_relu", INPUTS)
    _, plain = benches(source)
    candidate = plain.start(source.input_vectors, 8)
    assert not read_kinks(plain, far_samples(plain, candidate)).read
    assert cross_kinks(plain, far_samples(plain, candidate)) is None
    left, removals = descend_with_kinks(plain, candidate)
    assert not removals
    assert left.loss <= candidate.loss


@pytest.mark.parametrize("activation", ["leaky_relu", "relu"])
def test_neurons_move_for_samples_on_the_wrong_side_of_their_kinks(activation):
    """Along an input that hardly any sample shows, and those far out on the wrong side."""
    inputs = np.concatenate([INPUTS, np.zeros((3000, 1))], axis=1)
    inputs[:12, 6] = 1.0
    source = teacher((7, 5, 4), activation)
    first, last = source.layers
    weight = first.weight.copy()
    weight[:, 6] = 0.0
    weight[2, 6] = 6.0 * np.linalg.norm(weight[2])
    source = source.replace(layers=(Layer(weight, first.bias), last))
    plain = Workbench(TrainingData(inputs, source(inputs)), source.activation)
    wrong = source.input_vectors.copy()
    wrong[2, 6] *= -1.0
    candidate = plain.start(wrong, 8)
    for _ in range(4):
        candidate = cross_kinks(plain, far_samples(plain, candidate)) or candidate
    moved = candidate.compact().input_vectors
    assert np.all(_angles(candidate, source)[[0, 1, 3, 4]] < 1e-3)
    assert abs(moved[2, 6] / source.input_vectors[2, 6] - 1.0) < 0.1


def test_every_neuron_that_the_map_stands_for_is_recorded():
    source = rarely_bent(WIDTHS, "leaky_relu", INPUTS, 0.995, 0.005)
    bench, plain = benches(source)
    linear, lost = without_skip(bench, plain, bench.start(source.input_vectors, 8))
    assert [removal.width for removal in lost] == [6, 5]
    assert all("hardly any pair" in removal.reason for removal in lost)
    # Two linear ones have taken their place.
    assert linear.width == 7


def test_neurons_without_a_kink_are_refused():
    source = teacher((6, 5, 4), "softplus")
    bench, plain = benches(source)
    with pytest.raises(ValueError, match=r"softplus with a skip came"):
        without_skip(bench, plain, bench.start(source.input_vectors, 8))
    relu = rarely_bent(WIDTHS, "relu", INPUTS)
    bench, plain = benches(relu)
    with pytest.raises(ValueError, match=r"relu without a skip came"):
        without_skip(bench, plain, plain.start(relu.input_vectors, 8))


def _angles(candidate: Candidate, source: Network) -> np.ndarray:
    """Of every neuron of the teacher, to the nearest of the candidate's, either way round."""
    found, wanted = (
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        for vectors in (candidate.compact().input_vectors, source.input_vectors)
    )
    return np.arccos(np.minimum(np.abs(wanted @ found.T).max(axis=1), 1.0))
