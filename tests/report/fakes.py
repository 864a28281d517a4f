"""A hand-built ensemble: students that share the teacher's neurons and nothing else."""

import numpy as np
from scipy.cluster.hierarchy import linkage

from expand_and_cluster.core.network import Network
from expand_and_cluster.recovery import (
    Clustering,
    ExpansionCurve,
    LossCurves,
    NeuronRecord,
    Recovery,
    Rejection,
    Verdict,
)

REASONS = (
    "reached the target loss",
    "no further descent",
    "used all steps",
    "used all time",
    "loss became NaN or infinite",
)


def fake_clustering(
    *, students=10, width=16, teacher=4, inputs=8, noise=1e-6, spread=1.0, seed=0
) -> Clustering:
    """Every student holds each teacher neuron once, nearly; the rest of it is random."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(teacher, inputs + 1))
    rows, owners, labels = [], [], []
    for student in range(students):
        own = spread * rng.normal(size=(width, inputs + 1))
        # Students converge to very different depths.
        own[:teacher] = truth + noise * 10 ** rng.uniform(-3, 0) * rng.normal(size=truth.shape)
        rows.append(own)
        owners.append(np.full(width, student))
        labels.append(np.concatenate([np.arange(teacher), np.full(width - teacher, -1)]))
    shuffle = rng.permutation(students * width)
    vectors = np.concatenate(rows)[shuffle]
    single = len(vectors) == 1
    return Clustering(
        vectors=vectors,
        students=np.concatenate(owners)[shuffle],
        tree=np.zeros((0, 4)) if single else linkage(vectors, "average"),
        height=noise * 30,
        labels=np.concatenate(labels)[shuffle],
        angles=np.full(teacher, noise),
    )


def fake_curves(*, students=10, points=80, seed=0) -> LossCurves:
    """Some students reach the target, some stall, one diverges."""
    rng = np.random.default_rng(seed)
    steps = np.arange(points) * 2
    losses = np.full((students, points), np.nan)
    codes, held_out = [], np.empty(students)
    for i in range(students):
        code = REASONS[(0, 0, 0, 1, 0, 2, 0, 4, 1, 0)[i % 10]]
        end = int(points * rng.uniform(0.4, 0.9)) if code != "used all steps" else points
        depth = {"reached the target loss": -15.5, "no further descent": -5.0}.get(code, -2.5)
        t = np.linspace(0, 1, max(end, 1))
        wiggle = 0.15 * np.cumsum(rng.normal(size=t.size)) / np.sqrt(t.size)
        losses[i, : t.size] = 10 ** (depth * t ** rng.uniform(1.5, 4) + wiggle)
        codes.append(code)
        held_out[i] = losses[i, t.size - 1] * rng.uniform(1.0, 4.0)
        if code == REASONS[4]:
            held_out[i] = np.nan
    return LossCurves(steps, losses, held_out, tuple(codes))


def fake_expansion(*, students=3, seed=0) -> ExpansionCurve:
    """Losses fall off a cliff between widths 4 and 8."""
    rng = np.random.default_rng(seed)
    widths = np.array([1, 2, 4, 8, 16])
    centre = np.array([-0.3, -0.7, -1.8, -7.5, -14.8])[:, None]
    losses = 10 ** (centre + rng.uniform(-0.6, 0.6, size=(5, students)))
    losses[1, 0] = np.nan
    return ExpansionCurve(widths, losses, criterion=1e-5, chosen=16)


def fake_recovery(*, students=10, width=16, teacher=4, inputs=8, seed=0) -> Recovery:
    """A recovered network with every piece of evidence."""
    rng = np.random.default_rng(seed)
    network = Network.from_arrays(
        [
            (rng.normal(size=(teacher, inputs)), rng.normal(size=teacher)),
            (rng.normal(size=(1, teacher)), np.zeros(1)),
        ],
        activation="g",
    )
    neurons = tuple(
        NeuronRecord(
            layer=0,
            index=i,
            students=tuple(range(students if i else max(1, students - 3))),
            agreement=float(10 ** rng.uniform(-15, -9)),
            type="teacher",
        )
        for i in range(teacher)
    )
    return Recovery(
        network=network,
        verdict=Verdict(True, 0.99, ("the students agree",)),
        neurons=neurons,
        queries=4096,
        seconds=12.5,
        settings={"students": students},
        rejected=(Rejection("cluster", "5", "held by one student only"),),
        masked_inputs=np.zeros(inputs, dtype=bool),
        held_inputs=np.zeros(inputs),
        curves=fake_curves(students=students, seed=seed),
        expansion=fake_expansion(seed=seed),
        clustering=fake_clustering(
            students=students, width=width, teacher=teacher, inputs=inputs, seed=seed
        ),
    )


def fake_study(*, seed=0) -> list[dict[str, object]]:
    """All 150 teachers: most exact, a few hard ones not."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for size in (2, 4, 8, 16, 32):
        for width in (2, 4, 8):
            for number in range(10):
                hard = size == 2 and width > 2 and number % 3 == 0
                missing = hard and number % 2 == 0
                found = width if not hard else (width - 1 if missing else width + 2)
                rmse = 10 ** (rng.uniform(-6, -2) if hard else rng.uniform(-15.9, -15))
                gone = size == 2 and width == 8 and number == 9
                rows.append(
                    {
                        "input_size": size, "width": width, "seed": number,
                        "rmse": None if gone else rmse,
                        "found_width": None if gone else found,
                        "max_weight_error": None if gone else (np.inf if hard else 1e-14),
                        "identified": not hard, "seconds": float(rng.uniform(0.5, 20)),
                    }
                )  # fmt: skip
    return rows
