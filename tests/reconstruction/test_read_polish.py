"""A network that is nearly right comes to rounding on all pairs, from few of them."""

import numpy as np

from expand_and_cluster.core.network import Layer
from expand_and_cluster.reconstruction.deep_bench import DeepBench
from expand_and_cluster.reconstruction.read_polish import pairs_for, polish_read
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.students.training import TrainingData
from expand_and_cluster.teachers.untrained import untrained

TEACHER = untrained((6, 8, 5, 4), "g", seed=0)
ROWS = np.random.default_rng(0).normal(size=(3000, 6))


def shaken(by: float):
    """The teacher with every weight moved a little."""
    rng = np.random.default_rng(1)
    layers = tuple(
        Layer(
            layer.weight * (1.0 + by * rng.normal(size=layer.weight.shape)),
            layer.bias + by * rng.normal(size=layer.bias.shape),
        )
        for layer in TEACHER.layers
    )
    return TEACHER.replace(layers=layers)


def test_few_pairs_bring_it_to_rounding_on_all():
    data = TrainingData(ROWS, TEACHER(ROWS))
    few, bench = DeepBench(data.first(pairs_for(TEACHER))), DeepBench(data)
    assert len(few.training.inputs) < len(ROWS)
    found = polish_read(shaken(1e-5), few, bench)
    assert bench.at_floor(found)
    assert found.loss == bench.score(found.network).loss
    assert compare(found.network, TEACHER).max_weight_error < 1e-12


def test_where_few_pairs_do_not_hold_it_all_have_the_last_word():
    data = TrainingData(ROWS, TEACHER(ROWS))
    # Twelve pairs give fewer equations than there are weights.
    few, bench = DeepBench(data.first(12)), DeepBench(data)
    found = polish_read(shaken(1e-5), few, bench)
    assert bench.at_floor(found)
    assert compare(found.network, TEACHER).max_weight_error < 1e-12


def test_it_never_comes_out_worse():
    data = TrainingData(ROWS, TEACHER(ROWS))
    bench = DeepBench(data)
    found = polish_read(TEACHER, DeepBench(data.first(12)), bench)
    assert found.loss <= bench.score(TEACHER).loss
