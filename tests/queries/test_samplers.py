"""Samplers draw from what they say."""

import numpy as np
import pytest

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.queries.samplers import (
    Gaussian,
    Pool,
    Sampler,
    Uniform,
    as_sampler,
    fingerprint,
)

# Means and standard deviations of 40,000 draws stray by 1/200 of the spread (one sigma); five
# sigma never fail with a fixed seed that passed once.
COUNT = 40_000
LOOSE = 5 / np.sqrt(COUNT)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_gaussian_has_its_center_and_scale() -> None:
    rows = Gaussian(3, scale=2.0, center=[1.0, 0.0, -5.0]).draw(COUNT, rng())
    assert rows.shape == (COUNT, 3)
    assert np.allclose(rows.mean(axis=0), [1.0, 0.0, -5.0], atol=2.0 * LOOSE)
    assert np.allclose(rows.std(axis=0), 2.0, atol=2.0 * LOOSE)
    assert abs(np.mean(rows[:, 0] - 1.0 > 2.0) - 0.1587) < LOOSE


def test_gaussian_without_a_scale_waits_for_one() -> None:
    open_scale = Gaussian(2, center=3.0)
    with pytest.raises(InvalidInputError, match="no scale yet"):
        open_scale.draw(1, rng())
    filled = open_scale.with_scale(0.5)
    assert (filled.size, filled.scale, filled.center.tolist()) == (2, 0.5, [3.0, 3.0])
    assert filled.with_scale(1.0, center=[1.0, 2.0]).center.tolist() == [1.0, 2.0]


def test_uniform_fills_its_box() -> None:
    rows = Uniform(2, [-1.0, 0.0], [1.0, 10.0]).draw(COUNT, rng())
    assert np.all(rows >= [-1.0, 0.0])
    assert np.all(rows < [1.0, 10.0])
    assert np.allclose(rows.mean(axis=0), [0.0, 5.0], atol=10 * LOOSE)
    assert np.allclose(rows.std(axis=0), np.array([2.0, 10.0]) / np.sqrt(12), atol=10 * LOOSE)


def test_pool_never_repeats_a_row_within_a_draw() -> None:
    pool = Pool(np.arange(20).reshape(10, 2))
    rows = pool.draw(7, rng())
    assert len(np.unique(rows[:, 0])) == 7
    assert np.all(np.isin(rows[:, 0], pool.array[:, 0]))
    assert np.array_equal(rows[:, 1], rows[:, 0] + 1)


def test_pool_gives_all_it_has_when_asked_for_more() -> None:
    pool = Pool([[1.0], [2.0], [3.0]])
    assert sorted(pool.draw(99, rng())[:, 0]) == [1.0, 2.0, 3.0]
    assert pool.available == 3


@pytest.mark.parametrize("sampler", [Gaussian(4, 1.0), Uniform(4, -1, 1), Pool(np.eye(4))])
def test_draws_depend_on_the_generator_alone(sampler: Sampler) -> None:
    assert isinstance(sampler, Sampler)
    assert np.array_equal(sampler.draw(3, rng(5)), sampler.draw(3, rng(5)))
    assert not np.array_equal(sampler.draw(3, rng(5)), sampler.draw(3, rng(6)))


def test_as_sampler_turns_arrays_into_pools() -> None:
    pool = as_sampler([[1.0, 2.0], [3.0, 4.0]])
    assert isinstance(pool, Pool)
    assert pool.available == 2
    gaussian = Gaussian(2)
    assert as_sampler(gaussian) is gaussian


def test_a_sampler_of_the_users_own_is_accepted() -> None:
    class Corners:
        size = 3

        def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
            return rng.choice([-1.0, 1.0], size=(count, self.size))

    corners = Corners()
    assert as_sampler(corners) is corners


@pytest.mark.parametrize("moved", [1e-12, 1.0])
def test_samplers_that_differ_anywhere_have_other_fingerprints(moved: float) -> None:
    center = np.zeros(3072)
    elsewhere = center.copy()
    elsewhere[1500] = moved
    pairs = [
        (Gaussian(3072, 1.0, center), Gaussian(3072, 1.0, elsewhere)),
        (Uniform(3072, center - 1.0, 1.0), Uniform(3072, elsewhere - 1.0, 1.0)),
    ]
    for one, other in pairs:
        assert fingerprint(one) != fingerprint(other)
        shown = fingerprint(one)
        with np.printoptions(precision=2):
            assert fingerprint(one) == shown


def test_descriptions_are_plain() -> None:
    assert Gaussian(2).describe() == {
        "sampler": "gaussian",
        "size": 2,
        "scale": None,
        "center": 0.0,
    }
    assert Uniform(2, 0, [1, 2]).describe()["high"] == [1.0, 2.0]
    assert Pool(np.eye(3)).describe() == {"sampler": "pool", "size": 3, "available": 3}
