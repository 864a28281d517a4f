"""The annotations of the library are checked in every test that does not ask for the contrary."""

import jaxtyping
import numpy as np
import pytest

from expand_and_cluster.core.network import Layer
from expand_and_cluster.core.symmetry import leading_sign


def test_a_wrong_shape_is_caught():
    with pytest.raises(jaxtyping.TypeCheckError):
        Layer(np.zeros((3, 4)), np.zeros(4))


def test_a_wrong_type_is_caught():
    with pytest.raises(jaxtyping.TypeCheckError):
        leading_sign(np.zeros((3, 4), dtype=int))


@pytest.mark.usefixtures("unchecked")
def test_unchecked_calls_go_through():
    assert Layer(np.zeros((3, 4)), np.zeros(4)).bias.shape == (4,)
    assert leading_sign(np.zeros((3, 4), dtype=int)).shape == (3, 1)
