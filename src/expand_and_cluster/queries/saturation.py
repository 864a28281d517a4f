"""Read the first layer where activations saturate, however deep the network is.

Far out every neuron of the first layer is saturated, except near its own hyperplane: along a line
the outputs are constant, and step where one neuron crosses from one end to the other. There it is
alone: outputs are a smooth function of its activation, their gradient is along its input vector,
and the tails of the step give its length, whatever the layers above make of it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.queries.bend_domain import Domain
from expand_and_cluster.queries.kinks import Ask

# Ends of lines, in units of the inputs' spread, and how far lines pass from the center, in units of
# that. Pre-activations of some ten thousands keep eleven digits there, and a step takes a
# thousandth of a line.
FAR, ASIDE = 1e4, 0.25
# Stretches that a line is cut into at first, and length of those that are not cut further, in units
# of the inputs' spread: a step is several times as long.
STRETCHES, SHORT = 32, 2.0
# Difference of answers that rounding explains, relative to their spread.
CONSTANT = 1e-9
# Room of constant answers around a step, in units of the inputs' spread: its tails.
ROOM = 12.0
# Answers that a step's shape is told by, how far they reach beyond it, powers of the activation
# that outputs are made of there, and what a fit may leave, relative to the step.
POINTS, BEYOND, POWERS, LEFT = 64, 0.25, 10, 1e-5
# Slopes that a fit begins with, in units of that at which the activation's tails end with the step.
SLOPES = (1.0, 0.8, 1.25)
# Steps of a gradient's differences, in units of the spread of one input, and weights of a central
# difference whose error is of the sixth order.
DIFFERENCE, CENTRAL = 0.05, ((1, 0.75), (2, -0.15), (3, 1.0 / 60.0))
# What a gradient may have beside its leading direction, relative to it.
BESIDE = 1e-4
# Lines without a new neuron after which the layer is done, and at least.
QUIET, LEAST_LINES = 3, 6
# Pre-activation up to which a known neuron explains a step, and share of the lines that have to
# step where a neuron says so.
NEAR, CONFIRMED = 2.0, 0.6
# Where activations are constant to rounding.
SATURATED = 60.0


def saturates(activation: Activation) -> bool:
    """Whether an activation is constant far out on both sides, to rounding."""
    values = activation.values(SATURATED * np.array([-1.0, -0.8, 0.8, 1.0]))
    size = float(np.abs(values).max())
    gaps = np.abs(values[[1, 3]] - values[[0, 2]])
    return bool(np.all(gaps <= 1e-15 * size) and abs(values[3] - values[0]) > 0.1 * size)


@dataclass(frozen=True)
class Step:
    """A stretch of a line on which outputs change.

    Attributes:
        start: One end.
        end: The other.
        alone: Whether outputs are constant for long on either side.
    """

    start: Float[np.ndarray, " inputs"]
    end: Float[np.ndarray, " inputs"]
    alone: bool


@dataclass(frozen=True)
class FarLine:
    """A line far out with the steps of the outputs on it."""

    start: Float[np.ndarray, " inputs"]
    end: Float[np.ndarray, " inputs"]
    steps: list[Step]


class FirstLayer:
    """Reads the first hidden layer.

    Args:
        ask: Answers inputs with outputs, in double precision.
        domain: Where inputs come from.
        activation: Saturates on both sides.
        report: Told about every line.
    """

    def __init__(
        self, ask: Ask, domain: Domain, activation: Activation, report: Reporter = silent
    ) -> None:
        """Nothing is asked yet."""
        self._report = report
        self._ask, self._domain, self._activation = ask, domain, activation
        low, high = activation.values(np.array([-SATURATED, SATURATED]))
        self._middle, self._half = 0.5 * (high + low), 0.5 * (high - low)
        near, further = np.abs(high - activation.values(np.array([8.0, 9.0])))
        # Pre-activation at which the tail is lost in rounding.
        self._tail = float(-np.log(CONSTANT) / np.log(near / further))

    def read(self) -> Float[np.ndarray, "neurons inputs_and_bias"]:
        """Input vectors, biases last, each up to its sign.

        Weights are right to some seven digits. Biases are rough: where on a step a neuron is at
        zero cannot be told from what the layers above make of it; the steps of several lines are
        averaged.
        """
        found: list[np.ndarray] = []
        lines: list[FarLine] = []
        quiet = 0
        while quiet < QUIET or len(lines) < LEAST_LINES:
            lines.append(self._line())
            before = len(found)
            for step in lines[-1].steps:
                if step.alone and not any(_explains(vector, step) for vector in found):
                    vector = self._neuron(step)
                    found += [] if vector is None else [vector]
            quiet = 0 if len(found) > before else quiet + 1
            note = f"{len(found)} neurons"
            self._report(Progress("read layer 1 far out", len(lines), None, note=note))
        kept = [self._centred(one, lines) for one in found if _is_confirmed(one, lines)]
        return np.array(kept).reshape(len(kept), self._domain.inputs + 1)

    def _line(self) -> FarLine:
        """A line that most hyperplanes cross, with all its steps."""
        far, rng = FAR * self._domain.spread, self._domain.rng
        aside, along = (
            far * way / np.linalg.norm(way) for way in rng.standard_normal((2, self._domain.inputs))
        )
        middle = self._domain.center + ASIDE * aside
        start, way = middle - along, 2.0 * along
        length = float(np.linalg.norm(way))
        places = np.linspace(0.0, 1.0, STRETCHES + 1)
        answers = self._ask(start + places[:, None] * way)
        spread = float(np.abs(answers - answers.mean(axis=0)).max())
        while True:
            changing = np.abs(np.diff(answers, axis=0)).max(axis=1) > CONSTANT * spread
            long = np.diff(places) * length > SHORT * self._domain.spread
            cut = np.flatnonzero(changing & long)
            if not len(cut):
                break
            new = 0.5 * (places[cut] + places[cut + 1])
            places = np.insert(places, cut + 1, new)
            answers = np.insert(answers, cut + 1, self._ask(start + new[:, None] * way), axis=0)
        rows = np.flatnonzero(changing)
        steps: list[Step] = []
        if len(rows):
            runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
            spans = np.array([(places[run[0]], places[run[-1] + 1]) for run in runs])
            gaps = np.concatenate([[np.inf], (spans[1:, 0] - spans[:-1, 1]) * length, [np.inf]])
            alone = np.minimum(gaps[1:], gaps[:-1]) > ROOM * self._domain.spread
            steps = [
                Step(start + first * way, start + last * way, bool(each))
                for (first, last), each in zip(spans, alone, strict=True)
            ]
        return FarLine(start, start + way, steps)

    def _neuron(self, step: Step) -> np.ndarray | None:
        """The input vector of the neuron that makes a step; None if none makes it alone."""
        way = step.end - step.start
        shape = self._shape(step)
        if shape is None:
            return None
        slope, offset = shape
        place = step.start - offset / slope * way
        inputs = self._domain.inputs
        moves = DIFFERENCE * self._domain.spread / np.sqrt(inputs) * np.eye(inputs)
        sides = [place + times * moves for many, _ in CENTRAL for times in (many, -many)]
        answers = self._ask(np.concatenate(sides)).reshape(len(CENTRAL), 2, inputs, -1)
        weights = np.array([weight for _, weight in CENTRAL])
        gradient = np.einsum("c,cio->io", weights, answers[:, 0] - answers[:, 1])
        left, sizes, _ = np.linalg.svd(gradient, full_matrices=False)
        if len(sizes) > 1 and sizes[1] > BESIDE * sizes[0]:
            return None
        weight = slope * left[:, 0] / (left[:, 0] @ way)
        return np.append(weight, -weight @ place)

    def _shape(self, step: Step) -> tuple[float, float] | None:
        """Pre-activation along a step: slope over its length, and value at its start.

        None if the outputs there are no smooth function of one neuron's activation.
        """
        places = np.linspace(-BEYOND, 1.0 + BEYOND, POINTS)
        answers = self._ask(step.start + places[:, None] * (step.end - step.start))
        answers = answers - answers.mean(axis=0)
        size = float(np.linalg.norm(answers))

        def missed(parameters: np.ndarray) -> np.ndarray:
            values = self._activation.values(parameters[0] * places + parameters[1])
            unit = np.clip((values - self._middle) / self._half, -1.0, 1.0)
            powers = np.polynomial.chebyshev.chebvander(unit, POWERS)
            weights = np.linalg.lstsq(powers, answers, rcond=1e-12)[0]
            return ((powers @ weights - answers) / size).ravel()

        best, least = None, LEFT
        for share in SLOPES:
            slope = 2.0 * share * self._tail
            fit = least_squares(missed, (slope, -0.5 * slope), xtol=1e-14, ftol=1e-14, gtol=1e-14)
            error = float(np.sqrt(2.0 * fit.cost))
            if error < least and fit.x[0] > 0.0:
                best, least = (float(fit.x[0]), float(fit.x[1])), error
        return best

    def _centred(self, vector: np.ndarray, lines: list[FarLine]) -> np.ndarray:
        """The input vector with its bias from all lines."""
        biases = []
        for step in (step for line in lines for step in line.steps):
            if step.alone and _explains(vector, step):
                shape = self._shape(step)
                if shape is not None:
                    place = step.start - shape[1] / shape[0] * (step.end - step.start)
                    biases.append(-vector[:-1] @ place)
        return np.append(vector[:-1], np.mean(biases) if biases else vector[-1])


def _explains(vector: np.ndarray, step: Step) -> bool:
    """Whether a known neuron steps there."""
    first, last = (float(vector[:-1] @ end + vector[-1]) for end in (step.start, step.end))
    return first * last < 0.0 or min(abs(first), abs(last)) < NEAR


def _is_confirmed(vector: np.ndarray, lines: list[FarLine]) -> bool:
    """Whether most lines step where a neuron says so."""
    crossed = [
        line
        for line in lines
        if (vector[:-1] @ line.start + vector[-1]) * (vector[:-1] @ line.end + vector[-1]) < 0.0
    ]
    right = [any(_explains(vector, step) for step in line.steps) for line in crossed]
    return bool(right) and float(np.mean(right)) >= CONFIRMED
