"""What a recovery gives back: the network, the verdict, and the evidence for both."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from expand_and_cluster.activation_choice import ActivationChoice
from expand_and_cluster.core.activations import Activation
from expand_and_cluster.core.network import Network
from expand_and_cluster.core.strict_json import plain


class _Record:
    """Equality for records that hold arrays: same shape, same numbers, NaN equal to NaN."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and _same(vars(self), vars(other))

    __hash__ = None  # type: ignore[assignment]  # arrays can change


@dataclass(frozen=True)
class NeuronRecord:
    """Where one recovered neuron comes from.

    Attributes:
        layer: Hidden layer, counted from 0.
        index: Row of the layer's weight matrix.
        students: Students whose neurons support it.
        agreement: Median cosine distance between the supporting input vectors.
        type: "teacher neuron" where the recovery is identified, else "candidate".
        unidentifiable: What no query can tell about it: a subset of ("sign", "scale",
            "mean output weight", "inputs ...").
    """

    layer: int
    index: int
    students: tuple[int, ...]
    agreement: float
    type: str
    unidentifiable: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rejection:
    """Something the recovery left out.

    Attributes:
        kind: "student", "round", "cluster" or "neuron".
        name: Which one.
        reason: Why, in one sentence.
    """

    kind: str
    name: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """Whether the network is the teacher's, judged without seeing the teacher.

    Attributes:
        identified: True if the weights are taken to be the teacher's, up to its symmetries.
        confidence: From 0 to 1.
        reasons: Sentences that led to it.
    """

    identified: bool
    confidence: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LossCurves(_Record):
    """How the students trained.

    Attributes:
        steps: Step number of every point.
        losses: Relative root mean squared error on the training pairs, NaN after a student
            stopped.
        held_out: The same on held-out pairs, at the end.
        codes: Why each student stopped.
    """

    steps: Int[np.ndarray, " points"]
    losses: Float[np.ndarray, "students points"]
    held_out: Float[np.ndarray, " students"]
    codes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ExpansionCurve(_Record):
    """How the students' width was found.

    Attributes:
        widths: Hidden widths tried.
        losses: Held-out relative root mean squared error of every student at every width.
        criterion: Error at which a width counts as wide enough.
        chosen: The width taken.
    """

    widths: Int[np.ndarray, " widths"]
    losses: Float[np.ndarray, "widths students"]
    criterion: float
    chosen: int


@dataclass(frozen=True, eq=False)
class Clustering(_Record):
    """Everything needed to cut the tree again, without training again.

    Attributes:
        vectors: Input vectors (bias last) of all students' neurons that took part.
        students: Student of each vector.
        tree: Average linkage, in SciPy's form.
        height: Where the tree was cut.
        labels: Cluster of each vector, -1 for none that was kept.
        angles: Median angle within each kept cluster, in radians.
    """

    vectors: Float[np.ndarray, "neurons inputs_and_bias"]
    students: Int[np.ndarray, " neurons"]
    tree: Float[np.ndarray, "merges 4"]
    height: float
    labels: Int[np.ndarray, " neurons"]
    angles: Float[np.ndarray, " clusters"]


@dataclass(frozen=True, eq=False)
class Recovery(_Record):
    """The result of a recovery.

    Attributes:
        network: The recovered network.
        verdict: Whether it is identified, how surely, and why.
        neurons: One record for each recovered hidden neuron.
        queries: Rows of input whose answers were used.
        seconds: Time taken by the call that came to the end; what a checkpoint held took none.
        settings: Everything given and chosen, as plain values (dict, list, str, numbers).
        rejected: What was left out, each with its reason.
        masked_inputs: True for inputs that hardly vary, whose weights no answer can tell.
        held_inputs: The value at which each masked input was held.
        curves: How the students trained.
        expansion: How their width was found, or None if it was given.
        clustering: Vectors, tree and cut, or None if nothing was clustered.
        standard_errors: Where the answers are noisy and noise explains the error: the standard
            error of every weight and bias, in the place of the weight. The length of an input
            vector that a homogeneous activation leaves free counts as given; infinite where no
            answer tells. Else None.
        activations: How the activation was named, or None if it was given.
    """

    network: Network
    verdict: Verdict
    neurons: tuple[NeuronRecord, ...]
    queries: int
    seconds: float
    settings: dict[str, Any]
    rejected: tuple[Rejection, ...]
    masked_inputs: Bool[np.ndarray, " inputs"]
    held_inputs: Float[np.ndarray, " inputs"]
    curves: LossCurves
    expansion: ExpansionCurve | None = field(default=None)
    clustering: Clustering | None = field(default=None)
    standard_errors: Network | None = field(default=None)
    activations: ActivationChoice | None = field(default=None)

    def __post_init__(self) -> None:
        """Keep settings as plain values, which a file gives back as they were."""
        object.__setattr__(self, "settings", plain(self.settings))

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the recovery to a folder: weights, verdict and settings, evidence.

        A folder that holds `recovery.json` holds everything: that file is written last. A
        function of the user's as activation is kept by name only.

        Args:
            folder: Created if it does not exist.
        """
        from expand_and_cluster.recovery_files import save_recovery

        save_recovery(self, folder)

    def __str__(self) -> str:
        """A summary of a few lines."""
        sizes = "-".join(str(width) for width in self.network.widths)
        found = "identified" if self.verdict.identified else "not identified"
        lines = [
            f"network {sizes}, {self.network.activation.name}",
            f"{found}, confidence {self.verdict.confidence:.3g}",
            *(f"  - {reason}" for reason in self.verdict.reasons),
            f"{_count(self.queries, 'query', 'queries')}, {self.seconds:.1f} s",
        ]
        if self.activations is not None:
            lines.insert(1, str(self.activations))
        masked = int(np.sum(self.masked_inputs))
        if masked:
            lines.append(f"{_count(masked, 'masked input')} of {self.masked_inputs.size}")
        if self.rejected:
            lines.append(f"rejected: {len(self.rejected)}")
            counts = Counter((item.kind, item.reason) for item in self.rejected)
            lines += [
                f"  - {_count(number, kind)}: {reason}"
                for (kind, reason), number in counts.most_common()
            ]
        return "\n".join(lines)


def load(
    folder: str | PathLike[str],
    activation: str | Callable[[Array], Array] | Activation | None = None,
) -> Recovery:
    """Read a recovery written by `Recovery.save`.

    Args:
        folder: The folder it was saved to.
        activation: Needed only if the network's activation is a function of your own, which a
            file cannot hold.

    Raises:
        FileFormatError: The folder holds no finished recovery, or a damaged one.
        InvalidInputError: The activation is needed, or is not the one it was saved with.
    """
    from expand_and_cluster.recovery_files import load_recovery

    return load_recovery(folder, activation)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        a, b = np.asarray(one), np.asarray(other)
        exact = a.dtype == b.dtype and a.shape == b.shape
        return exact and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    if dataclasses.is_dataclass(one) and not isinstance(one, Activation):
        names = [item.name for item in dataclasses.fields(one)]
        return all(_same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, float):
        return one == other or (one != one and other != other)
    return bool(one == other)


def _count(number: int, word: str, plural: str | None = None) -> str:
    return f"{number:,} {word if number == 1 else plural or word + 's'}"
