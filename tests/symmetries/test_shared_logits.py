"""What a softmax hides is taken away, and nothing else."""

import numpy as np
import pytest
from scipy.special import softmax

from expand_and_cluster.core.network import Network
from expand_and_cluster.symmetries.shared_logits import centre_outputs

RNG = np.random.default_rng(0)


def network_of(outputs, skip=False):
    pairs = [
        (RNG.normal(size=(3, 4)), RNG.normal(size=3)),
        (RNG.normal(size=(outputs, 3)), RNG.normal(size=outputs)),
    ]
    extra = (RNG.normal(size=(outputs, 4)), RNG.normal(size=outputs)) if skip else None
    return Network.from_arrays(pairs, "tanh", skip=extra)


@pytest.mark.parametrize("skip", [False, True])
def test_probabilities_stay_and_outputs_sum_to_zero(skip):
    network, inputs = network_of(3, skip), RNG.normal(size=(20, 4))
    centred = centre_outputs(network)
    np.testing.assert_allclose(centred(inputs).sum(axis=1), 0.0, atol=1e-14)
    np.testing.assert_allclose(
        softmax(centred(inputs), axis=1), softmax(network(inputs), axis=1), atol=1e-15
    )


def test_one_output_has_nothing_to_hide():
    network = network_of(1)
    assert centre_outputs(network) is network
