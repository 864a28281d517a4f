"""How many pairs the candidates of a search are polished on, and where."""

from expand_and_cluster.core.activation import Activation
from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.reconstruction.starts import SearchSettings
from expand_and_cluster.reconstruction.workbench import MOST_DENSE, Workbench
from expand_and_cluster.students.training import TrainingData, samples_for

# Pairs that reconstruction sees where students were trained by batches on more.
MOST_SAMPLES = 4096
# Equations for every unknown of a student that large candidates are polished on.
EQUATIONS = 4


class Benches:
    """The workbenches of a search: one for every number of pairs, with or without a skip.

    Args:
        data: Pairs in random order, of which a bench has the first ones.
        activation: Activation of the teacher.
        settings: Whether all pairs are given, the way of fitting, and the answers' rounding.
        deadline: `time.monotonic()` after which descents stop.
        report: Told about long descents.
    """

    def __init__(
        self,
        data: TrainingData,
        activation: Activation,
        settings: SearchSettings,
        *,
        deadline: float | None,
        report: Reporter,
    ) -> None:
        """Lay nothing out yet."""
        self._data, self._activation, self._settings = data, activation, settings
        self._deadline, self._report = deadline, report
        self._benches: dict[tuple[int, bool], Workbench] = {}

    def of(self, width: int, *, skip: bool) -> Workbench:
        """Where candidates of students of this width are polished."""
        key = self._samples(width), skip
        if key not in self._benches:
            self._benches[key] = Workbench(
                self._data.first(key[0]),
                self._activation,
                skip=skip,
                noise=self._settings.noise,
                deadline=self._deadline,
                report=self._report,
            )
        return self._benches[key]

    def _samples(self, width: int) -> int:
        widths = (self._data.inputs.shape[1], width, self._data.targets.shape[1])
        available = samples_for(self._settings.method, widths, len(self._data.inputs))
        most = len(self._data.inputs) if self._settings.given else MOST_SAMPLES
        # Half the students' width is about the candidates'.
        if (widths[0] + 1) * width > 2 * MOST_DENSE:
            most = max(most, EQUATIONS * width * (sum(widths) - width + 1) // widths[-1])
        return min(available, most)
