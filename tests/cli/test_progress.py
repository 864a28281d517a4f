"""Plain lines without a terminal, live bars with one, and the metrics file."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from expand_and_cluster.cli.metrics import MetricsLog
from expand_and_cluster.cli.progress import ProgressRenderer, describe, duration
from expand_and_cluster.core.progress import Progress


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def play(reporter, clock, total=10, stage="train students", seconds=1.0):
    for done in range(total + 1):
        reporter(Progress(stage, done, total, np.array([1e-3, 1e-1, np.nan]), "note"))
        clock.now += seconds


def test_plain_lines_are_rare_but_first_and_last_are_there():
    clock, out = Clock(), io.StringIO()
    with ProgressRenderer(Console(file=out, width=40), clock=clock) as renderer:
        play(renderer, clock)
        renderer(Progress("cluster", 0))
        renderer(Progress("cluster", 1))
        renderer(Progress("rebuild", 3, 9))
    lines = out.getvalue().splitlines()
    counts = [line.split(":")[2].split(" of")[0].strip() for line in lines[:4]]
    assert counts == ["0", "5", "10", "0"]
    assert lines[1] == (
        "[00:05] train students: 5 of 10, 1/s, at most 00:05 left, loss best 1.0e-03, "
        "median 1.0e-01 of 3 students (note)"
    )
    assert lines[3:] == ["[00:11] cluster: 0", "[00:11] cluster: 1", "[00:11] rebuild: 3 of 9"]


def test_a_stage_cut_short_still_shows_its_last_report():
    clock, out = Clock(), io.StringIO()

    def interrupted():
        with ProgressRenderer(Console(file=out), clock=clock) as renderer:
            renderer(Progress("a", 0, 10))
            renderer(Progress("a", 1, 10))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert out.getvalue().splitlines() == ["[00:00] a: 0 of 10", "[00:00] a: 1 of 10"]


def test_stages_that_return_all_the_time_do_not_flood_the_output():
    clock, out = Clock(), io.StringIO()
    with ProgressRenderer(Console(file=out), clock=clock) as renderer:
        for _ in range(100):
            renderer(Progress("ask", 0, 4))
            renderer(Progress("ask", 4, 4))
            renderer(Progress("read", 1))
            clock.now += 0.2
        renderer(Progress("rebuild", 0, 1))
    lines = out.getvalue().splitlines()
    # Of 300 reports, one or two of each stage in five seconds.
    assert 8 <= len(lines) <= 13
    assert sum("ask" in line for line in lines) >= 4
    assert sum("read" in line for line in lines) >= 1
    assert lines[-1] == "[00:20] rebuild: 0 of 1"


def test_a_stage_that_returns_keeps_one_bar():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=150)
    with ProgressRenderer(console, clock=Clock()) as renderer:
        renderer(Progress("train students", 3, 9))
        for _ in range(20):
            renderer(Progress("ask", 0, 4))
            renderer(Progress("read", 1))
    last = out.getvalue().rsplit("train students", 1)[1]
    assert "3 of 9" in last
    assert last.count("ask") == 1


def test_a_terminal_gets_bars():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=150)
    with ProgressRenderer(console) as renderer:
        for i in range(9):
            play(renderer, Clock(), stage=f"stage {i} [with brackets]")
    text = out.getvalue()
    assert "stage 8 [with brackets]" in text
    assert "10 of 10" in text
    assert "median 1.0e-01 of 3 students" in text


def test_a_resumed_stage_counts_its_rate_from_where_it_began():
    clock, out = Clock(), io.StringIO()
    with ProgressRenderer(Console(file=out), clock=clock) as renderer:
        renderer(Progress("a", 90, 100))
        clock.now += 5
        renderer(Progress("a", 95, 100))
    assert "95 of 100, 1/s, at most 00:05 left" in out.getvalue()


def test_a_stage_that_counts_from_the_beginning_again_has_its_own_rate():
    clock, out = Clock(), io.StringIO()
    with ProgressRenderer(Console(file=out, width=200), interval=0.0, clock=clock) as renderer:
        for done, seconds in ((1, 100), (2, 0), (1, 1), (2, 0)):
            renderer(Progress("a", done, 20))
            clock.now += seconds
    assert [line.partition(": ")[2] for line in out.getvalue().splitlines()] == [
        "1 of 20",
        "2 of 20, 0.01/s, at most 30:00 left",
        "1 of 20",
        "2 of 20, 1/s, at most 00:18 left",
    ]


def test_words():
    assert describe(Progress("a", 1234), 0.0) == "1,234"
    assert describe(Progress("a", 1, 1, np.array([np.inf])), 2.0) == (
        "1 of 1, 2/s, loss best inf, median inf of 1 student"
    )
    assert [duration(s) for s in (0.0, 59.6, 3601.0)] == ["00:00", "01:00", "1:00:01"]


def test_metrics_keep_first_and_last_of_a_stage(tmp_path: Path):
    clock, path = Clock(), tmp_path / "deep" / "metrics.jsonl"
    with MetricsLog(path, interval=4.0, clock=clock) as log:
        play(log, clock)
        play(log, clock, total=1, stage="cluster")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["stage"], line["done"]) for line in lines] == [
        ("train students", 0),
        ("train students", 4),
        ("train students", 8),
        ("train students", 10),
        ("cluster", 0),
        ("cluster", 1),
    ]
    assert lines[0]["losses"] == [1e-3, 1e-1, None]


def test_half_a_line_is_cut_off(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    for content in ("", '{"a": 1', '{"a": 1}\n{"b"', '{"a": 1}\n'):
        path.write_text(content)
        with MetricsLog(path) as log:
            log(Progress("a", 0))
        lines = path.read_text().splitlines()
        assert len(lines) == content.count("\n") + 1
        assert all(json.loads(line) for line in lines)
