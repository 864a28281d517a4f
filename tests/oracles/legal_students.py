"""Students that imitate a teacher exactly and hold every type of neuron that is legal for it.

Written from the definitions of section 4 and Fig. 2 of the paper, with the symmetries of each
activation put down by hand: it shares no code with what the tests use it for but `Network`.
"""

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from expand_and_cluster.core.network import Network

ODD = {"tanh": 0.0, "sigmoid": 1.0}  # s(-z) = constant - s(z)
EVEN = {"softplus": 1.0, "relu": 1.0, "leaky_relu": 1.01, "gelu": 1.0, "silu": 1.0}  # s(z) - c z
SCALED = ("relu", "leaky_relu")
# How far beyond the data a hyperplane lies until the activation is affine to rounding.
FAR = {"relu": 0.5, "leaky_relu": 0.5, "gelu": 9.0, "tanh": 20.0}
# Slope and intercept far on the negative and on the positive side.
LINES = {
    "g": ((0.0, 0.0), (1.0, 1.0)),
    "tanh": ((0.0, -1.0), (0.0, 1.0)),
    "sigmoid": ((0.0, 0.0), (0.0, 1.0)),
    "leaky_relu": ((0.01, 0.0), (1.0, 0.0)),
    "selu": ((0.0, -1.0507009873554805 * 1.6732632423543772), (1.0507009873554805, 0.0)),
    "elu": ((0.0, -1.0), (1.0, 0.0)),
}
SAMPLES = 300


@dataclass
class Student:
    """A student under construction, and what each of its neurons is."""

    rng: np.random.Generator
    name: str
    inputs: np.ndarray
    affine: np.ndarray  # what it computes beyond the teacher, an affine map of the input
    vectors: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    types: list = field(default_factory=list)
    groups: list = field(default_factory=list)
    sides: list = field(default_factory=list)
    centers: list = field(default_factory=list)  # one vector of each group, to keep them apart

    def add(self, vectors, outputs, kind, sides=None):
        """A group of neurons of one type; scales are drawn where the activation hides them."""
        number = max(self.groups, default=-1) + 1
        for k, (vector, output) in enumerate(zip(vectors, outputs, strict=True)):
            scale = self.rng.uniform(0.5, 2.0) if self.name in SCALED else 1.0
            self.vectors.append(scale * vector)
            self.outputs.append(output / scale)
            self.types.append(kind)
            self.groups.append(number)
            self.sides.append(0 if sides is None else sides[k])

    def fresh(self, length=None):
        """An input vector whose hyperplane crosses the data, away from all that are there."""
        for _ in range(10_000):
            vector = crossing(self.rng, self.inputs, length)
            if apart(vector, self.centers, self.inputs, self.name):
                self.centers.append(vector)
                return vector
        raise AssertionError("no room for another neuron")

    def amounts(self, count):
        return self.rng.choice([-1.0, 1.0], (count, len(self.affine))) * self.rng.uniform(
            0.4, 1.2, (count, len(self.affine))
        )


@dataclass(frozen=True)
class Case:
    """A student with its teacher, and what `classify` has to find."""

    teacher: Network
    student: Network
    inputs: np.ndarray
    types: tuple[str, ...]
    groups: tuple[int, ...]
    sides: tuple[int, ...]


def case(name, seed, noise=0.0, bounded=False):
    """A random teacher, and a student of it with noise added to every weight.

    `noise` is a standard deviation, or if `bounded` the furthest that any weight is moved.
    """
    rng = np.random.default_rng((seed, sum(map(ord, name))))
    size, width, count = rng.integers(2, 7), rng.integers(2, 7), rng.integers(1, 4)
    inputs = rng.uniform(-np.sqrt(3.0), np.sqrt(3.0), (SAMPLES, size))
    made = Student(rng, name, inputs, np.zeros((count, size + 1)))
    true_vectors = [made.fresh() for _ in range(width)]
    true_outputs, bias = made.amounts(width), rng.normal(size=count)
    for vector, output in zip(true_vectors, true_outputs, strict=True):
        teacher_neuron(made, vector, output)
    for _ in range(rng.integers(1, 3)):
        zeros(made)
    for _ in range(rng.integers(1, 3)):
        constants(made)
    for _ in range(rng.integers(1, 3)):
        off_bounds(made)
    if name in EVEN:
        linear_groups(made)
    assert np.abs(made.affine[:, :-1]).max() < 1e-12  # the student is the teacher
    order = rng.permutation(len(made.vectors))
    vectors, outputs = np.array(made.vectors)[order], np.array(made.outputs)[order]
    own_bias = bias - made.affine[:, -1]
    draw = partial(rng.uniform, -1.0, 1.0) if bounded else partial(rng.normal, 0.0, 1.0)
    vectors, outputs, own_bias = (
        each + noise * draw(each.shape) for each in (vectors, outputs, own_bias)
    )
    true = np.array(true_vectors)
    return Case(
        Network.from_arrays([(true[:, :-1], true[:, -1]), (true_outputs.T, bias)], name),
        Network.from_arrays([(vectors[:, :-1], vectors[:, -1]), (outputs.T, own_bias)], name),
        inputs,
        *(tuple(np.array(each)[order].tolist()) for each in (made.types, made.groups, made.sides)),
    )


def crossing(rng, inputs, length=None):
    """A random direction; the hyperplane goes through the inner half of the data."""
    weight = rng.normal(size=inputs.shape[1])
    weight *= (rng.uniform(1.0, 2.5) if length is None else length) / np.linalg.norm(weight)
    return np.append(weight, -0.5 * weight @ inputs[rng.integers(len(inputs))])


def apart(vector, others, inputs, name):
    """Whether pre-activations differ by a tenth of their size from those of all others."""
    extended = np.column_stack([inputs, np.ones(len(inputs))])

    def seen(one):
        pre = extended @ one
        return pre / (np.sqrt(np.mean(pre**2)) if name in SCALED else 1.0)

    mine = seen(vector)
    size = np.sqrt(np.mean(mine**2))
    return all(
        min(np.sqrt(np.mean((mine - seen(o)) ** 2)), np.sqrt(np.mean((mine + seen(o)) ** 2)))
        > 0.2 * size
        for o in others
    )


def shares(made, total, count):
    """Output weights that add up to a total."""
    parts = made.amounts(count)
    parts[-1] = total - parts[:-1].sum(axis=0)
    return parts


def flipped(made, vectors, outputs, signs):
    """The same neurons with signs changed; what that leaves is written down."""
    for k, sign in enumerate(signs):
        if sign > 0:
            continue
        if made.name in ODD:  # a s(z) = a c - a s(-z)
            made.affine[:, -1] -= ODD[made.name] * outputs[k]
            outputs[k] = -outputs[k]
        else:  # a s(z) = a s(-z) + a c z
            made.affine -= EVEN[made.name] * np.outer(outputs[k], vectors[k])
        vectors[k] = -vectors[k]


def teacher_neuron(made, vector, output):
    """Alone or in copies; with signs where the activation hides them."""
    count = int(made.rng.choice([1, 1, 2, 3, 4]))
    vectors = [vector.copy() for _ in range(count)]
    outputs = list(shares(made, output, count)) if count > 1 else [output.copy()]
    kind = "duplicate" if count > 1 else "single"
    if made.name in ODD or made.name in EVEN:
        signs = made.rng.choice([-1, 1], count)
        flipped(made, vectors, outputs, signs)
        if made.name in EVEN and len(set(signs)) > 1:
            kind = "linear duplicate group"
    made.add(vectors, outputs, kind)


def zeros(made):
    """Output weights that add up to zero; in one case of four a neuron without any."""
    vector = made.fresh()
    count = int(made.rng.integers(1, 5))
    vectors = [vector.copy() for _ in range(count)]
    outputs = list(shares(made, 0.0, count)) if count > 1 else [np.zeros(len(made.affine))]
    kind = "zero"
    if made.name in ODD and count > 1:
        signs = made.rng.choice([-1, 1], count)
        flipped(made, vectors, outputs, signs)
        if made.name == "sigmoid" and len(set(signs)) > 1:
            kind = "constant"
    made.add(vectors, outputs, kind)


def constants(made):
    """No input weights."""
    vector = np.zeros(made.affine.shape[1])
    vector[-1] = made.rng.normal()
    output = made.amounts(1)
    value = one_neuron(made.name, vector[-1])
    made.add([vector], output, "constant")
    # What the scale drawn by `add` changes, it changes back.
    made.affine[:, -1] += output[0] * value


def one_neuron(name, pre):
    lone = Network.from_arrays([([[1.0]], [0.0]), ([[1.0]], [0.0])], name)
    return lone(np.array([[pre]]))[0, 0]


def off_bounds(made):
    """The hyperplane beyond the data, on either side.

    Where this adds a linear map that nothing else can take back, a second one takes it back.
    """
    name, rng = made.name, made.rng
    side = int(rng.choice([-1, 1]))
    weight = made.fresh()[:-1]
    output = made.amounts(1)[0]
    vectors, outputs = [weight], [output]
    slope, _ = LINES.get(name, ((0.0, 0.0), (1.0, 0.0)))[side > 0]
    if slope and name not in EVEN:
        ratio = rng.uniform(1.5, 2.0)
        vectors.append(ratio * weight)
        outputs.append(-output / ratio)
    for weight, output in zip(vectors, outputs, strict=True):
        far = np.abs(made.inputs @ weight).max() + FAR.get(name, 45.0) + rng.uniform(0.0, 1.0)
        vector = np.append(weight, side * far)
        slope, constant = LINES.get(name, ((0.0, 0.0), (1.0, 0.0)))[side > 0]
        made.affine += slope * np.outer(output, vector)
        made.affine[:, -1] += constant * output
        made.add([vector], [output], "off-bound", [side])


def linear_groups(made):
    """A random one, and those that take back all linear maps so far."""
    slope = EVEN[made.name]

    def add(vector, amount):  # a s(z) - a s(-z) = a c z
        count = int(made.rng.integers(1, 3))
        positive, negative = shares(made, amount, count), shares(made, -amount, count)
        if count == 1:
            positive, negative = amount[None], -amount[None]
        made.affine += slope * np.outer(amount, vector)
        vectors = [vector.copy() for _ in range(count)] + [-vector for _ in range(count)]
        made.add(vectors, [*positive, *negative], "linear group")

    add(made.fresh(), made.amounts(1)[0])
    outputs = len(made.affine)
    mix = np.linalg.qr(made.rng.normal(size=(outputs, outputs)))[0]
    target = -made.affine[:, :-1] / slope
    for direction, row in zip(mix.T, mix.T @ target, strict=True):
        length = np.linalg.norm(row)
        if length < 1e-9:
            continue
        weight = row / length * made.rng.uniform(1.0, 2.5)
        vector = np.append(weight, made.rng.uniform(-1.0, 1.0))
        for _ in range(1000):
            if apart(vector, made.centers, made.inputs, made.name):
                break
            weight = row / length * made.rng.uniform(1.0, 4.0)
            vector = np.append(weight, made.rng.uniform(-1.0, 1.0) * np.abs(weight).sum())
        else:
            raise AssertionError("no room for another linear group")
        made.centers.append(vector)
        add(vector, direction * length / np.linalg.norm(weight))
