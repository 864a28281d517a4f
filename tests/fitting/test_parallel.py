import threading
import time

import pytest

from expand_and_cluster.fitting.parallel import cores, run_on_threads


def test_results_are_in_order_of_their_index():
    def work(index, stop):
        time.sleep(0.01 * (index % 3 == 0))
        return index**2

    assert run_on_threads(work, 9) == [index**2 for index in range(9)]


def test_no_work_gives_no_results():
    assert run_on_threads(lambda index, stop: index, 0) == []


def test_one_failure_stops_the_running_and_drops_the_rest():
    begun, stopped = [], threading.Event()
    workers = min(cores(), 50)
    others = threading.Semaphore(0)

    def work(index, stop):
        begun.append(index)
        if index == 0:
            for _ in range(workers - 1):
                assert others.acquire(timeout=10.0)
            raise ValueError("student 0 broke")
        others.release()
        if stop.wait(timeout=10.0):
            stopped.set()
        return index

    with pytest.raises(ValueError, match="student 0 broke"):
        run_on_threads(work, 50)
    assert len(begun) <= 2 * workers
    assert stopped.is_set() == (workers > 1)


def test_a_later_ones_failure_is_seen_while_the_first_still_runs(monkeypatch):
    monkeypatch.setattr("expand_and_cluster.fitting.parallel.cores", lambda: 2)
    seen = threading.Event()

    def work(index, stop):
        if index == 1:
            raise ValueError("student 1 broke")
        if stop.wait(timeout=10.0):
            seen.set()

    with pytest.raises(ValueError, match="student 1 broke"):
        run_on_threads(work, 2)
    assert seen.is_set()


def test_interrupt_in_the_caller_sets_stop(monkeypatch):
    """Ctrl-C arrives in the thread that waits."""
    seen = threading.Event()

    def work(index, stop):
        if stop.wait(timeout=10.0):
            seen.set()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("expand_and_cluster.fitting.parallel.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_on_threads(work, 1)
    assert seen.is_set()


def test_machine_has_cores():
    assert cores() >= 1
