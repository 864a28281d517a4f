"""From a network that nearly fits many pairs to the one: what is to spare goes, tails are left."""

from pathlib import Path

import numpy as np
from tests.test_depth_given import a_teacher

import expand_and_cluster as eac
from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.layer_blocks import Block, blocks_of, network_of
from expand_and_cluster.core.progress import silent
from expand_and_cluster.reconstruction.refinement import (
    FREE,
    LAST_STAGES,
    LEAST,
    Refined,
    Refinement,
)
from expand_and_cluster.students.training import TrainingData


def test_neurons_that_give_next_to_nothing_are_taken_out():
    teacher = a_teacher()
    inputs = np.random.default_rng(1).normal(size=(2000, 6))
    data = TrainingData(inputs, teacher(inputs))
    rng = np.random.default_rng(2)
    first, second, last = blocks_of(teacher)
    more = Block(
        np.concatenate([first.weight, rng.normal(size=(2, 6, 1))]),
        np.concatenate([first.bias, rng.normal(size=2)]),
    )
    reads = Block(
        np.concatenate([second.weight, 1e-8 * rng.normal(size=(4, 2, 1))], axis=1), second.bias
    )
    wide = network_of((more, reads, last), teacher)
    refinement = Refinement(data, seed=0, checkpoint=Checkpoint(None), report=silent)
    thinned, removals = refinement.thinned(wide, 1e-14, 1.0)
    assert thinned.hidden_widths == (5, 4)
    assert [removal.layer for removal in removals] == [0, 0]
    assert all("spread" in removal.reason for removal in removals)
    np.testing.assert_allclose(thinned(inputs), teacher(inputs), atol=1e-6)
    polished, loss = refinement.polish(thinned, LAST_STAGES)
    assert loss < 1e-20
    assert polished.hidden_widths == (5, 4)


def test_what_was_tried_before_a_neuron_was_found_is_not_taken_for_what_comes_after(
    tmp_path: Path,
):
    """The widths may be the same, and the network another."""
    teacher = a_teacher()
    inputs = np.random.default_rng(1).normal(size=(500, 6))
    data = TrainingData(inputs, teacher(inputs))
    refinement = Refinement(data, seed=0, checkpoint=Checkpoint(tmp_path), report=silent)
    first, *above = blocks_of(teacher)
    spoilt = network_of((Block(0.5 * first.weight, first.bias), *above), teacher)
    idle = np.zeros((4, 1, 1))
    for start, missing in ((spoilt, ()), (teacher, (0,))):
        first, second, last = blocks_of(start)
        wide = network_of(
            (
                Block(np.concatenate([first.weight, first.weight[:1]]), np.append(first.bias, 3.0)),
                Block(np.concatenate([second.weight, idle], axis=1), second.bias),
                last,
            ),
            teacher,
        )
        refinement.polish = lambda network, *_: (  # type: ignore[method-assign]
            network, float(np.mean((network(inputs) - data.targets) ** 2))
        )  # fmt: skip
        found = Refined(wide, 1e-8, missing)
        lightened = refinement._lightened(found, FREE)
        assert lightened == bool(missing)


def test_a_neuron_far_out_in_a_tail_is_brought_back():
    """Softplus is exponential there: a lower bias and longer weights above give nearly the same."""
    rng = np.random.default_rng(3)
    first = rng.normal(size=(5, 6)) / np.sqrt(6)
    biases = np.array([0.5, -0.5, 0.2, 0.8, -2.5])
    second = rng.normal(size=(3, 5))
    teacher = eac.Network.from_arrays([(first, biases), (second, np.zeros(3))], "softplus")
    inputs = rng.normal(size=(6000, 6))
    data = TrainingData(inputs, teacher(inputs))
    out = np.eye(5)[4] * 5.0
    far = eac.Network.from_arrays(
        [(first, biases - out), (second * np.exp(out), np.zeros(3))], "softplus"
    )
    refinement = Refinement(data, seed=0, checkpoint=Checkpoint(None), report=silent)
    found = Refined(*refinement.polish(far))
    before = found.loss
    while refinement.straightened(found):
        pass
    assert found.loss < LEAST**2 < 1e-4 * before
    found.network, found.loss = refinement.polish(found.network, LAST_STAGES)
    assert found.loss < 1e-12 * before
    np.testing.assert_allclose(np.sort(found.network.layers[0].bias), np.sort(biases), atol=1e-4)
    assert not refinement.straightened(found)
