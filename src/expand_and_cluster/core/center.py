"""Find the point about which a user's activation is symmetric, when it is not zero."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import least_squares

Values = Callable[[np.ndarray], np.ndarray]

GRID = np.linspace(-12.0, 12.0, 2401)
# Distances from the centre at which both sides are compared.
REACH = np.sqrt(2.0) * np.geomspace(0.05, 6.0, 40)


def candidate_centers(function: Values) -> tuple[float, ...]:
    """Points about which a function may be odd up to a constant, or even up to a linear part.

    Both make the square of its curvature symmetric, so the search starts at that square's centre
    of mass, and moves to where the two sides differ least.

    Args:
        function: Elementwise function on float64 arrays.

    Returns:
        At most two points on the grid, to be checked by the caller.
    """
    curvature = np.diff(function(GRID), 2) ** 2
    mass = curvature.sum()
    if not np.isfinite(mass) or mass <= 0.0:
        return ()
    start = float(curvature @ GRID[1:-1] / mass)
    found = []
    for difference in (_odd, _even):
        best = least_squares(
            lambda center, difference=difference: difference(function, float(center[0])),
            [start],
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
        )
        found.append(float(best.x[0]))
    # Beyond the grid every saturating or piecewise linear function looks symmetric.
    return tuple(center for center in found if abs(center) <= GRID[-1])


def _odd(function: Values, center: float) -> np.ndarray:
    total = function(center + REACH) + function(center - REACH)
    return (total - total.mean()) / (1.0 + np.abs(total))


def _even(function: Values, center: float) -> np.ndarray:
    difference = function(center + REACH) - function(center - REACH)
    slope = float(difference @ REACH / (REACH @ REACH))
    return (difference - slope * REACH) / (1.0 + np.abs(difference))
