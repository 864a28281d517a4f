"""Recoveries of networks whose neurons have activations of their own."""

import numpy as np
import pytest

import expand_and_cluster as eac
from expand_and_cluster.scoring.coverage import coverage

KINDS = ("relu", "tanh")
NAMES = ("tanh", "relu", "tanh", "relu")


def teacher(names=NAMES, inputs=3, seed=0):
    rng = np.random.default_rng(seed)
    layers = [(rng.normal(size=(len(names), inputs)), rng.normal(size=len(names)))]
    return eac.Network.from_arrays([*layers, (rng.normal(size=(1, len(names))), [0.3])], names)


def pairs_of(network, count=3000, noise=0.0, seed=5):
    rng = np.random.default_rng(seed)
    inputs = rng.uniform(-2.0, 2.0, (count, network.input_size))
    outputs = network(inputs)
    return eac.QueryPairs(inputs, outputs + noise * rng.normal(size=outputs.shape))


@pytest.fixture(scope="module")
def recovery():
    return eac.recover(pairs_of(teacher()), activation=KINDS, width=12, students=5, seed=0)


def test_every_neuron_is_found_with_its_activation(recovery):
    assert recovery.verdict.identified, recovery
    assert recovery.network.skip is None
    found = eac.compare(recovery, teacher())
    assert (found.missing, found.excess) == (0, 0)
    assert found.max_weight_error < 1e-12
    assert sorted(recovery.network.activation.name.split(",")) == sorted(NAMES)
    assert any("no neuron fits with another activation" in r for r in recovery.verdict.reasons)


def test_what_stays_unknown_is_said_of_each_neuron(recovery):
    for neuron in recovery.neurons:
        scaled = recovery.network.activation.of(neuron.index).name == "relu"
        assert neuron.unidentifiable == (("sign", "scale") if scaled else ("sign",))
        assert len(neuron.students) >= 1


def test_a_recovery_comes_back_from_its_folder(recovery, tmp_path):
    from expand_and_cluster.report import write_pictures

    recovery.save(tmp_path)
    back = eac.load(tmp_path)
    assert back.network.activation == recovery.network.activation
    assert back == recovery
    names = {path.name for path in write_pictures(tmp_path)}
    assert {"losses.png", "dendrogram.png", "similarity.png", "neurons.png"} <= names


def test_with_one_kind_only_the_network_is_an_ordinary_one():
    true = teacher(("tanh", "tanh", "tanh"))
    found = eac.recover(pairs_of(true), activation=KINDS, width=8, students=4, seed=0)
    assert found.verdict.identified, found
    assert found.network.activation is eac.activations["tanh"]
    assert eac.compare(found, true).max_weight_error < 1e-12


@pytest.mark.slow
def test_a_third_activation_is_not_taken_for_one_of_two():
    true = teacher(("tanh", "silu", "tanh"))
    found = eac.recover(
        pairs_of(true, 1500), activation=KINDS, width=8, students=3, seed=0, time_budget=60.0
    )
    assert not found.verdict.identified


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"activation": ("tanh", "sigmoid")}, "no answer tells which"),
        ({"activation": ("tanh", "g")}, "no answer tells which"),
        ({"activation": ("tanh", "relu"), "hidden_layers": 2}, "for one hidden layer"),
        ({"activation": ("tanh", "sine")}, "names of the catalogue"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_told_is_refused(options, sentence):
    with pytest.raises(eac.InvalidInputError, match=sentence):
        eac.recover(pairs_of(teacher(), 200), **options)


@pytest.mark.slow
def test_noisy_answers_of_a_mixture_have_standard_errors():
    true = teacher()
    found = eac.recover(pairs_of(true, noise=1e-3), activation=KINDS, width=10, students=5, seed=0)
    assert found.verdict.identified, found
    assert found.standard_errors is not None
    assert found.standard_errors.activation == found.network.activation
    covered = coverage(found, true)
    assert covered is not None
    # At 95 %, four or more of 21 weights are outside in one case of fifty.
    assert covered.within(1.96) >= 0.85
    assert np.abs(covered.deviations).max() < 4.5


@pytest.mark.slow
def test_two_activations_that_noise_hides_are_not_told_apart():
    true = teacher(("gelu", "silu", "gelu"))
    found = eac.recover(
        pairs_of(true, noise=0.03), activation=("silu", "gelu"), width=8, students=4, seed=0,
        time_budget=60.0,
    )  # fmt: skip
    right = eac.compare(found, true).missing == 0
    assert right or not found.verdict.identified
