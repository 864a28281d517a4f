"""Teachers trained on images classify well, and the same settings give the same teacher."""

from typing import Any

import jax
import numpy as np
import pytest

from expand_and_cluster.core.errors import FileFormatError, InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.datasets import Dataset, load
from expand_and_cluster.teachers import accuracy, trained


def equal(one: Network, other: Network) -> bool:
    return all(
        np.array_equal(a.weight, b.weight) and np.array_equal(a.bias, b.bias)
        for a, b in zip(one.layers, other.layers, strict=True)
    )


@pytest.fixture(scope="module")
def blobs() -> Dataset:
    """Three well separated classes in four dimensions."""
    rng = np.random.default_rng(0)
    centres = np.eye(4)[:3]

    def draw(count):
        labels = rng.integers(0, 3, size=count)
        return np.clip(centres[labels] + 0.1 * rng.normal(size=(count, 4)), 0, 1), labels

    return Dataset("blobs", *draw(300), *draw(100), image_shape=(2, 2))


def test_digits_are_learned():
    digits = load("digits")
    teacher = trained("digits", (64, 32, 10), "tanh", 0)
    assert teacher.widths == (64, 32, 10)
    assert teacher.activation.name == "tanh"
    assert teacher.layers[0].weight.dtype == np.float64
    assert accuracy(teacher, digits.test_inputs, digits.test_labels) > 0.95
    # Weights into pixels that are always empty never move from where they started.
    empty = digits.train_inputs.max(axis=0) == 0
    bound = np.sqrt(6 / (64 + 32))
    assert np.abs(np.asarray(teacher.layers[0].weight)[:, empty]).max() <= bound


def test_a_deep_teacher_with_a_user_s_activation(blobs):
    teacher = trained(blobs, (4, 6, 5, 3), lambda z: z / (1 + abs(z)), 1, epochs=60)
    assert teacher.hidden_widths == (6, 5)
    assert accuracy(teacher, blobs.test_inputs, blobs.test_labels) > 0.95


def test_the_seed_decides_whatever_precision_the_caller_has_on(blobs):
    one = trained(blobs, (4, 5, 3), seed=3, epochs=5)
    with jax.enable_x64(True):
        same = trained(blobs, (4, 5, 3), seed=3, epochs=5)
    assert equal(one, same)
    assert not equal(one, trained(blobs, (4, 5, 3), seed=4, epochs=5))


def test_training_stops_early_and_keeps_the_best_epoch(blobs):
    # With a hopeless step size nothing improves after the first epochs: many more allowed epochs
    # change nothing.
    short = trained(blobs, (4, 5, 3), epochs=40, patience=3, learning_rate=5.0)
    long = trained(blobs, (4, 5, 3), epochs=400, patience=3, learning_rate=5.0)
    assert equal(short, long)


def test_a_finished_teacher_is_kept(blobs, tmp_path):
    settings: dict[str, Any] = {"seed": 1, "epochs": 5}
    first = trained(blobs, (4, 5, 3), cache=tmp_path, **settings)
    (kept,) = tmp_path.glob("*.safetensors")
    stamp = kept.stat().st_mtime_ns
    assert equal(trained(blobs, (4, 5, 3), cache=tmp_path, **settings), first)
    assert equal(trained(blobs, (4, 5, 3), **settings), first)
    assert kept.stat().st_mtime_ns == stamp
    # Other settings, activations of the same name and data of the same name are other teachers.
    trained(blobs, (4, 5, 3), cache=tmp_path, seed=1, epochs=6)

    def tanh(z: jax.Array) -> jax.Array:
        return 2 * jax.nn.sigmoid(z) - 1

    trained(blobs, (4, 5, 3), tanh, cache=tmp_path, **settings)
    turned = Dataset(
        "blobs", 1 - blobs.train_inputs, blobs.train_labels, blobs.test_inputs, blobs.test_labels,
        (2, 2),
    )  # fmt: skip
    trained(turned, (4, 5, 3), cache=tmp_path, **settings)
    assert len(list(tmp_path.glob("*.safetensors"))) == 4
    kept.write_bytes(b"damaged")
    with pytest.raises(FileFormatError, match="not a checkpoint"):
        trained(blobs, (4, 5, 3), cache=tmp_path, **settings)


@pytest.mark.parametrize(
    ("widths", "settings", "words"),
    [
        ((4, 3), {}, "widths"),
        ((4, 0, 3), {}, "widths"),
        ((5, 4, 3), {}, "4 inputs"),
        ((4, 4, 2), {}, "3 classes"),
        ((4, 4, 3), {"seed": -1}, "seed"),
        ((4, 4, 3), {"epochs": 0}, "epochs"),
        ((4, 4, 3), {"patience": 0}, "patience"),
        ((4, 4, 3), {"batch_size": 0}, "batch_size"),
        ((4, 4, 3), {"learning_rate": 0.0}, "learning_rate"),
        ((4, 4, 3), {"learning_rate": float("nan")}, "learning_rate"),
        ((4, 4, 3), {"validation_fraction": 1.0}, "validation_fraction"),
        ((4, 4, 3), {"validation_fraction": 0.999}, "validation_fraction"),
        ((4, 4, 3), {"activation": "cube"}, "activation"),
    ],
)
def test_settings_that_make_no_sense_are_refused(blobs, widths, settings, words):
    with pytest.raises(InvalidInputError, match=words):
        trained(blobs, widths, **settings)


def test_an_unknown_dataset_is_refused():
    with pytest.raises(InvalidInputError, match="letters"):
        trained("letters", (4, 4, 3))
