"""Convolutional teachers."""

from typing import Any

import jax
import numpy as np
import pytest

from expand_and_cluster import datasets
from expand_and_cluster.core.conv_geometry import Conv, Convolutional
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.teachers import convolutional, trained_convolutional

DIGITS = Convolutional((1, 8, 8), [Conv(3, pool="max")])


def test_a_seed_fixes_a_random_teacher():
    one, same, other = (convolutional(DIGITS, (3,), (4, 2), seed=seed) for seed in (1, 1, 2))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(one.convolutions[0].weight, other.convolutions[0].weight)
    assert one.channels == (3,)
    assert one.hidden_widths == (4,)


def test_a_trained_teacher_knows_its_digits():
    data = datasets.load("digits")
    network = trained_convolutional(data, DIGITS, (6,), (16,), steps=300)
    right = network(data.test_inputs).argmax(axis=1) == data.test_labels
    assert right.mean() > 0.85
    assert network.convolutions[0].weight.dtype == np.float64


@pytest.mark.parametrize(
    "changes", [{"channels": (3, 3)}, {"channels": (0,)}, {"seed": -1}, {"steps": 0}]
)
def test_numbers_that_make_no_sense_are_refused(changes: dict[str, Any]):
    arguments: dict[str, Any] = {"channels": (3,)} | changes
    with pytest.raises(InvalidInputError):
        trained_convolutional("digits", DIGITS, **arguments)
