from typing import NamedTuple

import numpy as np
import pytest
from tests.reconstruction.planted import Clutter, gaussian, student, teacher

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.reconstruction.consensus import Population, gather
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.verdict.conditioning import analyse_conditioning
from expand_and_cluster.verdict.judgement import Support, find_support, judge


class Scene(NamedTuple):
    """Training and held-out pairs, and students that hold the teacher's neurons."""

    bench: Workbench
    held_out: TrainingData
    population: Population


def scene(source, *, noise=0.0, constant=None, count=4, vectors_noise=1e-7):
    inputs = gaussian(500, source.input_size)
    if constant is not None:
        inputs[:, constant] = 0.0
    targets = source(inputs)
    targets = targets + noise * np.random.default_rng(5).normal(size=targets.shape)
    data = TrainingData(inputs[:400], targets[:400])
    bench = Workbench(data, source.activation)
    students = [
        student(source, Clutter(duplicates=1, zero_pairs=1), seed, noise=vectors_noise)
        for seed in range(count)
    ]
    activations = np.stack([bench.features(one) for one in students])
    population = gather(Network.stack(students), np.full(count, 1e-12), activations, inputs)
    return Scene(bench, TrainingData(inputs[400:], targets[400:]), population)


def finding_of(network, place, *, skip_left=0.0, fitted=None, seen=None):
    held = network(place.held_out.inputs) - place.held_out.targets
    candidate = place.bench.as_candidate(network)
    training = place.bench.training
    loss = np.mean((network(training.inputs) - training.targets) ** 2)
    floor = place.bench.floor(candidate)
    return judge(
        network,
        analyse_conditioning(network, training),
        held_out=float(np.sqrt(np.mean(held**2))),
        seen=seen,
        floor=float(np.sqrt(floor)),
        support=find_support(network, place.population, place.bench.activation),
        skip_left=skip_left,
        fitted=bool(loss <= 10 * floor) if fitted is None else fitted,
    )


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", ["g", "tanh", "softplus", "relu"])
def test_exact_network_is_identified(activation, outputs):
    source = teacher((4, 3, outputs), activation)
    place = scene(source)
    finding = finding_of(place.bench.start(source.input_vectors, 3).compact(), place)
    assert finding.identified is True
    assert finding.confidence > 0.99
    assert not finding.masked.any()
    assert any("rounding" in reason for reason in finding.reasons)
    assert any("every neuron is held by at least 4 students" in r for r in finding.reasons)


@pytest.mark.parametrize("noise", [1e-2, 1e-6, 1e-11])
def test_noisy_answers_are_not_identified(noise):
    source = teacher((4, 3, 1), "g")
    place = scene(source, noise=noise)
    network = place.bench.polish(place.bench.start(source.input_vectors, 3)).compact()
    finding = finding_of(network, place)
    assert finding.identified is False
    assert finding.confidence <= 0.4
    assert "above what rounding explains" in finding.reasons[0]


@pytest.mark.parametrize("activation", ["g", "tanh", "gelu"])
def test_neuron_to_spare_is_not_identified(activation):
    source = teacher((4, 3, 1), activation)
    place = scene(source)
    network = place.bench.start(source.input_vectors[[0, 1, 2, 0]], 4).compact()
    finding = finding_of(network, place)
    assert finding.identified is False
    assert any("neuron may be to spare" in reason for reason in finding.reasons)


def test_constant_neuron_is_not_identified():
    source = teacher((4, 3, 1), "g")
    place = scene(source)
    vectors = np.vstack([source.input_vectors, np.eye(5)[-1:]])
    finding = finding_of(place.bench.start(vectors, 4).compact(), place)
    assert finding.identified is False


def test_missing_neuron_is_not_identified():
    source = teacher((4, 3, 1), "g")
    place = scene(source)
    finding = finding_of(place.bench.start(source.input_vectors[:2], 2).compact(), place)
    assert finding.identified is False


def test_exact_on_fitted_pairs_alone_is_not_identified():
    source = teacher((4, 3, 1), "g")
    place = scene(source)
    network = place.bench.start(source.input_vectors, 3).compact()
    held_out = TrainingData(place.held_out.inputs, place.held_out.targets + 1e-9)
    assert finding_of(network, place._replace(held_out=held_out)).identified is False
    assert finding_of(network, place, fitted=False).identified is False


def test_input_that_never_varies_is_masked_and_the_rest_identified():
    source = teacher((4, 3, 1), "tanh")
    place = scene(source, constant=2, vectors_noise=0.0)
    finding = finding_of(place.bench.start(source.input_vectors, 3).compact(), place)
    assert finding.identified is True
    np.testing.assert_array_equal(finding.masked, [False, False, True, False])
    assert any("1 of 4 inputs" in reason for reason in finding.reasons)


@pytest.mark.parametrize("constant", [2, 3])
def test_input_that_held_out_pairs_alone_show_is_masked_only_where_the_rest_is_identified(constant):
    """Its small weights explain these pairs, and are kept in a network that is only near."""
    source = teacher((4, 3, 1), "tanh")
    place = scene(source, constant=constant, vectors_noise=0.0)
    network = place.bench.start(source.input_vectors, 3).compact()
    seen = np.arange(4) == 2
    constants = np.arange(4) == constant
    near = finding_of(network, place, fitted=False, seen=seen)
    assert not near.identified
    np.testing.assert_array_equal(near.masked, constants & ~seen)
    rare = any("every input weight but those of rare inputs" in each for each in near.reasons)
    assert rare is (constant == 2)
    identified = finding_of(network, place, seen=seen)
    assert identified.identified
    np.testing.assert_array_equal(identified.masked, constants)


def test_left_over_affine_map_is_not_identified():
    source = teacher((4, 3, 1), "gelu")
    place = scene(source)
    network = place.bench.start(source.input_vectors, 3).compact()
    network = network.replace(skip=Layer(np.zeros((1, 4)), np.zeros(1)))
    finding = finding_of(network, place, skip_left=0.2)
    assert finding.identified is False
    assert any("affine map" in reason for reason in finding.reasons)


def test_support_names_the_students_that_hold_a_neuron():
    source = teacher((4, 3, 1), "tanh")
    place = scene(source, count=5, vectors_noise=0.0)
    support = find_support(source, place.population, place.bench.activation)
    for students in support.students:
        np.testing.assert_array_equal(students, range(5))
    # Signs differ among the students; copies are exact up to the rounding of the metric.
    np.testing.assert_allclose(support.agreement, 0.0, atol=1e-28)
    other = teacher((4, 3, 1), "tanh", seed=8)
    strangers = find_support(other, place.population, place.bench.activation)
    assert [len(students) for students in strangers.students] == [0, 0, 0]
    np.testing.assert_array_equal(strangers.agreement, 1.0)


def test_signs_matter_where_the_activation_has_none():
    source = teacher((4, 3, 1), "g")
    place = scene(source)
    first, last = source.layers
    flipped = Network.from_arrays(
        [(-first.weight, -first.bias), (last.weight, last.bias)], source.activation
    )
    assert [
        len(s) for s in find_support(flipped, place.population, place.bench.activation).students
    ] == [0, 0, 0]


def test_neurons_of_one_student_are_said_to_rest_on_the_fit():
    source = teacher((4, 3, 1), "g")
    place = scene(source)
    network = place.bench.start(source.input_vectors, 3).compact()
    held = tuple(np.arange(n) for n in (4, 1, 0))
    finding = judge(
        network,
        analyse_conditioning(network, place.bench.training),
        held_out=1e-16,
        floor=1e-15,
        support=Support(held, np.array([0.0, 0.0, 1.0])),
        skip_left=0.0,
        fitted=True,
    )
    assert any("2 of 3 neurons are held by fewer than two" in r for r in finding.reasons)
