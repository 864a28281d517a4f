"""Comparison by trying every permutation and every sign; shares no code with the library.

A network is a plain list of (weight, bias); a rule (sign, linear, constant) stands for
`activation(-z) = sign * activation(z) + linear * z + constant`.
"""

from itertools import permutations, product

import numpy as np

RULES = {
    "tanh": (-1, 0.0, 0.0),
    "sigmoid": (-1, 0.0, 1.0),
    "softplus": (1, -1.0, 0.0),
    "gelu": (1, -1.0, 0.0),
    "silu": (1, -1.0, 0.0),
    "relu": (1, -1.0, 0.0),
    "leaky_relu": (1, -1.01, 0.0),
    "g": None,
    "mish": None,
    "selu": None,
    "elu": None,
}


def flip_neuron(layers, skip, neuron, rule):
    """Negate one neuron's input vector in the first hidden layer of a network with one."""
    (w, b), (a, c) = [(np.array(x), np.array(y)) for x, y in layers]
    theta, beta = np.array(skip[0]), np.array(skip[1])
    sign, linear, constant = rule
    w[neuron] = -w[neuron]
    b[neuron] = -b[neuron]
    for output in range(len(a)):
        old = a[output, neuron]
        a[output, neuron] = sign * old
        for source in range(w.shape[1]):
            theta[output, source] += old * linear * w[neuron, source]
        beta[output] += old * (linear * b[neuron] + constant)
    return [(w, b), (a, c)], (theta, beta)


def disguise(layers, activation, rng):
    """The same function of a one-hidden-layer network in other weights, with its left-over."""
    rule = RULES[activation]
    width, inputs = np.shape(layers[0][0])
    outputs = len(layers[1][0])
    skip = (np.zeros((outputs, inputs)), np.zeros(outputs))
    if rule is not None:
        for neuron in range(width):
            if neuron == 0 or rng.random() < 0.5:
                layers, skip = flip_neuron(layers, skip, neuron, rule)
    (w, b), (a, c) = layers
    if "relu" in activation:
        scale = rng.uniform(0.2, 5.0, size=width)
        w, b, a = scale[:, None] * w, scale * b, a / scale
    order = rng.permutation(width)
    if np.any(skip[0]):
        return [(w[order], b[order]), (a[:, order], c)], skip
    return [(w[order], b[order]), (a[:, order], c + skip[1])], None


def least_weight_error(recovered, skip, teacher, activation):
    """Smallest largest weight difference over all orders and signs of one hidden layer."""
    rule = RULES[activation]
    width = len(teacher[0][0])
    best = np.inf
    for signs in product([1, -1] if rule else [1], repeat=width):
        layers, rest = recovered, skip
        for neuron in range(width):
            if signs[neuron] < 0:
                layers, rest = flip_neuron(layers, rest, neuron, rule)
        (w, b), (a, c) = layers
        for order in map(list, permutations(range(width))):
            v, e, o = w[order], b[order], a[:, order]
            if "relu" in activation:
                length = [np.hypot(np.linalg.norm(x), y) for x, y in zip(v, e, strict=True)]
                wanted = [np.hypot(np.linalg.norm(x), y) for x, y in zip(*teacher[0], strict=True)]
                scale = np.array(wanted) / np.array(length)
                v, e, o = scale[:, None] * v, scale * e, o / scale
            error = max(
                np.abs(v - teacher[0][0]).max(),
                np.abs(e - teacher[0][1]).max(),
                np.abs(o - teacher[1][0]).max(),
                np.abs(c + rest[1] - teacher[1][1]).max(),
                np.abs(rest[0]).max(),
            )
            best = min(best, error)
    return best


def least_weight_error_deep(recovered, teacher, constant):
    """The same for any number of hidden layers and an odd activation plus half a constant."""
    widths = [len(b) for _, b in teacher[:-1]]
    best = np.inf
    choices = [
        [(list(p), np.array(s)) for p in permutations(range(n)) for s in product([1, -1], repeat=n)]
        for n in widths
    ]
    for choice in product(*choices):
        layers = [(np.array(w), np.array(b)) for w, b in recovered]
        for k, (order, signs) in enumerate(choice):
            w, b = layers[k]
            above, shift = layers[k + 1]
            shift = shift + constant * above @ (signs < 0)
            layers[k + 1] = ((above * signs)[:, order], shift)
            layers[k] = ((w * signs[:, None])[order], (b * signs)[order])
        error = max(
            max(np.abs(w - v).max(), np.abs(b - e).max())
            for (w, b), (v, e) in zip(layers, teacher, strict=True)
        )
        best = min(best, error)
    return best


def best_matching(teacher, recovered, sign_free, limit):
    """Partner of each teacher vector (None if missing) in the cheapest partial assignment."""

    def cost(u, v):
        def one(v):
            return sum((x - y) ** 2 for x, y in zip(u, v, strict=True)) / (u @ u + v @ v)

        return min(one(v), one(-v)) if sign_free else one(v)

    best, answer = np.inf, ()
    none = [None] * len(teacher)
    for partners in set(permutations([*range(len(recovered)), *none], len(teacher))):
        total = 0.0
        for i, j in enumerate(partners):
            total += limit if j is None else cost(teacher[i], recovered[j])
        if total < best:
            best, answer = total, partners
    return answer
