import numpy as np
import pytest
from tests.fitting.problems import flattened

from expand_and_cluster.core.activations import resolve
from expand_and_cluster.students.initial import LENGTH, REACH, initial_students

WIDTHS = (4, 6, 2)
TANH = resolve("tanh")


def test_student_depends_on_seed_and_index_alone():
    six = initial_students(WIDTHS, TANH, count=6, seed=3)
    two = initial_students(WIDTHS, TANH, count=2, seed=3, first=4)
    np.testing.assert_array_equal(flattened(six.student(4)), flattened(two.student(0)))
    np.testing.assert_array_equal(flattened(six.student(5)), flattened(two.student(1)))


def test_students_and_seeds_differ():
    one = initial_students(WIDTHS, TANH, count=3, seed=3)
    other = initial_students(WIDTHS, TANH, count=3, seed=4)
    starts = [flattened(ensemble.student(i)) for ensemble in (one, other) for i in range(3)]
    for i, start in enumerate(starts):
        assert all(not np.any(start[:24] == later[:24]) for later in starts[i + 1 :])


@pytest.mark.parametrize("length", [LENGTH, 0.5])
def test_hyperplanes_lie_within_the_data(length):
    students = initial_students((3, 50, 1), TANH, count=4, seed=0, length=length)
    first, last = students.layers
    assert students.widths == (3, 50, 1)
    np.testing.assert_allclose(np.linalg.norm(first.weight, axis=2), length, rtol=1e-14)
    assert np.abs(first.bias).max() <= length * REACH
    assert not last.bias.any()
    answers = students(np.random.default_rng(0).normal(size=(500, 3)))
    assert np.all(answers.std(axis=1) < 0.3)
