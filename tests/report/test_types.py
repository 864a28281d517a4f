"""Tables of neurons by type, and the steps of a reduction."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.patches import Patch

import expand_and_cluster as eac
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.report import (
    draw_neuron_types,
    draw_reduction,
    draw_similarity,
    style,
    write_explanation,
)
from expand_and_cluster.report.reduction import MOST_PANELS

RNG = np.random.default_rng(0)
# One neuron twice, a linear group, a constant.
INTO = np.array([[1, 2], [1, 2], [1.3, -0.3], [-1.3, 0.3], [0, 0]], dtype=float)
BIAS = [0.5, 0.5, 0.3, -0.3, 0.7]
OUT = [[0.3, 0.7, 1.0, -1.0, 0.4]]


def random_network(*widths, activation="tanh", copies=0):
    layers = [(RNG.normal(size=(o, i)), RNG.normal(size=o)) for i, o in pairwise(widths)]
    for copy in range(copies):
        layers[0][0][-1 - copy], layers[0][1][-1 - copy] = layers[0][0][0], layers[0][1][0]
    return eac.Network.from_arrays(layers, activation)


def explained(network, rows=300):
    inputs = RNG.uniform(-2.0, 2.0, size=(rows, network.input_size))
    return inputs, eac.classify(network, inputs), eac.reduce(network, inputs)


def table(network):
    _, classification, _ = explained(network)
    return draw_neuron_types(network.input_vectors, network.output_vectors, classification.neurons)


@pytest.fixture
def student():
    return eac.Network.from_arrays([(INTO, BIAS), (OUT, [0.1])], activation="softplus")


def test_types_are_sorted_and_named(student):
    figure = table(student)
    strip = figure.axes[0]
    assert [label.get_text() for label in strip.get_yticklabels()] == ["0", "1", "2", "3", "4"]
    legend = [patch.get_label() for patch in figure.legends[0].get_patches()]
    assert legend == ["duplicate (2)", "linear group (2)", "constant (1)"]
    assert all(isinstance(patch, Patch) for patch in figure.legends[0].get_patches())
    assert figure.get_suptitle() == "5 neurons in 3 groups"


def test_every_step_has_a_panel_with_its_error(student):
    inputs, _, reduction = explained(student)
    figure = draw_reduction(student, reduction, inputs)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert len(titles) == 1 + len(reduction.steps)
    assert titles[0] == "5 neurons"
    assert titles[1].startswith("merge duplicates\n4 left, error ")
    assert figure.get_suptitle().startswith("5 neurons to 1, error ")


def test_many_steps_of_one_kind_share_a_panel():
    width = MOST_PANELS + 3
    network = random_network(2, width, 1)
    network.layers[1].weight[:, 3:] = 0.0  # every one of them a step of its own
    inputs, _, reduction = explained(network)
    assert len(reduction.steps) >= MOST_PANELS
    figure = draw_reduction(network, reduction, inputs)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert len(titles) == 2
    assert f"({len(reduction.steps)} times)" in titles[1].replace("\n", " ")


def test_steps_are_drawn_for_two_inputs_only():
    network = random_network(3, 2, 1)
    inputs, _, reduction = explained(network)
    with pytest.raises(InvalidInputError, match=r"network is 3-2-1; .* two inputs"):
        draw_reduction(network, reduction, inputs)


def test_groups_are_named_in_the_matrix():
    figure = draw_similarity(RNG.normal(size=(4, 3)), np.array([0, 1, 0, 2]), noun="group")
    assert figure.get_suptitle() == "4 neurons in 3 groups (outlined)"
    assert figure.axes[0].get_ylabel() == "group"


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    ("network", "names"),
    [
        (random_network(2, 1, 1), ["types", "reduction"]),
        (random_network(2, 3, 2, activation="relu"), ["types", "reduction"]),
        (random_network(1, 2, 1), ["types", "similarity"]),
        (random_network(30, 100, 10, copies=8), ["types", "similarity"]),
        (random_network(2, 3, 2, 1), ["types-0", "similarity-0", "types-1", "similarity-1"]),
    ],
    ids=lambda value: "-".join(map(str, value.widths)) if hasattr(value, "widths") else None,
)
def test_networks_of_all_shapes_are_drawn(network, names, tmp_path):
    inputs, classification, reduction = explained(network)
    written = write_explanation(tmp_path, network, inputs, classification, reduction)
    assert [path.stem for path in written] == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_the_picture_can_be_saved(student, tmp_path):
    assert style.save(table(student), tmp_path / "types.svg").exists()
