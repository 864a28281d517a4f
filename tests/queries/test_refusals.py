"""Bad calls of `recover` are refused at once, each with its sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import expand_and_cluster
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.queries.samplers import Gaussian, Pool, Uniform
from expand_and_cluster.queries.validation import validate_request

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = RNG.normal(size=(40, 2))


def never(inputs: np.ndarray) -> np.ndarray:
    raise AssertionError("a refused call must not ask the teacher")


def pairs() -> QueryPairs:
    return QueryPairs(X, Y)


def call(source: Any, **arguments: Any) -> Any:
    """The public entry where there is one."""
    entry: Callable[..., Any] = getattr(expand_and_cluster, "recover", validate_request)
    return entry(source, **{"activation": "tanh", **arguments})


def asking(**arguments: Any) -> Any:
    return call(never, **{"inputs": Gaussian(3), "max_queries": 1000, **arguments})


def network(size: int = 3, students: int = 0) -> Network:
    layers = [(np.ones((2, size)), np.ones(2)), (np.ones((1, 2)), np.zeros(1))]
    one = Network.from_arrays(layers, "tanh")
    return Network.stack([one] * students) if students else one


FILE = Path(__file__)

BAD_CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    # The source
    "tuple of arrays": (lambda: call((X, Y)), r"source is a tuple; wrap .* eac\.QueryPairs"),
    "dict of arrays": (lambda: call({"x": X, "y": Y}), r"source is a dict; wrap .*QueryPairs"),
    "inputs only": (lambda: call(X), r"source must be eac\.QueryPairs.*got ndarray"),
    "path": (lambda: call("pairs.npz"), r"source must be .*got str"),
    "nothing": (lambda: call(None), r"source must be .*got NoneType"),
    "class": (lambda: call(Network), r"source must be .*got Network"),
    "ensemble": (
        lambda: call(network(students=2), inputs=Gaussian(3), max_queries=100),
        r"source is an ensemble of 2 networks",
    ),
    # Pairs
    "row mismatch": (lambda: call(QueryPairs(X, Y[:-1])), "inputs has 40 rows but outputs has 39"),
    "NaN in inputs": (
        lambda: call(QueryPairs(np.where(X > 2, np.nan, X), Y)),
        r"inputs must be finite, but row \d+ holds nan",
    ),
    "infinite output": (
        lambda: call(QueryPairs(X, np.where(Y > 1, np.inf, Y))),
        r"outputs must be finite, but row \d+ holds inf",
    ),
    "flat inputs": (lambda: call(QueryPairs(X[:, 0], Y)), "inputs must be two-dimensional"),
    "no rows": (lambda: call(QueryPairs(X[:0], Y[:0])), "at least one row"),
    "words": (lambda: call(QueryPairs(X.astype(str), Y)), "must be an array of numbers"),
    "too few pairs": (
        lambda: call(QueryPairs(RNG.normal(size=(4, 8)), RNG.normal(size=4))),
        "pairs has 4 rows with 1 outputs, 4 numbers, but .* 11 unknowns; at least 11 rows",
    ),
    "constant outputs": (
        lambda: call(QueryPairs(X, np.full_like(Y, 0.1))),
        "outputs of pairs are constant over all 40 rows",
    ),
    "same inputs": (
        lambda: call(QueryPairs(np.ones_like(X), Y)),
        "inputs of pairs are 40 rows that are all the same",
    ),
    "pairs with inputs": (lambda: call(pairs(), inputs=Gaussian(3)), "inputs is for a teacher"),
    "pairs with budget": (lambda: call(pairs(), max_queries=9), "max_queries is for a teacher"),
    # The oracle
    "no inputs": (lambda: call(never, max_queries=9), "inputs is missing: .*eac.Gaussian"),
    "no budget": (lambda: call(never, inputs=Gaussian(3)), "max_queries is missing"),
    "inputs a number": (lambda: asking(inputs=3), "inputs must be a sampler .* got 3; write"),
    "inputs a word": (lambda: asking(inputs="gaussian"), "inputs must be a sampler .*'gaussian'"),
    "inputs a class": (lambda: asking(inputs=Gaussian), "inputs must be a sampler .*Gaussian"),
    "inputs flat": (lambda: asking(inputs=X[:, 0]), "inputs must be two-dimensional"),
    "inputs pairs": (lambda: asking(inputs=pairs()), "inputs must be an array of numbers"),
    "inputs of another size": (
        lambda: call(network(), inputs=Gaussian(5), max_queries=100),
        "inputs gives questions of 5 numbers, but the teacher takes 3",
    ),
    "tiny pool": (lambda: asking(inputs=X[:2]), "inputs allows 2 questions"),
    "no queries": (lambda: asking(max_queries=0), "max_queries must be .*at least 1.*got 0"),
    "two queries": (lambda: asking(max_queries=2), "max_queries allows 2 questions"),
    "queries a float": (lambda: asking(max_queries=1e4), "max_queries must be .*got 10000.0"),
    "queries a word": (lambda: asking(max_queries="all"), "max_queries must be .*got 'all'"),
    # Samplers
    "empty Gaussian": (lambda: asking(inputs=Gaussian(0)), "Gaussian size must be .*got 0"),
    "fractional size": (lambda: asking(inputs=Gaussian(2.5)), r"Gaussian size must be .*got 2\.5"),  # type: ignore[arg-type]
    "negative scale": (lambda: asking(inputs=Gaussian(3, -1.0)), "Gaussian scale must be .*-1"),
    "NaN scale": (lambda: asking(inputs=Gaussian(3, np.nan)), "Gaussian scale must be .*nan"),
    "center of another size": (
        lambda: asking(inputs=Gaussian(3, 1.0, [0, 0])),
        r"Gaussian center must be one number or 3.*\(2,\)",
    ),
    "infinite center": (lambda: asking(inputs=Gaussian(3, 1.0, np.inf)), "center must be finite"),
    "empty box": (lambda: asking(inputs=Uniform(3, 1, 1)), "Uniform low must be below high"),
    "box of another size": (
        lambda: asking(inputs=Uniform(3, [0, 0], 1)),
        r"Uniform low must be one number or 3",
    ),
    "NaN box": (lambda: asking(inputs=Uniform(3, np.nan, 1)), "Uniform low must be finite"),
    "NaN pool": (
        lambda: asking(inputs=Pool([[0.0, np.nan, 1.0]])),
        "Pool array must be finite, but row 0 holds nan in column 1",
    ),
    "flat pool": (lambda: asking(inputs=Pool([1.0, 2.0])), "Pool array must be two-dimensional"),
    "empty pool": (lambda: asking(inputs=Pool(np.ones((0, 3)))), "Pool array must have at least"),
    # The activation
    "unknown activation": (lambda: call(pairs(), activation="tahn"), "'tahn' is not in the cata"),
    "activation a number": (lambda: call(pairs(), activation=3), "activation must be a name or"),
    "affine activation": (lambda: call(pairs(), activation=lambda z: 2 * z + 1), "affine"),
    "activation of a sum": (lambda: call(pairs(), activation=jnp.sum), "must be elementwise"),
    "activation with a pole": (lambda: call(pairs(), activation=jnp.log), "not finite at z"),
    # Sizes
    "a way of fitting for two hidden layers": (
        lambda: call(pairs(), hidden_layers=2, fit="adam"),
        "fit='adam' is for one hidden layer",
    ),
    "layers and auto": (
        lambda: call(pairs(), hidden_layers=2, activation="auto"),
        "activation='auto' is for one hidden layer",
    ),
    "layers and probabilities": (
        lambda: call(pairs(), hidden_layers=2, outputs="probabilities"),
        "outputs='probabilities' is for one hidden layer",
    ),
    "layers and noise": (
        lambda: call(pairs(), hidden_layers=2, noise=0.1),
        r"noise=0\.1 is for one hidden layer",
    ),
    "no hidden layer": (lambda: call(pairs(), hidden_layers=0), "hidden_layers must be .*got 0"),
    "half a layer": (lambda: call(pairs(), hidden_layers=1.0), r"hidden_layers must be .*1\.0"),
    "no width": (lambda: call(pairs(), width=0), "width must be .*at least 1.*got 0"),
    "width a bool": (lambda: call(pairs(), width=True), "width must be .*got True"),
    "width a float": (lambda: call(pairs(), width=8.0), r"width must be .*got 8\.0"),
    "one student": (lambda: call(pairs(), students=1), "students must be .*at least 2.*got 1"),
    "students a list": (lambda: call(pairs(), students=[1, 2]), r"students must be .*\[1, 2\]"),
    # Clusters
    "no fraction": (lambda: call(pairs(), min_cluster_fraction=0.0), "min_cluster_fraction must"),
    "percent": (lambda: call(pairs(), min_cluster_fraction=80), "min_cluster_fraction .*at most 1"),
    "no angle": (lambda: call(pairs(), max_cluster_angle=0), "max_cluster_angle must be .*got 0"),
    "degrees": (lambda: call(pairs(), max_cluster_angle=7.5), "max_cluster_angle .*radians"),
    "angle a word": (lambda: call(pairs(), max_cluster_angle="pi/6"), "max_cluster_angle must"),
    # The rest
    "logits as probabilities": (
        lambda: call(pairs(), outputs="probabilities"),
        'outputs="probabilities" needs numbers between 0 and 1, but row 1 of pairs',
    ),
    "other outputs": (lambda: call(pairs(), outputs="labels"), "outputs must be .*'labels'"),
    "outputs an array": (
        lambda: call(X, outputs=Y),
        "outputs must be .*, got an array",
    ),
    "no noise": (lambda: call(pairs(), noise=0.0), "noise must be a number above 0, got 0.0"),
    "negative seed": (lambda: call(pairs(), seed=-1), "seed must be .*at least 0.*got -1"),
    "seed a float": (lambda: call(pairs(), seed=0.5), r"seed must be .*got 0\.5"),
    "no seed": (lambda: call(pairs(), seed=None), "seed must be .*got None"),
    "unknown fit": (lambda: call(pairs(), fit="sgd"), "fit must be .*gradient_flow, got 'sgd'"),
    "no time": (lambda: call(pairs(), time_budget=0), "time_budget must be .*above 0, got 0"),
    "NaN time": (lambda: call(pairs(), time_budget=np.nan), "time_budget must be .*got nan"),
    "time a word": (lambda: call(pairs(), time_budget="1h"), "time_budget must be .*got '1h'"),
    "progress a bool": (lambda: call(pairs(), progress=True), "progress must be a callable"),
    "checkpoint a file": (lambda: call(pairs(), checkpoint=FILE), "is an existing file"),
    "checkpoint in a file": (lambda: call(pairs(), checkpoint=FILE / "x"), "is an existing file"),
    "checkpoint a number": (lambda: call(pairs(), checkpoint=7), "checkpoint must be the path"),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_call_is_refused(name: str) -> None:
    bad, sentence = BAD_CALLS[name]
    with pytest.raises(InvalidInputError, match=sentence) as caught:
        bad()
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert len(message) < 400


def test_good_pairs_pass_in_final_types(tmp_path: Path) -> None:
    request = validate_request(
        pairs(),
        activation="tanh",
        width=np.int64(8),
        students=np.uint8(4),
        seed=np.int32(3),
        min_cluster_fraction=1,
        max_cluster_angle=np.float32(0.5),
        time_budget=60,
        fit="adam",
        checkpoint=str(tmp_path / "new" / "folder"),
    )
    assert request.input_size == 3
    assert request.named.name == "tanh"
    assert [type(v) for v in (request.width, request.students, request.seed)] == [int] * 3
    assert (request.min_cluster_fraction, request.max_cluster_angle) == (1.0, 0.5)
    assert request.checkpoint == tmp_path / "new" / "folder"
    assert not (tmp_path / "new").exists()


def test_a_teacher_passes_unasked() -> None:
    request = validate_request(
        never, inputs=X, max_queries=np.int64(500), activation=lambda z: jnp.tanh(z) + z
    )
    assert isinstance(request.sampler, Pool)
    assert (request.input_size, request.max_queries, request.pairs) == (3, 500, None)


def test_a_network_passes_as_teacher() -> None:
    request = validate_request(network(), inputs=Gaussian(3), max_queries=64, activation="tanh")
    assert request.function is not None
    assert request.function(X).shape == (40, 1)
