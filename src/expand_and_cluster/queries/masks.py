"""Inputs whose weights given data hardly tell: by the data's own spectrum, and by Boruta.

A weight is seen through what its input does that no other input does at the same time. A pixel
that never varies has none of that, and one that the others predict has little: answers then tell
the weights' combination along the common direction, not the single weight. A mask leaves such
inputs out of a comparison of input vectors (paper, A.6: the feature mask).
"""

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.extras import need

# Variance, as a share of the largest of any direction, below which it is rounding.
ROUNDING = 1e-13
# Share of the median input's own spread that an input has at least where it counts.
LEAST_OWN_SPREAD = 0.5
# Depth of Boruta's trees, which its authors advise to keep between 3 and 7, and their number.
DEPTH = 5
TREES = 200


def own_spread(inputs: ArrayLike) -> Float[np.ndarray, " inputs"]:
    """Standard deviation of what each input does that no affine function of the others does.

    Args:
        inputs: (samples, d_in).

    Returns:
        In the inputs' units; `1 / sqrt(diag(inverse covariance))`. Zero for inputs that never vary
        or that the others determine.

    Raises:
        InvalidInputError: The inputs are no matrix of at least two rows, or are not finite.
    """
    rows = _checked(inputs)
    variance, directions = np.linalg.eigh(np.cov(rows, rowvar=False).reshape(2 * (rows.shape[1],)))
    seen = variance > ROUNDING * max(float(variance[-1]), np.finfo(np.float64).tiny)
    if not seen.any():
        return np.zeros(rows.shape[1])
    # An input with a share in a direction that the data lacks moves by what others do.
    lacking = (directions[:, ~seen] ** 2).sum(axis=1)
    inverse = (directions[:, seen] ** 2 / variance[seen]).sum(axis=1)
    free = lacking < np.sqrt(ROUNDING)
    return np.where(free & (inverse > 0.0), 1.0 / np.sqrt(np.where(inverse > 0, inverse, 1.0)), 0.0)


def spectrum_mask(
    inputs: ArrayLike, *, least: float = LEAST_OWN_SPREAD
) -> Bool[np.ndarray, " inputs"]:
    """Inputs whose own spread is small beside that of the median input.

    Args:
        inputs: (samples, d_in), the inputs of the pairs.
        least: Share of the median own spread, over inputs that have any, below which an input is
            masked.

    Returns:
        True where an input is masked, for `compare(..., masked_inputs=)`.

    Raises:
        InvalidInputError: `least` is not positive, or the inputs are refused by `own_spread`.
    """
    if not least > 0:
        raise InvalidInputError(f"least must be positive, got {least}.")
    spread = own_spread(inputs)
    varying = spread[spread > 0]
    return spread < least * (np.median(varying) if len(varying) else np.inf)


def boruta_mask(
    inputs: ArrayLike, labels: ArrayLike, *, samples: int = 2000, rounds: int = 100, seed: int = 0
) -> Bool[np.ndarray, " inputs"]:
    """Inputs that Boruta does not confirm to tell anything about the classes.

    Boruta (Kursa & Rudnicki 2010) keeps the inputs that a random forest finds more important than
    the best of their shuffled copies; this is the mask of the paper (A.6). It needs the extra
    `boruta`.

    Args:
        inputs: (samples, d_in), the inputs of the pairs.
        labels: (samples,) classes: for a classifier, the largest of its outputs.
        samples: Rows that forests are grown on, drawn at random.
        rounds: Most forests; inputs that are open after them are masked.
        seed: Decides rows and forests.

    Returns:
        True where an input is masked, for `compare(..., masked_inputs=)`.

    Raises:
        EacError: The library is not installed.
        InvalidInputError: Inputs and labels do not fit each other.
    """
    boruta = need("boruta", "boruta", "boruta_mask")
    # Only here: scikit-learn's forests take a second to load.
    from sklearn.ensemble import RandomForestClassifier

    rows, classes = _checked(inputs), np.asarray(labels)
    if classes.shape != (len(rows),):
        raise InvalidInputError(
            f"labels must be of shape ({len(rows)},), one for each row of inputs, got "
            f"{classes.shape}."
        )
    chosen = np.random.default_rng(seed).permutation(len(rows))[:samples]
    forest = RandomForestClassifier(max_depth=DEPTH, class_weight="balanced", n_jobs=-1)
    selector = boruta.BorutaPy(forest, n_estimators=TREES, max_iter=rounds, random_state=seed)
    selector.fit(rows[chosen], classes[chosen])
    return ~selector.support_


def _checked(inputs: ArrayLike) -> Float[np.ndarray, "samples inputs"]:
    rows = np.asarray(inputs, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2 or not np.isfinite(rows).all():
        raise InvalidInputError(
            f"inputs must be a finite matrix of at least two rows, got {rows.shape}."
        )
    return rows
