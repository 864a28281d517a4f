"""Remove neurons that the others span on the inputs, exactly."""

from collections.abc import Iterator

import numpy as np

from expand_and_cluster.reconstruction.least_squares import added
from expand_and_cluster.reconstruction.steps import SPANNED, Taken
from expand_and_cluster.symmetries.kinds import Sorting
from expand_and_cluster.symmetries.terms import Sampled, Terms, rms, rms_along


def remove_spanned(
    now: Taken, sampled: Sampled, sorting: Sorting, first: np.ndarray, *, affine: bool
) -> Iterator[Taken]:
    """Remove neurons one at a time while the others give the same outputs to rounding.

    This finds what no symmetry says: that a sum of several neurons, and of an affine map where it
    is allowed, happens to be another one on these inputs.

    Args:
        now: What is left so far.
        sampled: Activation and inputs.
        sorting: Says what rounding makes.
        first: Outputs of the first network.
        affine: Whether an affine map of the inputs may take part.

    Yields:
        What is left after each removal.
    """
    terms, names = now.terms, now.names
    allowed = 10.0 * sorting.tolerance.rounding
    fixed = sampled.inputs if affine else sampled.inputs[:, -1:]
    while len(terms.vectors) > 1:
        values = sampled.values(sampled.pre_activations(terms.vectors))
        design = np.concatenate([values, fixed], axis=1)
        if len(design) < design.shape[1]:
            return
        costs = removal_costs(design, terms)
        place = int(np.argmin(costs))
        if costs[place] > allowed:
            return
        wanted = sampled.outputs(terms)
        kept = np.arange(len(names)) != place
        left = _solved(terms, kept, sampled, np.delete(design, place, axis=1), wanted)
        answers = sampled.outputs(left)
        if rms(answers - wanted) > allowed:
            return
        gone = names[place]
        terms, names = left, tuple(name for name in names if name != gone)
        yield Taken(SPANNED, (gone,), terms, names, rms(answers - first))


def removal_costs(design: np.ndarray, terms: Terms) -> np.ndarray:
    """Change of the outputs if a neuron is removed and the other output weights solved again."""
    return rms_along(terms.outputs, axis=1) * added(design)[: len(terms.vectors)]


def _solved(
    terms: Terms, kept: np.ndarray, sampled: Sampled, design: np.ndarray, wanted: np.ndarray
) -> Terms:
    """The kept neurons with output weights and affine map by least squares."""
    count, columns = int(kept.sum()), sampled.inputs.shape[1]
    affine = design.shape[1] > count + 1
    rest = wanted if affine else wanted - sampled.inputs[:, :-1] @ terms.affine[:, :-1].T
    scale = rms_along(design, axis=0)
    scale[scale == 0.0] = 1.0
    solution = np.linalg.lstsq(design / scale, rest, rcond=1e-14)[0] / scale[:, None]
    if affine:
        return Terms(terms.vectors[kept], solution[:count], solution[count:].T)
    kept_affine = np.zeros((wanted.shape[1], columns))
    kept_affine[:, :-1], kept_affine[:, -1] = terms.affine[:, :-1], solution[-1]
    return Terms(terms.vectors[kept], solution[:count], kept_affine)
