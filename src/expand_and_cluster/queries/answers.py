"""What is known of the teacher when training begins."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.network import Network
from expand_and_cluster.queries.common_pairs import CommonPairs
from expand_and_cluster.queries.pairs import QueryPairs
from expand_and_cluster.queries.subspace import Subspace


@dataclass(frozen=True)
class Answers:
    """What is known of the teacher when training begins.

    Attributes:
        pairs: What students are trained on: over the inputs, over coordinates of the subspace, or
            over common inputs.
        subspace: The subspace, if there is one.
        whole: All pairs over all inputs, where students see coordinates or common inputs.
        draft: A first student: over the coordinates, read off second derivatives; or of several
            layers, read off kinks.
        queries: Rows asked, or given.
        first_layer: Input vectors of the first of several hidden layers, biases last and rough.
        notes: How questions were chosen, in plain JSON values.
        common: The pairs that show common inputs alone, where students see only these.
    """

    pairs: QueryPairs
    subspace: Subspace | None = None
    whole: QueryPairs | None = None
    draft: Network | None = None
    queries: int = 0
    first_layer: Float[np.ndarray, "neurons inputs_and_bias"] | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    common: CommonPairs | None = None
