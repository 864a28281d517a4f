"""A process killed at any moment resumes to the same weights."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from expand_and_cluster.recovery import load

RECOVERY = """
import sys
import numpy as np
from expand_and_cluster.pipeline import recover
from expand_and_cluster.queries.samplers import Uniform
from expand_and_cluster.teachers.synthetic import synthetic

folder, log = sys.argv[1:]
teacher = synthetic(3, 2, seed=4)

def oracle(rows):
    with open(log, "a") as file:
        file.write(f"{len(rows)}\\n")
    return teacher(rows)

half = 3**0.5
recovery = recover(
    oracle, inputs=Uniform(3, -half, half), activation="g", max_queries=1500, students=6, seed=2,
    checkpoint=folder + "/checkpoint",
)
recovery.save(folder)
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", RECOVERY, str(folder), str(folder / "asked.log")]
    # All compile the same; a process that is killed may leave half of a program, for these alone.
    kept = {
        "JAX_COMPILATION_CACHE_DIR": str(folder.parent / "programs"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, env=os.environ | kept)


def killed(process: subprocess.Popen[bytes], folder: Path, files: int, later: float) -> bool:
    """Kill it so much later than it has kept so many files; False where it ended before."""
    while process.poll() is None and len(list(folder.glob("checkpoint/*"))) < files:
        time.sleep(0.01)
    time.sleep(later)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    return alive


def finish(process: subprocess.Popen[bytes]) -> None:
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error.decode()


def asked(folder: Path) -> int:
    return sum(map(int, (folder / "asked.log").read_text().split()))


def test_a_killed_process_resumes_to_the_same_weights(tmp_path: Path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    finish(start(whole))

    rng = random.Random(5)
    # Once it is claimed, once the width is known, and while students are trained.
    kills = sum(killed(start(broken), broken, files, rng.uniform(0.0, 0.2)) for files in (1, 3, 5))
    finish(start(broken))

    assert kills > 0
    expected, found = load(whole), load(broken)
    for one, other in zip(expected.network.layers, found.network.layers, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
        np.testing.assert_array_equal(one.bias, other.bias)
    assert found.verdict.identified
    assert found.queries == expected.queries
    # What was answered is on disk: only rows whose answer a kill cut off are asked again.
    assert asked(broken) <= asked(whole) + kills * 4096
