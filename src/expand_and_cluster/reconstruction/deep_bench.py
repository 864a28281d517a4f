"""Networks of several hidden layers under reconstruction: scored, polished, thinned out."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from expand_and_cluster.core.network import Layer, Network
from expand_and_cluster.core.precision import double
from expand_and_cluster.core.progress import Progress, Reporter, silent
from expand_and_cluster.fitting.damped_steps import LevenbergMarquardtSettings
from expand_and_cluster.fitting.deep_descent import DeepDescent, all_present, hidden_weights
from expand_and_cluster.fitting.deep_equations import DeepData, Present, lay_out
from expand_and_cluster.reconstruction.inside import look_inside
from expand_and_cluster.reconstruction.least_squares import added
from expand_and_cluster.reconstruction.one_neuron import without_neuron
from expand_and_cluster.reconstruction.workbench import AT_FLOOR, ROUNDING
from expand_and_cluster.students.training import TrainingData

# Rows on which floors and the cost of removing a neuron are measured.
ROWS_MEASURED = 2048
# Hidden widths are padded to multiples of this, so that removing a neuron seldom compiles.
PAD = 8


@dataclass(frozen=True)
class Scored:
    """A network with its mean squared error over training samples and outputs."""

    network: Network
    loss: float


class DeepBench:
    """Training pairs on which networks of any depth are polished and thinned out.

    Args:
        data: Standardised pairs.
        noise: Standard deviation of the answers' own rounding, in standardised units.
        deadline: `time.monotonic()` after which descents stop.
        report: Told about descents.
    """

    def __init__(
        self,
        data: TrainingData,
        *,
        noise: float = 0.0,
        deadline: float | None = None,
        report: Reporter = silent,
    ) -> None:
        """Keep the pairs; they are laid out for a size of network when it is first polished."""
        self.training = data
        self.noise = noise
        self.deadline = deadline
        self.report = report
        self._laid_out: dict[int, DeepData] = {}

    @cached_property
    def _few(self) -> Float[np.ndarray, "rows inputs"]:
        return self.training.inputs[:ROWS_MEASURED]

    def first(self, count: int) -> "DeepBench":
        """A bench of the first pairs; this one where it has no more."""
        if count >= len(self.training.inputs):
            return self
        return DeepBench(
            self.training.first(count), noise=self.noise, deadline=self.deadline, report=self.report
        )

    def score(self, network: Network) -> Scored:
        """The network with its error."""
        error = network(self.training.inputs) - self.training.targets
        return Scored(network, float(np.mean(error**2)))

    def polish(
        self,
        start: Scored,
        *,
        steps: int = 200,
        damping: float = 1e-4,
        patience: int = 40,
        beyond: float = 1.0,
        stage: str = "polish",
    ) -> Scored:
        """Levenberg-Marquardt on all weights until rounding, a stall or the last step.

        Args:
            start: Where to start.
            steps: Most steps.
            damping: First damping.
            patience: Steps without progress after which to stop.
            beyond: Share of `floor` to aim for.
            stage: Name of the work in reports.
        """
        padded, present = _padded(start.network)
        settings = LevenbergMarquardtSettings(
            steps=steps,
            target=beyond * self.floor(start.network),
            damping=damping,
            patience=patience,
        )
        with double():
            data = self._data(hidden_weights(padded.widths))
            descent = DeepDescent(padded, data, settings, self.deadline, present=present)
            for _ in descent.run():
                error = np.array([np.sqrt(descent.loss)])
                self.report(Progress(stage, descent.step, steps, error))
            found = _unpadded(descent.network(), start.network)
        if not np.isfinite(descent.loss) or descent.loss >= start.loss:
            return start
        return Scored(found, descent.loss)

    def floor(self, network: Network) -> float:
        """Mean squared error that rounding alone explains for this network.

        Every pre-activation and every output is a sum of terms, each wrong by a few units in its
        last place; errors of pre-activations reach the outputs by their slopes.
        """
        inside = look_inside(network, self._few)
        squares = [np.column_stack([layer.weight, layer.bias]).T ** 2 for layer in network.layers]
        size = float(np.mean(inside.values[-1] ** 2 @ squares[-1]))
        for values, square, slopes in zip(inside.values, squares, inside.slopes, strict=False):
            wrong = (values**2 @ square)[:, None, :]
            size += float(np.mean(np.sum(slopes**2 * wrong, axis=2)))
        size += float(np.mean(self.training.targets**2))
        return float(ROUNDING * size + self.noise**2)

    def at_floor(self, scored: Scored) -> bool:
        """Whether nothing but rounding is left of the error."""
        return bool(scored.loss <= AT_FLOOR * self.floor(scored.network))

    def removal_costs(self, network: Network, layer: int) -> Float[np.ndarray, " neurons"]:
        """About how much the mean squared error rises when a neuron is removed.

        The others of its layer make up for what they can, by least squares on its activation; the
        rest counts with the mean square of the outputs' slope in it.
        """
        inside = look_inside(network, self._few)
        spare = added(inside.values[layer + 1])[:-1]
        return (inside.effects[layer] * spare) ** 2

    def without(self, network: Network, layer: int, neuron: int) -> Network:
        """The network without a neuron, its activation regressed on the others of its layer."""
        values = look_inside(network, self._few).values[layer + 1]
        kept = np.arange(values.shape[1] - 1) != neuron
        others = values[:, np.append(kept, True)]
        scale = np.linalg.norm(others, axis=0)
        scale[scale == 0.0] = 1.0
        share = np.linalg.lstsq(others / scale, values[:, neuron], rcond=1e-12)[0] / scale
        moved = network.layers[layer + 1].weight[:, [neuron]]
        layers = list(without_neuron(network, layer, neuron).layers)
        above = layers[layer + 1]
        layers[layer + 1] = Layer(
            above.weight + moved * share[:-1], above.bias + moved[:, 0] * share[-1]
        )
        return network.replace(layers=tuple(layers))

    def _data(self, weights: int) -> DeepData:
        if weights not in self._laid_out:
            self._laid_out[weights] = lay_out(self.training.inputs, self.training.targets, weights)
        return self._laid_out[weights]


def _padded(network: Network) -> tuple[Network, Present]:
    """The network in widths that are multiples of `PAD`, and which of its neurons take part."""
    more = [0, *((-width) % PAD for width in network.hidden_widths), 0]
    layers = tuple(
        Layer(
            np.pad(layer.weight, ((0, more[place + 1]), (0, more[place]))),
            np.pad(layer.bias, (0, more[place + 1])),
        )
        for place, layer in enumerate(network.layers)
    )
    present = tuple(
        np.pad(ones, (0, extra))
        for ones, extra in zip(all_present(network), more[1:-1], strict=True)
    )
    return network.replace(layers=layers), present


def _unpadded(padded: Network, like: Network) -> Network:
    layers = tuple(
        Layer(
            big.weight[: small.weight.shape[0], : small.weight.shape[1]],
            big.bias[: len(small.bias)],
        )
        for big, small in zip(padded.layers, like.layers, strict=True)
    )
    return padded.replace(layers=layers)
