"""Identify or abstain, for networks of several hidden layers."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.network import Network
from expand_and_cluster.reconstruction.deep_completion import CompletedLayers
from expand_and_cluster.reconstruction.deep_consensus import sign_free
from expand_and_cluster.reconstruction.inside import look_inside
from expand_and_cluster.verdict.conditioning import Conditioning
from expand_and_cluster.verdict.deep_conditioning import DeepConditioning
from expand_and_cluster.verdict.judgement import (
    NOISE_FACTOR,
    WEIGHT_TOLERANCE,
    Finding,
    Support,
    judge,
    support_of,
)

# Rows on which neurons of deeper layers are compared by their pre-activations.
ROWS = 512


def find_layer_support(
    network: Network,
    students: Sequence[Network],
    inputs: Float[np.ndarray, "samples inputs"],
) -> tuple[Support, ...]:
    """Which students hold each neuron of each hidden layer.

    The input vectors of deeper layers cannot be compared, for the layers below them differ; what
    they make of the inputs can: the pre-activations on the same rows.

    Args:
        network: Recovered network in standardised coordinates.
        students: Students that imitate the teacher.
        inputs: Standardised inputs.
    """
    either_sign = sign_free(network.activation)
    rows = inputs[:ROWS]
    own = _pre_activations(network, rows)
    theirs = [_pre_activations(student, rows) for student in students]
    found = []
    for layer, mine in enumerate(own):
        if not theirs:
            found.append(Support((np.zeros(0, np.int64),) * len(mine), np.ones(len(mine))))
            continue
        others = np.concatenate([student[layer] for student in theirs])
        owners = np.repeat(np.arange(len(theirs)), [len(student[layer]) for student in theirs])
        found.append(support_of(mine, others, owners, sign_free=either_sign))
    return tuple(found)


def judge_layers(
    network: Network,
    conditioning: DeepConditioning,
    *,
    held_out: float,
    floor: float,
    support: Sequence[Support],
    fitted: bool,
) -> Finding:
    """Weigh the evidence as for one hidden layer; loose weights above the first are never masked.

    Args:
        network: Recovered network in standardised coordinates.
        conditioning: Jacobian analysis at it.
        held_out: Root mean squared error on held-out pairs.
        floor: Root mean squared error that rounding explains.
        support: Students that hold each neuron of each hidden layer.
        fitted: Whether the error on the fitted pairs is at rounding.
    """
    noise = max(floor, held_out if held_out <= NOISE_FACTOR * floor else floor)
    every = Support(
        tuple(students for each in support for students in each.students),
        np.concatenate([each.agreement for each in support]),
    )
    return judge(
        network,
        Conditioning(conditioning.smallest, conditioning.amplification[0]),
        held_out=held_out,
        floor=floor,
        support=every,
        skip_left=0.0,
        fitted=fitted,
        spare=any(len(rows) for rows in loose_neurons(network, conditioning, noise)[1:]),
    )


def judge_over_all_inputs(finding: Finding, completed: CompletedLayers) -> Finding:
    """What was found within a subspace of the inputs holds for all of them, or abstain.

    Args:
        finding: On the network within the subspace.
        completed: The network over all inputs.
    """
    exact = completed.fitted and completed.held_out <= NOISE_FACTOR * completed.floor
    known = exact and completed.loose <= WEIGHT_TOLERANCE
    source = "rounding" if exact else f"above what rounding explains ({completed.floor:.1e})"
    reasons = [
        *finding.reasons,
        f"over all inputs the error on held-out pairs is {completed.held_out:.1e} of the outputs' "
        f"spread, {source}",
    ]
    if exact:
        reasons.append(
            f"the pairs over all inputs hold weights to {completed.loose:.0e} of their neuron"
        )
    if finding.masked.any():
        reasons.append("some of the directions that outputs depend on are not determined")
    identified = finding.identified and known and not finding.masked.any()
    return Finding(
        identified,
        finding.confidence if identified else min(finding.confidence, 0.4),
        tuple(reasons),
        np.zeros(completed.network.layers[0].weight.shape[1], dtype=bool),
    )


def loose_neurons(
    network: Network, conditioning: DeepConditioning, noise: float
) -> tuple[np.ndarray, ...]:
    """For every layer, the neurons with a weight or bias that is not known to six digits.

    Args:
        network: Recovered network in standardised coordinates.
        conditioning: Jacobian analysis at it.
        noise: Standard deviation of the errors of the outputs.
    """
    found = []
    for layer, amplification in zip(network.layers, conditioning.amplification, strict=True):
        weights = np.column_stack([layer.weight, layer.bias])
        size = np.abs(weights).max(axis=1, keepdims=True)
        loose = ~(amplification * noise <= WEIGHT_TOLERANCE * size)
        found.append(np.flatnonzero(loose.any(axis=1)))
    return tuple(found)


def _pre_activations(network: Network, rows: np.ndarray) -> list[np.ndarray]:
    """One row for each neuron of each hidden layer."""
    values = look_inside(network, rows).values
    return [
        (fed @ np.column_stack([layer.weight, layer.bias]).T).T
        for fed, layer in zip(values, network.layers[:-1], strict=False)
    ]
