"""Where questions are drawn from."""

import hashlib
import json
import math
import operator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.queries.arrays import read_numbers, read_rows

Rows = Float[np.ndarray, "rows size"]
Vector = Float[np.ndarray, " size"]


@runtime_checkable
class Sampler(Protocol):
    """Anything that questions can be drawn from."""

    @property
    def size(self) -> int:
        """Number of inputs of a question."""
        ...

    def draw(self, count: int, rng: np.random.Generator) -> Rows:
        """Draw questions.

        Args:
            count: How many rows are wanted.
            rng: Source of randomness.

        Returns:
            (count, size) in float64; fewer rows if there are no more.
        """
        ...


def described(sampler: Sampler) -> Any:
    """A sampler in plain JSON values."""
    describe = getattr(sampler, "describe", None)
    return describe() if describe else repr(sampler)


@dataclass(frozen=True, eq=False, init=False)
class Gaussian:
    """Independent normal inputs, the same standard deviation for all.

    Attributes:
        size: Number of inputs.
        scale: Standard deviation, or None to let the library find it from answers.
        center: Mean of every input.
    """

    size: int
    scale: float | None
    center: Vector

    def __init__(self, size: int, scale: float | None = None, center: Any = None) -> None:
        """Check the parameters.

        Args:
            size: Number of inputs, at least 1.
            scale: Standard deviation, positive; None lets the library find it.
            center: One number, or one for every input; None means 0.

        Raises:
            InvalidInputError: A parameter is none of these.
        """
        object.__setattr__(self, "size", _size("Gaussian", size))
        object.__setattr__(self, "scale", None if scale is None else _scale(scale))
        object.__setattr__(
            self, "center", _vector("Gaussian center", 0.0 if center is None else center, self.size)
        )

    def draw(self, count: int, rng: np.random.Generator) -> Rows:
        """Draw `count` rows.

        Raises:
            InvalidInputError: The scale is not known yet.
        """
        if self.scale is None:
            raise InvalidInputError(
                "this Gaussian has no scale yet; give one with with_scale(...) or find it with "
                "find_scale(...)."
            )
        return self.center + self.scale * rng.standard_normal((count, self.size))

    def with_scale(self, scale: float, center: Any = None) -> "Gaussian":
        """The same inputs with this standard deviation, and another center if one is given."""
        return Gaussian(self.size, scale, self.center if center is None else center)

    def describe(self) -> dict[str, Any]:
        """Parameters in plain JSON values."""
        return {
            "sampler": "gaussian",
            "size": self.size,
            "scale": self.scale,
            "center": _plain(self.center),
        }


@dataclass(frozen=True, eq=False, init=False)
class Uniform:
    """Independent inputs, uniform in a box.

    Attributes:
        size: Number of inputs.
        low: Lower bound of every input.
        high: Upper bound of every input.
    """

    size: int
    low: Vector
    high: Vector

    def __init__(self, size: int, low: Any, high: Any) -> None:
        """Check the parameters.

        Args:
            size: Number of inputs, at least 1.
            low: One lower bound, or one for every input.
            high: One upper bound, or one for every input; above `low`.

        Raises:
            InvalidInputError: A parameter is none of these.
        """
        object.__setattr__(self, "size", _size("Uniform", size))
        object.__setattr__(self, "low", _vector("Uniform low", low, self.size))
        object.__setattr__(self, "high", _vector("Uniform high", high, self.size))
        if not np.all(self.low < self.high):
            worst = int(np.argmin(self.low < self.high))
            raise InvalidInputError(
                f"Uniform low must be below high, got low={self.low[worst]:g} and "
                f"high={self.high[worst]:g} for input {worst}."
            )

    def draw(self, count: int, rng: np.random.Generator) -> Rows:
        """Draw `count` rows."""
        return rng.uniform(self.low, self.high, size=(count, self.size))

    def describe(self) -> dict[str, Any]:
        """Parameters in plain JSON values."""
        return {
            "sampler": "uniform",
            "size": self.size,
            "low": _plain(self.low),
            "high": _plain(self.high),
        }


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Pool:
    """Rows of an array, drawn without replacement.

    Attributes:
        array: The rows, a read-only float64 copy.
    """

    array: Float[np.ndarray, "available size"]

    def __init__(self, array: Any) -> None:
        """Check and copy the rows.

        Args:
            array: (rows, inputs) array-like of finite numbers.

        Raises:
            InvalidInputError: It is none.
        """
        rows = read_rows("Pool array", array)
        rows.flags.writeable = False
        object.__setattr__(self, "array", rows)

    def __repr__(self) -> str:
        """Sizes only."""
        return f"Pool({self.available} rows, {self.size} inputs)"

    @property
    def size(self) -> int:
        """Number of inputs."""
        return self.array.shape[1]

    @property
    def available(self) -> int:
        """Number of rows: the most that one draw can give."""
        return len(self.array)

    def draw(self, count: int, rng: np.random.Generator) -> Rows:
        """Draw rows, none of them twice in one draw.

        Returns:
            `min(count, available)` rows in random order: asking for more than there are gives
            every row once.
        """
        return self.array[rng.permutation(self.available)[:count]]

    def describe(self) -> dict[str, Any]:
        """Parameters in plain JSON values."""
        return {"sampler": "pool", "size": self.size, "available": self.available}


def fingerprint(sampler: Sampler) -> str:
    """What tells a sampler from others, in another process too."""
    if isinstance(sampler, Pool):
        return f"{sampler!r} {hashlib.sha256(sampler.array.tobytes()).hexdigest()[:16]}"
    if isinstance(sampler, Gaussian | Uniform):
        # Not as it is shown: that leaves out digits, and numbers of long vectors.
        return json.dumps(sampler.describe(), sort_keys=True)
    # Without a representation of its own, an object shows where it lies in memory.
    own = type(sampler).__repr__ is not object.__repr__
    return repr(sampler) if own else type(sampler).__qualname__


def as_sampler(inputs: Any) -> Sampler:
    """The sampler itself, or a pool of an array's rows.

    Raises:
        InvalidInputError: The inputs are neither.
    """
    if isinstance(inputs, Sampler) and not isinstance(inputs, type):
        return inputs
    if isinstance(inputs, int | np.integer | str | bytes | type) or callable(inputs):
        shown = inputs.__name__ if isinstance(inputs, type) else repr(inputs)
        raise InvalidInputError(
            f"inputs must be a sampler or an array to draw from, got {shown}; write for example "
            "eac.Gaussian(784), eac.Uniform(784, -1, 1) or eac.Pool(array)."
        )
    return Pool(read_rows("inputs", inputs))


def _size(kind: str, value: Any) -> int:
    try:
        size = operator.index(value)
    except TypeError:
        size = 0
    if size < 1 or isinstance(value, bool):
        raise InvalidInputError(
            f"{kind} size must be a whole number of inputs, at least 1, got {value!r}."
        )
    return size


def _scale(value: Any) -> float:
    try:
        scale = float(value)
    except (TypeError, ValueError):
        scale = math.nan
    if not (0.0 < scale < math.inf) or isinstance(value, bool | str):
        raise InvalidInputError(
            f"Gaussian scale must be a positive finite number, or None to let the library find "
            f"it, got {value!r}."
        )
    return scale


def _vector(name: str, value: Any, size: int) -> Vector:
    numbers = read_numbers(name, value)
    if numbers.shape not in ((), (size,)):
        raise InvalidInputError(
            f"{name} must be one number or {size}, one for each input, got shape {numbers.shape}."
        )
    if not np.all(np.isfinite(numbers)):
        raise InvalidInputError(f"{name} must be finite, got {value!r}.")
    vector = np.array(np.broadcast_to(numbers, (size,)))
    vector.flags.writeable = False
    return vector


def _plain(vector: Vector) -> float | list[float]:
    return float(vector[0]) if np.all(vector == vector[0]) else vector.tolist()
