"""The student that is made of all: trained on, kept, and given as it was kept."""

from dataclasses import replace

import numpy as np
import pytest
from tests.reconstruction.planted import gaussian, teacher

from expand_and_cluster.core.checkpoint import Checkpoint
from expand_and_cluster.core.progress import Progress, silent
from expand_and_cluster.fitting.memory import Memory
from expand_and_cluster.reconstruction.merged import train_merged
from expand_and_cluster.reconstruction.starts import SearchSettings
from expand_and_cluster.reconstruction.workbench import Workbench
from expand_and_cluster.students.training import TrainingData

SETTINGS = SearchSettings(
    8, 2, 0, 0.5, np.pi / 12, "adam", 1, steps=2000, learning_rate=3e-3, batch_size=100, given=True
)


@pytest.mark.parametrize(
    ("activation", "changes"),
    [("tanh", {}), ("gelu", {}), ("tanh", {"learning_rate": 1e-2, "weight_decay": 0.25})],
)
def test_it_comes_nearer_and_is_trained_once(activation, changes, tmp_path):
    """gelu carries an affine left-over along, which is trained too."""
    settings = replace(SETTINGS, **changes)
    source = teacher((6, 4, 3), activation)
    inputs = gaussian(2000, 6)
    data = TrainingData(inputs, source(inputs))
    bench = Workbench(data, source.activation, skip=source.activation.leaves_line)
    rng = np.random.default_rng(0)
    near = source.input_vectors + 0.2 * rng.normal(size=(4, 7))
    vectors = np.vstack([near, rng.normal(size=(2, 7))])
    memory = Memory(Checkpoint(tmp_path), "merged-0", source.activation)

    def trained() -> np.ndarray:
        return train_merged(
            vectors,
            bench,
            data,
            settings,
            seconds=None,
            memory=memory,
            report=silent,
            deadline=None,
        )

    found = trained()
    assert found.shape == vectors.shape
    before, after = (np.linalg.norm(v[:4] - source.input_vectors) for v in (vectors, found))
    assert after < 0.3 * before
    assert bench.start(found, 6).loss < 0.1 * bench.start(vectors, 6).loss
    np.testing.assert_array_equal(trained(), found)


def test_new_neurons_are_trained_past_a_start_that_is_nearly_exact(tmp_path):
    """Beside two new ones, all are in their places: given is what training ended with."""
    source = teacher((6, 4, 3), "softplus")
    inputs = gaussian(2000, 6)
    data = TrainingData(inputs, source(inputs))
    bench = Workbench(data, source.activation, skip=True)
    vectors = np.vstack([source.input_vectors, np.random.default_rng(0).normal(size=(2, 7))])
    stages = []

    def told(progress: Progress) -> None:
        stages.append(progress.stage)

    found = train_merged(
        vectors,
        bench,
        data,
        replace(SETTINGS, steps=100),
        seconds=None,
        memory=Memory(Checkpoint(tmp_path), "merged-0", source.activation),
        report=told,
        deadline=None,
        new=True,
    )
    assert set(stages) == {"train new neurons"}
    # Rounding alone does not move so far.
    assert np.abs(found - vectors).max() > 1e-4
