"""Weights of inputs that hardly any pair shows: the smallest with which these pairs come out right.

A pair that shows an input tells, of the weights that all neurons have for it, as many combinations
as there are outputs. Where fewer are told than there are weights, the rest stay what a student
began with, and an unseen pair that shows the input is answered at random. The smallest weights
that explain the pairs (least norm) hold nothing that was not told.

Inputs that are shown a little more often are solved for along with them. What their weights, told
but hardly held, are off by is left in the same pairs; rare inputs alone would take it over, by
large weights for the few combinations that tell little.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.linalg import lsmr

from expand_and_cluster.core.deadline import is_over
from expand_and_cluster.core.held import hold
from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.queries.common_pairs import Shown
from expand_and_cluster.reconstruction.inside import look_inside
from expand_and_cluster.reconstruction.slope_equations import SlopeEquations
from expand_and_cluster.students.training import TrainingData

# An input is rare where pairs tell fewer combinations of its weights than this multiple of their
# number: pairs that show one often show the same others, and tell the same again.
MARGIN = 3.0
# The same for inputs whose weights are solved for along with these, and where all others are exact:
# steps leave weights of inputs that 20 to 40 images of MNIST show wrong by up to a half.
SELDOM, TOLD = 10.0, 6.5
# Most weights that are solved for so, unless those of rare inputs alone are more: 8,000 of
# 784-64-10 took 277 seconds in place of 13, and gained nothing (benchmarks/rare_inputs.py).
ALONG = 4000
# Most steps; how often a step is halved; the share of the squared error that one has to gain.
STEPS, HALVINGS, GAIN = 200, 12, 1e-3
# Share of the mean curvature that is always added, against rounding.
RIDGE = 1e-14
# Most equations of a step, or most weights, of which a matrix is written out: it takes half a GiB.
# Share of them for pairs that are set aside at first.
MOST, ROOM = 8000, 0.9
# Most equations where there is no matrix: slopes of 256 neurons take 120 MiB then. Iterations of
# such a step at most, what it leaves, in units of where it began, and the share that it has to
# gain: it is never exact, and many of them would gain a little each.
MOST_EQUATIONS, ITERATIONS, CLOSE, ROUGH_GAIN = 60_000, 1000, 1e-2, 0.1


def rare_inputs(shown: Shown, neurons: int, outputs: int) -> Bool[np.ndarray, " inputs"]:
    """Inputs that vary, but in too few samples for their weights.

    Args:
        shown: How often all pairs show them.
        neurons: Of the first hidden layer: each has a weight for the input.
        outputs: Combinations of these that a sample tells at most.
    """
    return (shown.times > 0) & (shown.times * outputs < MARGIN * neurons)


def least_shown(shown: Shown, network: Network) -> int:
    """How many pairs have to show an input whose weights are told by steps of all weights.

    Where these are exact, small weights of inputs that are shown less often explain the pairs that
    show them, as long as they are no more than can be solved for at once.
    """
    neurons, outputs = network.hidden_widths[0], network.output_size
    least = 0
    for multiple in (TOLD, MARGIN):
        least = int(np.ceil(multiple * neurons / outputs))
        level = shown.by(least)
        weights = np.sum((shown.times > 0) & ~level.inputs) * neurons
        if min(weights, np.sum(~level.among) * outputs) <= ROOM * MOST:
            break
    return least


def with_least_weights(
    network: Network,
    data: TrainingData,
    rare: Bool[np.ndarray, " inputs"],
    report: Reporter = silent,
    deadline: float | None = None,
) -> Network:
    """The network with the smallest weights of rare inputs that explain the pairs that show them.

    Args:
        network: A network that explains the other pairs.
        data: All pairs.
        rare: Which inputs are rare.
        report: Receives progress.
        deadline: `time.monotonic()` after which no step begins but the first.

    Returns:
        `network` itself where no pair shows a rare input, all do or too many, where all
        inputs are rare, or where smallest weights leave more of these pairs than it does and than
        it leaves of the others.
    """
    if not rare.any():
        return network
    neurons = network.hidden_widths[0]
    for among in (rare | _seldom(data, rare, neurons), rare):
        shown = _Shown.of(data, among)
        if shown.can_be_explained(neurons):
            break
    else:
        return network
    error = np.mean((network(data.inputs) - data.targets) ** 2, axis=1)
    noise = float(np.mean(error[~shown.rows]))
    found, loss = _descend(network, shown, noise, report, deadline)
    return found if loss <= max(float(np.mean(error[shown.rows])), noise) else network


def _seldom(
    data: TrainingData, rare: Bool[np.ndarray, " inputs"], neurons: int
) -> Bool[np.ndarray, " inputs"]:
    """Inputs to solve for along with rare ones: those that are shown least, while they are few.

    A step factors a matrix of all weights or of all equations, whichever are fewer, unless those of
    rare inputs alone are too many for that.
    """
    shown, outputs = data.shown, data.targets.shape[1]
    seldom = ~rare & (shown.times > 0) & (shown.times * outputs < SELDOM * neurons)
    among, rows = rare.copy(), shown.showing(rare)
    weights = int(among.sum()) * neurons
    few = MOST if _written_out(int(rows.sum()) * outputs, weights) else MOST_EQUATIONS
    few = ALONG if weights <= ALONG else few
    for one in sorted(np.flatnonzero(seldom), key=lambda one: shown.times[one]):
        among[one], rows = True, rows | (data.inputs[:, one] != shown.usual[one])
        if min(among.sum() * neurons, rows.sum() * outputs) > few:
            among[one] = False
            break
    return among & ~rare


@dataclass(frozen=True)
class _Shown:
    """Some inputs, and the pairs that show them.

    Attributes:
        among: Which inputs.
        usual: Their usual values.
        rows: Which pairs show any of them.
        inputs: All inputs of these pairs.
        targets: Outputs of these pairs.
        offsets: How far the inputs in question are from their usual values.
    """

    among: Bool[np.ndarray, " inputs"]
    usual: Float[np.ndarray, " among"]
    rows: Bool[np.ndarray, " samples"]
    inputs: Float[np.ndarray, "rows inputs"]
    targets: Float[np.ndarray, "rows outputs"]
    offsets: Float[np.ndarray, "rows among"]

    @classmethod
    def of(cls, data: TrainingData, among: Bool[np.ndarray, " inputs"]) -> "_Shown":
        """The pairs that show any of these inputs."""
        usual, rows = data.shown.usual[among], data.shown.showing(among)
        inputs = data.inputs[rows]
        return cls(among, usual, rows, inputs, data.targets[rows], inputs[:, among] - usual)

    def can_be_explained(self, neurons: int) -> bool:
        """Whether some pairs show some inputs, not all and not too many."""
        some = self.rows.any() and not self.rows.all() and not self.among.all()
        equations, weights = self.targets.size, len(self.usual) * neurons
        few = _written_out(equations, weights) or equations <= MOST_EQUATIONS
        return bool(some) and few


def _descend(
    network: Network, shown: _Shown, noise: float, report: Reporter, deadline: float | None
) -> tuple[Network, float]:
    """Gauss-Newton from weights of zero.

    A step goes to the smallest weights that explain the pairs to first order, as closely as they
    already are, or as the others: the most probable ones where weights are normal, with the mean
    square of those of the other inputs, and errors are.

    Returns:
        The network and its mean squared error on these pairs.
    """
    values = np.zeros(len(shown.among))
    values[shown.among] = shown.usual
    first = hold(network, shown.among, values).layers[0]
    spread = float(np.mean(first.weight[:, ~shown.among] ** 2))

    def moved(weights: Float[np.ndarray, "neurons among"]) -> Network:
        whole = first.weight.copy()
        whole[:, shown.among] = weights
        layer = Layer(whole, first.bias - weights @ shown.usual)
        return network.replace(layers=(layer, *network.layers[1:]))

    weights = np.zeros((len(first.bias), len(shown.usual)))
    inside = look_inside(moved(weights), shown.inputs)
    loss = float(np.mean((inside.outputs - shown.targets) ** 2))
    least = GAIN if _written_out(shown.targets.size, weights.size) else ROUGH_GAIN
    for step in range(STEPS):
        report(Progress("explain rare inputs", step, STEPS, np.array([np.sqrt(loss)])))
        if loss <= noise or (step > 0 and is_over(deadline)):
            break
        left = shown.targets - inside.outputs
        goal = _smallest(inside.slopes[0], shown.offsets, weights, left, max(loss, noise) / spread)
        for halving in range(HALVINGS):
            trial = weights + (goal - weights) / 2**halving
            there = look_inside(moved(trial), shown.inputs)
            remains = float(np.mean((there.outputs - shown.targets) ** 2))
            if remains < loss:
                break
        else:
            break
        gained, weights, inside, loss = 1.0 - remains / loss, trial, there, remains
        if gained < least:
            break
    return moved(weights), loss


def _smallest(
    slopes: Float[np.ndarray, "rows outputs neurons"],
    offsets: Float[np.ndarray, "rows among"],
    weights: Float[np.ndarray, "neurons among"],
    left: Float[np.ndarray, "rows outputs"],
    shift: float,
) -> Float[np.ndarray, "neurons among"]:
    """The weights for which what is left, to first order, and a multiple of their squares is least.

    Of the Jacobian, whose rows are products of a row of slopes and one of offsets, only a Gram
    matrix is written out: of its rows or of its columns, whichever are fewer, if they are few.
    """
    if not _written_out(left.size, weights.size):
        return _without_matrix(SlopeEquations(slopes, offsets), weights, left, shift)
    if left.size <= weights.size:
        rows = np.repeat(offsets, left.shape[1], axis=0)
        flat = slopes.reshape(left.size, -1)
        gram = (flat @ flat.T) * (rows @ rows.T)
        right = left.reshape(-1) + np.sum((flat @ weights) * rows, axis=1)
        return (flat * _solved(gram, right, shift)[:, None]).T @ rows
    neurons, among = weights.shape
    gram = np.empty((neurons, among, neurons, among))
    for one in range(neurons):
        for other in range(one + 1):
            both = np.einsum("ro,ro->r", slopes[..., one], slopes[..., other])
            block = (offsets * both[:, None]).T @ offsets
            gram[one, :, other], gram[other, :, one] = block, block.T
    gram = gram.reshape(weights.size, weights.size)
    pull = np.einsum("ro,roi->ri", left, slopes).T @ offsets
    right = pull.ravel() + gram @ weights.ravel()
    return _solved(gram, right, shift).reshape(weights.shape)


def _written_out(equations: int, weights: int) -> bool:
    """Whether a matrix of all equations or of all weights is small."""
    return min(equations, weights) <= MOST


def _without_matrix(
    jacobian: SlopeEquations,
    weights: Float[np.ndarray, "neurons among"],
    left: Float[np.ndarray, "rows outputs"],
    shift: float,
) -> Float[np.ndarray, "neurons among"]:
    """The same weights by LSMR (Fong & Saunders 2011): products with the Jacobian alone."""
    # From nothing, or what no pair tells would stay what it is.
    right = left.ravel() + jacobian.matvec(weights.ravel())
    close = CLOSE * float(np.linalg.norm(left) / np.linalg.norm(right))
    found = lsmr(jacobian, right, np.sqrt(shift), atol=close, btol=close, maxiter=ITERATIONS)[0]
    return found.reshape(weights.shape)


def _solved(
    gram: Float[np.ndarray, "size size"], right: Float[np.ndarray, " size"], shift: float
) -> Float[np.ndarray, " size"]:
    shift += RIDGE * np.trace(gram) / len(gram)
    factor = cho_factor(gram + shift * np.eye(len(gram)), lower=True)
    return cho_solve(factor, right)
