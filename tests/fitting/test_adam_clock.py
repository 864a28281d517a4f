import jax.numpy as jnp
import numpy as np
import pytest

from expand_and_cluster.fitting import adam_clock
from expand_and_cluster.fitting.adam_program import Knobs, Plan


def test_the_clock_moves_the_schedule_to_its_end(monkeypatch):
    now = 100.0
    monkeypatch.setattr(adam_clock.time, "monotonic", lambda: now)
    clock = adam_clock.Clock(50.0, deadline=140.0)
    plan = Plan(batches=10, rows=64, schedule="cosine", factor=0.5)
    knobs = Knobs(*map(jnp.float32, (1e-3, 0.0, 0, 0.0, 1 << 20, 1 << 20, 0.0, 100, 1e-4, 0.0)))
    now = 110.0  # ten seconds went by in compiling
    clock.record(1)
    assert clock.moved(knobs, plan) is knobs
    now = 120.0
    clock.record(101)
    moved = clock.moved(knobs, plan)
    assert float(moved.progress) == pytest.approx(1 / 3)
    assert int(moved.since) == 101
    assert float(moved.progress + moved.pace * 200) == pytest.approx(1.0)  # at 10 steps a second
    assert int(moved.epochs) == 30
    now = 130.0  # the machine became busy
    clock.record(151)
    moved = clock.moved(knobs, plan)
    assert float(moved.progress) == pytest.approx(2 / 3)
    assert float(moved.progress + moved.pace * 75) == pytest.approx(1.0)
    assert clock.left() == adam_clock.SECONDS_PER_CALL
    now = 140.0
    assert clock.left() == 0
    assert not clock.schedule_is_over()


def test_orders_follow_from_the_seed_and_the_epoch_alone():
    few = adam_clock.Orders(3, 10)
    first, rows = few.around(0)
    assert first == 0
    assert rows.shape == (64, 10)
    # Asked for later ones first.
    other = adam_clock.Orders(3, 10)
    later, _ = other.around(70)
    assert later == 64
    np.testing.assert_array_equal(other.around(63)[1], rows)
    np.testing.assert_array_equal(np.sort(rows, axis=1), np.tile(np.arange(10), (64, 1)))
    assert np.any(adam_clock.Orders(4, 10).around(0)[1] != rows)


def test_orders_of_many_samples_are_made_epoch_by_epoch():
    many = adam_clock.ORDERS_KEPT
    assert adam_clock.Orders(0, many).epochs == 1
    assert adam_clock.Orders(0, many + 1).epochs == 1
