import numpy as np
import pytest

from expand_and_cluster.core.network import Network
from expand_and_cluster.students.standardisation import LEAST_SPREAD, Standardisation


def raw_pairs(rng, *, inputs=3, outputs=2):
    x = rng.normal(size=(400, inputs)) * [1.0, 300.0, 20.0] + [5.0, -1000.0, 0.0]
    y = rng.normal(size=(400, outputs)) * 0.01 + 4.0
    return x, y


def network(rng, *, skip=False, deep=False):
    sizes = (3, 5, 4, 2) if deep else (3, 5, 2)
    layers = [(rng.normal(size=(o, i)), rng.normal(size=o)) for i, o in zip(sizes, sizes[1:])]  # noqa: B905, RUF007
    return Network.from_arrays(
        layers, "tanh", (rng.normal(size=(2, 3)), rng.normal(size=2)) if skip else None
    )


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_training_pairs_get_zero_mean_and_unit_variance(rng):
    x, y = raw_pairs(rng)
    x[:, 0] *= 30.0  # within a factor of ten of the others, so that none is below LEAST_SPREAD
    standard = Standardisation.fit(x, y)
    for values in (standard.inputs(x), standard.targets(y)):
        np.testing.assert_allclose(values.mean(axis=0), 0.0, atol=1e-11)
        np.testing.assert_allclose(values.std(axis=0), 1.0, atol=1e-12)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("skip", [False, True])
def test_restored_network_is_the_same_function_in_raw_coordinates(rng, skip, deep):
    x, y = raw_pairs(rng)
    standard = Standardisation.fit(x, y)
    student = network(rng, skip=skip, deep=deep)
    wanted = student(standard.inputs(x)) * standard.output_scale + standard.output_center
    # Centres of 3 standard deviations cost a digit or two.
    np.testing.assert_allclose(standard.restore(student)(x), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("skip", [False, True])
def test_entering_undoes_restoring(rng, skip):
    x, y = raw_pairs(rng)
    standard = Standardisation.fit(x, y)
    student = network(rng, skip=skip)
    back = standard.enter(standard.restore(student))
    for mine, theirs in zip(back.layers, student.layers, strict=True):
        np.testing.assert_allclose(mine.weight, theirs.weight, atol=1e-12)
        np.testing.assert_allclose(mine.bias, theirs.bias, atol=1e-10)
    if skip:
        assert back.skip is not None
        assert student.skip is not None
        np.testing.assert_allclose(back.skip.weight, student.skip.weight, atol=1e-12)
        np.testing.assert_allclose(back.skip.bias, student.skip.bias, atol=1e-10)


def test_entered_teacher_answers_standardised_pairs(rng):
    x = raw_pairs(rng)[0]
    teacher = network(rng)
    teacher = teacher.replace(
        layers=(type(teacher.layers[0])(teacher.layers[0].weight / 300.0, teacher.layers[0].bias),
                teacher.layers[1])
    )  # fmt: skip
    y = teacher(x)
    standard = Standardisation.fit(x, y)
    answers = standard.enter(teacher)(standard.inputs(x))
    np.testing.assert_allclose(answers, standard.targets(y), atol=1e-12)


def test_constant_columns_keep_a_usable_scale(rng):
    x, y = raw_pairs(rng)
    x[:, 1], y[:, 1] = 7.0, 0.1
    standard = Standardisation.fit(x, y)
    assert np.all(np.isfinite(standard.input_scale))
    assert np.all(standard.input_scale > 0)
    assert standard.output_scale[1] == 1.0
    np.testing.assert_allclose(standard.inputs(x)[:, 1], 0.0, atol=1e-12)
    np.testing.assert_allclose(standard.targets(y)[:, 1], 0.0, atol=1e-12)
    student = network(rng)
    wanted = student(standard.inputs(x)) * standard.output_scale + standard.output_center
    np.testing.assert_allclose(standard.restore(student)(x), wanted, atol=1e-12)


def test_inputs_that_hardly_vary_are_not_stretched_to_full_size(rng):
    x, y = raw_pairs(rng)
    x = rng.normal(size=x.shape) * [1.0, 1.0, 1e-6]
    standard = Standardisation.fit(x, y)
    assert standard.input_scale[2] == pytest.approx(LEAST_SPREAD * np.median(x.std(axis=0)))


def test_all_constant_is_left_as_it_is():
    standard = Standardisation.fit(np.full((5, 2), 3.0), np.full((5, 1), 2.0))
    np.testing.assert_array_equal(standard.input_scale, [1.0, 1.0])
    np.testing.assert_array_equal(standard.output_scale, [1.0])


def test_input_vectors_enter_as_the_first_layer_does(rng):
    x, y = raw_pairs(rng)
    standard = Standardisation.fit(x, y)
    raw = network(rng, deep=True)
    first = standard.enter(raw).layers[0]
    vectors = standard.enter_vectors(raw.input_vectors)
    np.testing.assert_allclose(vectors, np.column_stack([first.weight, first.bias]), rtol=1e-12)
