"""When external workers should send their next heartbeat, and that any number of workers stays within the
rate limit."""

from __future__ import annotations

import heapq
from collections import deque

import pytest

from helix_ray.core.limits import WORKERS, Allowance
from helix_ray.core.pace import IDLE_S, next_heartbeat_s, stretched

LEASE_S = 30.0


def left(remaining: int, limit: int = WORKERS.limit) -> Allowance:
    return Allowance(True, limit, remaining, 0, 1, 3_600)


def test_a_busy_worker_renews_its_lease_three_times() -> None:
    """More often is of no use: it takes no further task."""
    assert next_heartbeat_s(LEASE_S, 1, has_task=True, work_waits=False) == pytest.approx(10.0)


def test_an_idle_worker_comes_soon_and_many_less_often() -> None:
    """A second is how long work waits for its worker; a thousand workers together send a
    hundred heartbeats a second."""
    assert next_heartbeat_s(LEASE_S, 1, has_task=False, work_waits=False) == IDLE_S
    assert next_heartbeat_s(LEASE_S, 500, has_task=False, work_waits=False) == pytest.approx(5.0)
    assert next_heartbeat_s(LEASE_S, 50_000, has_task=False, work_waits=False) == pytest.approx(10.0)
    assert next_heartbeat_s(LEASE_S, 50_000, has_task=False, work_waits=True) == IDLE_S


def test_a_short_lease_is_kept() -> None:
    """The pace follows the lease where that is shorter than a second."""
    for has_task in (False, True):
        assert next_heartbeat_s(1.5, 1, has_task=has_task, work_waits=False) == pytest.approx(0.5)


def test_what_remains_lasts_for_a_window() -> None:
    """Two workers with 1,000 requests left come every 7.2 s; never so late that their leases end."""
    assert stretched(1.0, LEASE_S, left(1_000), 2) == pytest.approx(7.2)
    assert stretched(1.0, LEASE_S, left(0), 2) == pytest.approx(20.0)
    assert stretched(1.0, LEASE_S, left(WORKERS.limit), 2) == pytest.approx(1.0)


@pytest.mark.parametrize("workers", [1, 20, 200])
def test_idle_workers_of_one_user_never_use_up_the_default_allowance(workers: int) -> None:
    """Three hours of heartbeats at the requested pace: a third of the limit is always left for reports."""
    due = [(i / workers, i) for i in range(workers)]
    used: deque[float] = deque()
    least = WORKERS.limit
    while due[0][0] < 3 * 3_600:
        now, worker = heapq.heappop(due)
        while used and now - used[0] >= 3_600:
            used.popleft()
        used.append(now)
        remaining = WORKERS.limit - len(used)
        least = min(least, remaining)
        pace_s = next_heartbeat_s(LEASE_S, workers, has_task=False, work_waits=False)
        heapq.heappush(due, (now + stretched(pace_s, LEASE_S, left(remaining), workers), worker))
    assert least > WORKERS.limit / 3
