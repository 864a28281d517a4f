"""How far a recovered network is from the true one, once all that nobody can see is undone."""

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.errors import InvalidInputError
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.queries.readout import KINDS
from expand_and_cluster.scoring.alignment import MATCHING_LIMIT, LayerMatch, align
from expand_and_cluster.scoring.distance import paired_cosine_distances
from expand_and_cluster.scoring.wiring import Wiring
from expand_and_cluster.symmetries.shared_logits import centre_outputs


@runtime_checkable
class Recovered(Protocol):
    """What a recovery must show to be scored."""

    @property
    def network(self) -> Network:
        """The recovered network."""
        ...

    @property
    def masked_inputs(self) -> np.ndarray:
        """Inputs that took no part in the recovery, (d_in,) bool."""
        ...

    @property
    def held_inputs(self) -> np.ndarray:
        """Values at which the masked inputs were held, (d_in,)."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """What was chosen; `outputs` says what the answers were."""
        ...


@dataclass(frozen=True)
class NeuronComparison:
    """One hidden neuron of the teacher with its recovered partner, or one in excess.

    Attributes:
        layer: Hidden layer, 0 for the first.
        teacher: Index in the teacher's layer, None for an excess neuron.
        recovered: Index in the recovered layer, None for a missing neuron.
        input_distance: Cosine distance of the input vectors; 1 for a missing neuron; for an
            excess neuron the distance to the nearest teacher neuron.
        output_distance: Cosine distance of the output vectors; 1 for missing and excess neurons.
        flipped: Whether the recovered neuron has the opposite sign.
        output_norm: Length of the output vector: the teacher's, or an excess neuron's own.
    """

    layer: int
    teacher: int | None
    recovered: int | None
    input_distance: float
    output_distance: float
    flipped: bool
    output_norm: float


@dataclass(frozen=True)
class Comparison:
    """A recovered network beside its teacher; printing it gives a short summary.

    Attributes:
        missing: Teacher neurons without a recovered partner, over all hidden layers.
        excess: Recovered neurons without a teacher neuron.
        size_ratio: Recovered hidden neurons over the teacher's.
        mean_input_distance: Mean cosine distance of input vectors (bias included) over the
            teacher's hidden neurons; a missing neuron counts 1.
        max_input_distance: The largest of them.
        mean_output_distance: The same for output vectors.
        max_output_distance: The largest of them.
        max_weight_error: Largest absolute difference over all weights and biases of all layers,
            in the teacher's units. An affine left-over that the teacher lacks counts in full;
            infinite while a neuron is missing or in excess.
        neurons: One record for each teacher neuron and each excess neuron, layer by layer.
    """

    missing: int
    excess: int
    size_ratio: float
    mean_input_distance: float
    max_input_distance: float
    mean_output_distance: float
    max_output_distance: float
    max_weight_error: float
    neurons: tuple[NeuronComparison, ...] = field(repr=False)
    _recovered: Network = field(repr=False, compare=False)
    _teacher: Network = field(repr=False, compare=False)

    def output_rmse(self, inputs: ArrayLike) -> float:
        """Root mean squared difference of the two networks' outputs.

        Args:
            inputs: (samples, d_in), masked inputs included.

        Returns:
            The root of the mean over samples and outputs, in the outputs' units.

        Raises:
            InvalidInputError: The inputs have another shape, or there are none.
        """
        rows = np.asarray(inputs)
        difference = self._recovered(rows) - self._teacher(rows)
        if difference.size == 0:
            raise InvalidInputError("inputs holds no rows; give at least one.")
        return float(np.sqrt(np.mean(difference**2)))

    def __str__(self) -> str:
        """A few lines for people."""
        known = sum(neuron.teacher is not None for neuron in self.neurons)
        return "\n".join(
            [
                f"{known - self.missing} of {known} neurons found, {self.missing} missing, "
                f"{self.excess} in excess (size ratio {self.size_ratio:.3f})",
                f"input vectors: cosine distance {self.mean_input_distance:.1e} on average, "
                f"{self.max_input_distance:.1e} at most",
                f"output weights: cosine distance {self.mean_output_distance:.1e} on average, "
                f"{self.max_output_distance:.1e} at most",
                f"largest error of any weight or bias: {self.max_weight_error:.1e}",
            ]
        )


def compare(
    recovered: Network | Recovered,
    teacher: Network,
    *,
    masked_inputs: ArrayLike | None = None,
    held_inputs: ArrayLike | float | None = None,
    matching_limit: float = MATCHING_LIMIT,
    outputs: str | None = None,
) -> Comparison:
    """Compare a recovered network with its teacher.

    Neurons are paired by an optimal assignment of their input vectors. Permutation, sign and
    scale are then undone without changing the function; the affine map that flipped neurons may
    leave counts as weights that pass by their layer (for one hidden layer: as `skip`).

    Args:
        recovered: A network, or a recovery, whose masked and held inputs are then the default.
        teacher: The true network.
        masked_inputs: (d_in,) bool, inputs that are left out of input vectors and of the weight
            error. None: those of the recovery, or no input.
        held_inputs: Values at which masked inputs were held, (d_in,) or one number; value times
            weight counts as part of the bias. None: those of the recovery, or zero.
        matching_limit: A pair at this distance or beyond is a missing neuron and one in excess;
            see `scoring.alignment.match`. The default 0.5 is an angle of 60 degrees.
        outputs: "logits", or what hides a number that all logits of an input share:
            "probabilities" or "log_probabilities"; both networks' outputs are then centred over
            the classes first. None: what the recovery was given, or "logits".

    Returns:
        The comparison.

    Raises:
        InvalidInputError: The networks have other numbers of inputs, outputs or layers, or
            different activations. Of a mixture, neurons of different activations are
            no match.
    """
    network = _network_of(recovered)
    _check(network, teacher)
    if outputs is None:
        given = not isinstance(recovered, Network)
        outputs = recovered.settings.get("outputs", "logits") if given else "logits"
    if outputs not in KINDS:
        raise InvalidInputError(f"outputs must be one of {', '.join(KINDS)}, got {outputs!r}.")
    if outputs != "logits":
        network, teacher = centre_outputs(network), centre_outputs(teacher)
    if not matching_limit > 0:
        raise InvalidInputError(f"matching_limit must be positive, got {matching_limit}.")
    if not isinstance(recovered, Network):
        masked_inputs = recovered.masked_inputs if masked_inputs is None else masked_inputs
        held_inputs = recovered.held_inputs if held_inputs is None else held_inputs
    masked, held = _mask(teacher.input_size, masked_inputs, held_inputs)
    # Signs and scales are undone about the centre of the activation's symmetry.
    central, own = teacher.centred(), network.centred()
    mine, true, matches = align(
        Wiring.of(own, masked, held),
        Wiring.of(central, masked, held),
        central.activation,
        own.activation,
        matching_limit,
    )
    neurons = tuple(
        neuron for layer, found in enumerate(matches) for neuron in _table(layer, found, mine, true)
    )
    known = [neuron for neuron in neurons if neuron.teacher is not None]
    missing = sum(neuron.recovered is None for neuron in known)
    excess = len(neurons) - len(known)
    into = np.array([neuron.input_distance for neuron in known])
    out_of = np.array([neuron.output_distance for neuron in known])
    return Comparison(
        missing=missing,
        excess=excess,
        size_ratio=sum(network.hidden_widths) / sum(teacher.hidden_widths),
        mean_input_distance=float(into.mean()),
        max_input_distance=float(into.max()),
        mean_output_distance=float(out_of.mean()),
        max_output_distance=float(out_of.max()),
        max_weight_error=np.inf if missing or excess else mine.largest_difference(true),
        neurons=neurons,
        _recovered=network,
        _teacher=teacher,
    )


def _table(layer: int, found: LayerMatch, mine: Wiring, true: Wiring) -> list[NeuronComparison]:
    place = layer + 1
    inputs = paired_cosine_distances(true.input_vectors(place), mine.input_vectors(place))
    outputs = paired_cosine_distances(true.output_vectors(place), mine.output_vectors(place))
    norms = np.linalg.norm(true.output_vectors(place), axis=1)
    rows = []
    for index, partner in enumerate(found.partner):
        here = partner >= 0
        rows.append(
            NeuronComparison(
                layer=layer,
                teacher=index,
                recovered=int(partner) if here else None,
                input_distance=float(inputs[index]) if here else 1.0,
                output_distance=float(outputs[index]) if here else 1.0,
                flipped=bool(found.flipped[index]),
                output_norm=float(norms[index]),
            )
        )
    own = np.linalg.norm(mine.output_vectors(place), axis=1)[len(found.partner) :]
    for index, distance, norm in zip(found.excess, found.excess_distance, own, strict=True):
        rows.append(
            NeuronComparison(layer, None, int(index), float(distance), 1.0, False, float(norm))
        )
    return rows


def _network_of(recovered: Network | Recovered) -> Network:
    if isinstance(recovered, Network):
        return recovered
    if isinstance(recovered, Recovered):
        return recovered.network
    raise InvalidInputError(
        f"recovered must be a Network or a Recovery, not {type(recovered).__name__}."
    )


def _check(recovered: Network, teacher: Network) -> None:
    if not isinstance(teacher, Network):
        raise InvalidInputError(f"teacher must be a Network, not {type(teacher).__name__}.")
    for name, network in (("recovered", recovered), ("teacher", teacher)):
        if network.students is not None:
            raise InvalidInputError(
                f"{name} is an ensemble of {network.students} networks; compare one of them, "
                "for example network.student(0)."
            )
    mine, true = recovered.widths, teacher.widths
    if (mine[0], mine[-1], len(mine)) != (true[0], true[-1], len(true)):
        raise InvalidInputError(
            f"recovered has widths {mine} and teacher {true}; they must agree in inputs, outputs "
            "and number of hidden layers."
        )
    mixed = recovered.activation.kinds or teacher.activation.kinds
    if not mixed and not _same_function(recovered.activation, teacher.activation):
        raise InvalidInputError(
            f"recovered has activation {recovered.activation.name!r} and teacher "
            f"{teacher.activation.name!r}; weights can only be compared under the same activation."
        )


def _same_function(one: Activation, other: Activation) -> bool:
    """Whether two activations have the same values, whatever their names."""
    if one == other:
        return True
    with double():
        points = jnp.linspace(-7.3, 7.1, 101)
        return bool(jnp.allclose(one(points), other(points), rtol=1e-12, atol=1e-12))


def _mask(
    size: int, masked_inputs: ArrayLike | None, held_inputs: ArrayLike | float | None
) -> tuple[Bool[np.ndarray, " inputs"], Float[np.ndarray, " inputs"]]:
    masked = np.zeros(size, dtype=bool) if masked_inputs is None else np.asarray(masked_inputs)
    if masked.shape != (size,) or masked.dtype != np.bool_:
        raise InvalidInputError(
            f"masked_inputs must be ({size},) of type bool, got {masked.shape} of type "
            f"{masked.dtype}."
        )
    if masked.all():
        raise InvalidInputError("masked_inputs leaves no input to compare.")
    held = np.asarray(0.0 if held_inputs is None else held_inputs, dtype=np.float64)
    if held.shape not in ((), (size,)):
        raise InvalidInputError(
            f"held_inputs must be one number or of shape ({size},), got {held.shape}."
        )
    held = np.broadcast_to(held, (size,))
    if not np.all(np.isfinite(held[masked])):
        raise InvalidInputError("held_inputs is NaN or infinite at a masked input.")
    return masked, held
