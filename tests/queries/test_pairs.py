"""Pairs: what is accepted, what is refused, and the split."""

import numpy as np
import pytest

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.queries.pairs import QueryPairs, check_informative


class Frame:
    """Stands for a data frame or a tensor: NumPy reads it through `__array__`."""

    def __init__(self, values: object) -> None:
        self.values = np.asarray(values)

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        return self.values.astype(dtype) if dtype is not None else self.values  # type: ignore[arg-type]


class Tensor(Frame):
    """Stands for a torch tensor that requires gradients: unreadable before `detach`."""

    detached = False

    def detach(self) -> "Tensor":
        copy = Tensor(self.values)
        copy.detached = True
        return copy

    def cpu(self) -> "Tensor":
        return self

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        if not self.detached:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return super().__array__(dtype, copy)


@pytest.mark.parametrize(
    "read", [list, np.array, np.float32, Frame, Tensor, lambda x: np.asfortranarray(x)]
)
def test_array_likes_become_float64(read: type) -> None:
    values = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    pairs = QueryPairs(read(values), read([1, 2, 3]))
    assert pairs.inputs.dtype == pairs.outputs.dtype == np.float64
    assert pairs.inputs.tolist() == values
    assert pairs.outputs.tolist() == [[1.0], [2.0], [3.0]]
    assert (len(pairs), pairs.input_size, pairs.output_size) == (3, 2, 1)
    assert pairs.inputs.flags.c_contiguous


def test_narrow_floats_of_jax_are_read() -> None:
    import jax.numpy as jnp

    pairs = QueryPairs(jnp.ones((4, 2), jnp.bfloat16), jnp.ones((4, 3), jnp.float32))
    assert pairs.inputs.dtype == np.float64
    assert pairs.inputs.sum() == 8.0


def test_pairs_are_copies_that_cannot_change() -> None:
    inputs, outputs = np.ones((3, 2)), np.ones((3, 1))
    pairs = QueryPairs(inputs, outputs)
    inputs[0, 0] = outputs[0, 0] = 9.0
    assert pairs.inputs[0, 0] == pairs.outputs[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        pairs.inputs[0, 0] = 9.0
    with pytest.raises(AttributeError):
        pairs.inputs = inputs  # type: ignore[misc]


GOOD = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize(
    ("inputs", "outputs", "sentence"),
    [
        ([1.0, 2.0], [1.0, 2.0], r"inputs must be two-dimensional.*\(2,\).*reshape\(-1, 1\)"),
        (np.ones((2, 2, 2)), [1.0, 2.0], r"inputs must be two-dimensional.*\(2, 2, 2\)"),
        (np.ones((0, 2)), np.ones((0, 1)), r"inputs must have at least one row.*\(0, 2\)"),
        (np.ones((3, 0)), np.ones((3, 1)), r"inputs must have at least one row.*\(3, 0\)"),
        (GOOD, np.ones((3, 0)), r"outputs must be \(pairs, outputs\).*\(3, 0\)"),
        (GOOD, np.ones((3, 1, 1)), r"outputs must be \(pairs, outputs\).*\(3, 1, 1\)"),
        (GOOD, 1.0, r"outputs must be \(pairs, outputs\).*\(\)"),
        (GOOD, [1.0, 2.0], "inputs has 3 rows but outputs has 2"),
        ([[0.0, 1.0], [np.nan, 1.0]], [1, 2], "inputs must be finite, but row 1 holds nan in col"),
        (GOOD, [1.0, 2.0, -np.inf], "outputs must be finite, but row 2 holds -inf in column 0; 1"),
        ([["a", "b"]], [1.0], "inputs must be an array of numbers, not of dtype <U1"),
        ([[None, 1.0]], [1.0], "inputs must be an array of numbers, not of dtype object"),
        ([[1.0, 2.0], [3.0]], [1.0, 2.0], "inputs must be a rectangular array of numbers"),
        (GOOD.astype(complex), [1, 2, 3], "inputs holds complex numbers"),
        (GOOD.astype("datetime64[s]"), [1, 2, 3], "inputs must be an array of numbers"),
        (np.ma.array(GOOD, mask=GOOD > 4), [1, 2, 3], "inputs has masked values"),
        (np.zeros(3, dtype=[("x", float)]), [1, 2, 3], "inputs must be an array of numbers"),
    ],
)
def test_bad_pairs_are_refused(inputs: object, outputs: object, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        QueryPairs(inputs, outputs)


def numbered(count: int) -> QueryPairs:
    return QueryPairs(np.arange(count)[:, None], 2 * np.arange(count))


@pytest.mark.parametrize(("count", "fraction", "held"), [(100, 0.1, 10), (2, 0.1, 1), (5, 0.99, 4)])
def test_split_takes_every_pair_once(count: int, fraction: float, held: int) -> None:
    train, held_out = numbered(count).split(fraction, seed=3)
    assert len(held_out) == held
    both = np.concatenate([train.inputs, held_out.inputs])[:, 0]
    assert sorted(both) == list(range(count))
    assert np.array_equal(train.outputs, 2 * train.inputs)
    assert np.array_equal(held_out.outputs, 2 * held_out.inputs)


def test_split_depends_on_the_seed_alone() -> None:
    first, second, other = (numbered(50).split(0.2, seed=s)[1].inputs for s in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_split_refuses_a_fraction_outside_0_to_1(fraction: float) -> None:
    with pytest.raises(InvalidInputError, match="fraction must lie between 0 and 1"):
        numbered(5).split(fraction)


def test_a_single_pair_cannot_be_split() -> None:
    with pytest.raises(InvalidInputError, match="single pair"):
        numbered(1).split()


def test_fewer_numbers_than_one_neuron_has_unknowns() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidInputError, match="has 11 unknowns; at least 11 rows"):
        check_informative(QueryPairs(rng.normal(size=(10, 8)), rng.normal(size=10)))
    check_informative(QueryPairs(rng.normal(size=(11, 8)), rng.normal(size=11)))
    check_informative(QueryPairs(rng.normal(size=(4, 8)), rng.normal(size=(4, 5))))


def test_one_constant_output_among_others_is_fine() -> None:
    rng = np.random.default_rng(0)
    outputs = np.stack([np.ones(20), rng.normal(size=20)], axis=1)
    check_informative(QueryPairs(rng.normal(size=(20, 2)), outputs))
