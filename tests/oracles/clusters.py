"""Clustering written the slow, obvious way; shares no code with the library."""

import itertools
import math
from decimal import Decimal, localcontext
from fractions import Fraction


def euclidean(u, v, sign_free=False):
    """Exact rational arithmetic up to the last square root."""
    exact = [(Fraction(float(a)), Fraction(float(b))) for a, b in zip(u, v, strict=True)]
    square = sum((a - b) ** 2 for a, b in exact)
    if sign_free:
        square = min(square, sum((a + b) ** 2 for a, b in exact))
    with localcontext() as context:
        context.prec = 60
        return float((Decimal(square.numerator) / Decimal(square.denominator)).sqrt())


def cosine(u, v, sign_free=False):
    """Sixty digits, so that one minus the cosine loses nothing that matters."""
    with localcontext() as context:
        context.prec = 60
        a, b = [Decimal(float(x)) for x in u], [Decimal(float(x)) for x in v]
        lengths = Decimal(sum(x * x for x in a)).sqrt() * Decimal(sum(x * x for x in b)).sqrt()
        if lengths == 0:
            return 1.0
        product = sum(x * y for x, y in zip(a, b, strict=True)) / lengths
        return float(1 - (abs(product) if sign_free else product))


def condensed(vectors, distance, sign_free=False):
    """Distances in SciPy's order."""
    return [distance(u, v, sign_free) for u, v in itertools.combinations(vectors, 2)]


def partitions(distance_matrix):
    """Every partition of average linkage, as (height, set of frozensets), from apart to one."""
    clusters = [frozenset([i]) for i in range(len(distance_matrix))]
    found = [(0.0, set(clusters))]
    while len(clusters) > 1:
        height, a, b = min(
            (
                sum(distance_matrix[i][j] for i in a for j in b) / (len(a) * len(b)),
                a,
                b,
            )
            for a, b in itertools.combinations(sorted(clusters, key=sorted), 2)
        )
        clusters = [c for c in clusters if c not in (a, b)] + [a | b]
        found.append((height, set(clusters)))
    return found


def as_sets(labels):
    """The clusters of a label vector."""
    groups = {}
    for i, label in enumerate(labels):
        groups.setdefault(int(label), set()).add(i)
    return {frozenset(group) for group in groups.values()}


def angle(u, v, sign_free=False):
    """Kahan's formula: accurate for all angles."""
    a = [x / math.hypot(*u) for x in u]
    b = [x / math.hypot(*v) for x in v]
    gap = math.hypot(*(x - y for x, y in zip(a, b, strict=True)))
    total = math.hypot(*(x + y for x, y in zip(a, b, strict=True)))
    value = 2 * math.atan2(gap, total)
    return min(value, math.pi - value) if sign_free else value


def median_angle(vectors, sign_free=False):
    """Median over all pairs."""
    values = sorted(angle(u, v, sign_free) for u, v in itertools.combinations(vectors, 2))
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2


def mean_cosine(vectors):
    """Mean over all pairs."""
    values = [math.cos(angle(u, v)) for u, v in itertools.combinations(vectors, 2)]
    return sum(values) / len(values) if values else 1.0
