import jax
import numpy as np
import pytest
from tests.fitting.problems import flattened, imitation, loss_and_gradient, random_network

from expand_and_cluster.core.precision import double
from expand_and_cluster.fitting.squared_error import (
    in_blocks,
    mean_squared_error,
    value_and_gradient,
)


@pytest.mark.parametrize(("samples", "rows"), [(7, 100), (10, 5), (11, 4)])
def test_blocks_add_up_to_the_loss_and_gradient_made_by_hand(samples, rows):
    widths = (3, 4, 2)
    inputs, targets = imitation(widths, samples)
    network = random_network(widths, 5)
    with double():
        data = in_blocks(inputs, targets, dtype=np.float64, rows=rows)
        loss = mean_squared_error(network, data)
        value, gradient = value_and_gradient(jax.tree.map(jax.numpy.asarray, network), data)
    exact, slope = loss_and_gradient(flattened(network), widths, inputs, targets)
    # Sums in another order: rounding only.
    np.testing.assert_allclose([loss, value], exact, rtol=1e-13)
    np.testing.assert_allclose(flattened(gradient), slope, rtol=1e-11, atol=1e-15)
