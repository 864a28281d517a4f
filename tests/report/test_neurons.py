"""Bars for each neuron, and weights as pictures."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from expand_and_cluster.core.errors import FileFormatError, InvalidInputError
from expand_and_cluster.report import (
    NeuronDistances,
    draw_agreement,
    draw_input_weights,
    draw_teacher_distances,
    style,
)


def record(distance, *, norm=None, flipped=None, excess=(), output=None) -> NeuronDistances:
    distance = np.asarray(distance, dtype=np.float64)
    count = distance.size
    return NeuronDistances(
        np.arange(count),
        distance,
        np.zeros(count, dtype=bool) if flipped is None else np.asarray(flipped),
        np.ones(count) if norm is None else np.asarray(norm, dtype=np.float64),
        np.asarray(excess, dtype=np.float64),
        None if output is None else np.asarray(output, dtype=np.float64),
    )


def test_teacher_neurons_are_sorted_and_coloured(tmp_path):
    found = record(
        [1e-4, 1.0, 1e-6], norm=[1.0, 3.0, 2.0], flipped=[True, False, False], excess=[0.05, 0.4]
    )
    figure = draw_teacher_distances(found)
    style.save(figure, tmp_path / "neurons.png")
    bars = [bar for bar in figure.axes[0].patches if isinstance(bar, Rectangle)]
    tops = [bar.get_y() + bar.get_height() for bar in bars]
    assert tops == pytest.approx([1.0, 1e-6, 1e-4])
    colours = [style.PALE, style.BLUE, style.RED]  # missing, found, found with the sign flipped
    for bar, colour in zip(bars, colours, strict=True):
        assert bar.get_facecolor()[:3] == pytest.approx(
            [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        )
    excess = [bar for bar in figure.axes[2].patches if isinstance(bar, Rectangle)]
    assert [bar.get_width() for bar in excess] == [0.4, 0.05]
    assert excess[1].get_facecolor() == (1, 1, 1, 1)  # hollow
    assert figure.get_suptitle() == (
        "2 of 3 teacher neurons found, the worst 1.0e-04 away; 2 in excess"
    )


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    "found",
    [
        record([0.0]),
        record([0.0, 0.0], excess=[0.0]),
        record([np.nan, 1.0]),
        record([-1e-16, 1e-16], output=[0.0, 2.0]),
        record(np.geomspace(1e-16, 1, 90), excess=np.geomspace(1e-9, 10, 60)),
        record([1e-3, 1e-3], norm=[0.0, 0.0]),
    ],
)
def test_degenerate_comparisons(found, tmp_path):
    figure = draw_teacher_distances(found)
    assert style.save(figure, tmp_path / "a.png").stat().st_size > 0


def test_distances_survive_json():
    found = NeuronDistances.from_json(
        {
            "teacher_index": [0, 1], "distance": [1e-3, None], "flipped": [True, False],
            "output_norm": [1, 2], "excess_output_norms": [],
        }
    )  # fmt: skip
    assert found.flipped.dtype == bool
    assert np.isnan(found.distance[1])
    with pytest.raises(FileFormatError, match="no field 'distance'"):
        NeuronDistances.from_json({"teacher_index": [0]})


@pytest.mark.usefixtures("unchecked")
def test_arrays_of_different_length_are_refused():
    with pytest.raises(InvalidInputError, match="flipped must have one entry"):
        record([1e-3, 1e-3], flipped=[True])


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    ("agreement", "support", "types"),
    [
        ([1e-12, 1e-9, 1e-10], [10, 7, 10], None),
        ([0.0], [1], ["teacher"]),
        ([np.nan, 1e-3], [1, 2], ["constant", "teacher"]),
        ([np.nan], [0], None),
        (np.geomspace(1e-16, 1e-3, 60), np.full(60, 10), None),
    ],
)
def test_agreement(agreement, support, types, tmp_path):
    figure = draw_agreement(np.array(agreement), np.array(support), 10, types=types)
    assert style.save(figure, tmp_path / "a.png").stat().st_size > 0
    full = int(np.sum(np.array(support) == 10))
    assert figure.get_suptitle().startswith(f"{full} of ")
    assert bool(figure.legends) == (types is not None and len(set(types)) > 1)


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    ("neurons", "inputs", "image_shape"),
    [
        (1, 1, None),
        (4, 8, None),
        (200, 785, None),
        (3, 12, (3, 4)),
        (1, 4, (2, 2)),
        (99, 4, (2, 2)),
    ],
)
def test_input_weights(neurons, inputs, image_shape, tmp_path):
    rng = np.random.default_rng(0)
    figure = draw_input_weights(
        rng.normal(size=(neurons, inputs + 1)),
        rng.normal(size=(neurons, 2)),
        image_shape=image_shape,
        masked=np.arange(inputs) == 0,
    )
    assert style.save(figure, tmp_path / "a.png").stat().st_size > 0


def test_a_wrong_image_shape_is_refused():
    with pytest.raises(InvalidInputError, match=r"\(2, 3\) holds 6 inputs, the network has 5"):
        draw_input_weights(np.ones((2, 6)), np.ones((2, 1)), image_shape=(2, 3))
