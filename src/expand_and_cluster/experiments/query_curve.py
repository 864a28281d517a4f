"""How many questions it takes: recovered neurons and largest weight error against their number.

Every answer gives as many numbers as there are outputs, so that no method can do with fewer
questions than weights over outputs (the counting bound). The paper leaves open how many are enough
(section 7).
"""

from itertools import pairwise
from pathlib import Path

from expand_and_cluster.core.progress import Reporter
from expand_and_cluster.datasets.loading import load
from expand_and_cluster.experiments.chosen_queries import STUDENTS, exact, peak_memory
from expand_and_cluster.experiments.experiment import Experiment
from expand_and_cluster.experiments.studies import Row, Task, run_study
from expand_and_cluster.pipeline import recover
from expand_and_cluster.queries.samplers import Gaussian
from expand_and_cluster.scoring.compare import compare
from expand_and_cluster.teachers.trained import trained

DATASET, WIDTH, ACTIVATION = "mnist", 64, "tanh"
# Numbers of questions, in units of the counting bound.
SHARES = (12.0, 6.0, 4.0, 3.0, 2.5, 2.0, 1.5)
WANTED = 2.0
# Cosine distance within which a neuron of the teacher counts as recovered.
NEAR = 1e-3


def counting_bound(widths: tuple[int, ...]) -> int:
    """Fewest questions whose answers are as many numbers as there are weights."""
    weights = sum((i + 1) * o for i, o in pairwise(widths))
    return -(-weights // widths[-1])


def recover_with(task: Task, report: Reporter) -> Row:
    """Recover the teacher from one number of questions."""
    data = load(task["dataset"])
    widths = (data.input_size, task["width"], data.classes)
    teacher = trained(data, widths, task["activation"], seed=0, cache=Path(task["teachers"]))
    bound = counting_bound(widths)
    recovery = recover(
        teacher,
        inputs=Gaussian(data.input_size),
        activation=task["activation"],
        max_queries=int(task["share"] * bound),
        students=task["students"],
        seed=0,
        progress=report,
    )
    scores = compare(recovery, teacher)
    own = [neuron for neuron in scores.neurons if neuron.teacher is not None]
    near = sum(neuron.recovered is not None and neuron.input_distance <= NEAR for neuron in own)
    return {
        "label": f"{task['share']:g} times the bound",
        "queries": recovery.queries,
        "bound": bound,
        "share": task["share"],
        "width": task["width"],
        "found_width": recovery.network.hidden_widths[0],
        "neurons": near,
        "max_weight_error": scores.max_weight_error,
        "rmse": scores.output_rmse(data.test_inputs),
        "identified": recovery.verdict.identified,
        "recovery_seconds": recovery.seconds,
        "peak_gib": peak_memory(),
    }


def run(folder: Path, smoke: bool, workers: int, report: Reporter) -> int:
    """Run the curve; 0 if its claim holds, 3 if not."""
    del workers  # Each recovery uses all cores; side by side they would only share them.
    tasks = [
        {
            "dataset": "digits" if smoke else DATASET,
            "width": 16 if smoke else WIDTH,
            "activation": ACTIVATION,
            "share": share,
            "students": STUDENTS,
            "teachers": str(folder / "teachers"),
        }
        for share in ((12.0,) if smoke else SHARES)
    ]
    rows = run_study("query-curve", recover_with, tasks, folder, workers=0, report=report)
    wrong = [row for row in rows if row["identified"] and not exact(row)]
    reached = [row["share"] for row in rows if exact(row)]
    held = bool(reached) and (smoke or min(reached) <= WANTED) and not wrong
    return 0 if held else 3


EXPERIMENT = Experiment(
    name="query-curve",
    claim="784-64-10 tanh: exact recovery from how many questions (at most "
    "twice the counting bound)",
    minutes=15.0,
    run=run,
)
