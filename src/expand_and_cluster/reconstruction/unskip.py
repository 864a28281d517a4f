"""Make the affine left-over of a reduced layer vanish, by signs where it takes them."""

from dataclasses import dataclass

import numpy as np

from expand_and_cluster.symmetries.sign_choice import choose_signs
from expand_and_cluster.symmetries.terms import Sampled, Terms, flip_leftover

FLIP = "flip signs so that the affine map vanishes"
VANISHED = "the affine map vanishes"


@dataclass(frozen=True)
class Unskipped:
    """A layer whose affine map is a bias, if it could be.

    Attributes:
        terms: The layer.
        flipped: Places of the neurons whose signs were changed.
        choices: How many choices of signs make the map vanish; None if signs leave none, or if
            there are too many to know.
        reason: What was done, empty if nothing was.
    """

    terms: Terms
    flipped: tuple[int, ...]
    choices: int | None
    reason: str


def unskip(terms: Terms, sampled: Sampled, change: float) -> Unskipped:
    """Flip neurons so that nothing but a constant is left of the affine map.

    Each flip of an even + linear activation adds the map `output * vector`: the map vanishes if
    it is a sum of these, taken once or not at all. The bias of the map is free, for the output
    bias takes it.

    Args:
        terms: The layer.
        sampled: Activation and inputs.
        change: Change of the outputs that counts as none.

    Source: A.2.1, Fig. A.6.
    """
    center = sampled.inputs.mean(axis=0)
    moved = sampled.inputs[:, :-1] - center[:-1]
    root = np.asarray(np.linalg.qr(moved / np.sqrt(len(moved)), mode="r")).T
    tolerance = change * np.sqrt(len(terms.affine))
    rule = sampled.activation.symmetry.flip
    flipped: tuple[int, ...] = ()
    choices = None
    if rule is None or rule.linear == 0.0:
        size = float(np.linalg.norm(terms.affine[:, :-1] @ root))
    else:
        maps = [
            flip_leftover(vector, output, rule)
            for vector, output in zip(terms.vectors, terms.outputs, strict=True)
        ]
        columns = np.stack([(each[:, :-1] @ root).ravel() for each in maps], axis=1)
        wanted = -(terms.affine[:, :-1] @ root).ravel()
        choice = choose_signs(columns, wanted, tolerance)
        size, choices, chosen = choice.error, choice.count, choice.chosen
        # No flip at all is as good as any other choice that leaves nothing.
        if float(np.linalg.norm(wanted)) <= tolerance:
            size, chosen = 0.0, np.zeros(len(maps), dtype=bool)
        if size <= tolerance and chosen.any():
            affine = terms.affine + sum(maps[k] for k in np.flatnonzero(chosen))
            sign = np.where(chosen, -1.0, 1.0)[:, None]
            outputs = np.where(chosen, rule.sign, 1)[:, None] * terms.outputs
            terms = Terms(sign * terms.vectors, outputs, affine)
            flipped = tuple(int(k) for k in np.flatnonzero(chosen))
    if size > tolerance or not terms.affine[:, :-1].any():
        return Unskipped(terms, (), choices, "")
    affine = np.zeros_like(terms.affine)
    affine[:, -1] = terms.affine @ center
    plain = Terms(terms.vectors, terms.outputs, affine)
    return Unskipped(plain, flipped, choices, FLIP if flipped else VANISHED)
