"""Which activations a layer may mix, so that answers tell which neuron has which."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.symmetry import PROBES
from expand_and_cluster.symmetries.relations import TOLERANCE, find_relation

# Stretches at which neurons of other kinds may make up one neuron, with either sign: g is softplus
# and a sigmoid four times as steep, which is a tanh twice as steep.
STRETCHES = (0.25, 0.5, 1.0, 2.0, 4.0)
_POINTS = np.concatenate([-PROBES[::-1], [0.0], PROBES])


def check_kinds(kinds: Sequence[Activation]) -> None:
    """Refuse kinds of which one can be made of neurons of the others.

    Args:
        kinds: Activations that the neurons of a layer may have.

    Raises:
        InvalidInputError: Names the activations of which no answer tells which a neuron has.
    """
    for count in range(1, len(kinds)):
        for kind in kinds:
            for others in combinations([each for each in kinds if each != kind], count):
                if is_made_of(kind, others):
                    names = " and ".join(other.name for other in others)
                    raise InvalidInputError(
                        f"activation mixes {kind.name} with {names}, of which a neuron with "
                        f"{kind.name} can be made: no answer tells which a neuron has; leave one "
                        "of them out."
                    )


@lru_cache(maxsize=256)
def is_made_of(kind: Activation, others: tuple[Activation, ...]) -> bool:
    """Whether neurons of the others, and an affine map, give the same function as one neuron.

    One other is searched for at every stretch and shift (see `find_relation`); several at the
    stretches above, without a shift.

    Args:
        kind: The activation to make.
        others: What to make it of.
    """
    if len(others) == 1 and find_relation(kind, others[0]) is not None:
        return True
    wanted = kind.values(_POINTS)
    size = 1.0 + np.abs(wanted)
    parts = [
        other.values(sign * stretch * _POINTS)
        for other in others
        for stretch in STRETCHES
        for sign in (1.0, -1.0)
    ]
    design = np.stack([*parts, _POINTS, np.ones_like(_POINTS)], axis=1) / size[:, None]
    solution = np.linalg.lstsq(design, wanted / size, rcond=1e-13)[0]
    return bool(np.max(np.abs(design @ solution - wanted / size)) <= TOLERANCE)
