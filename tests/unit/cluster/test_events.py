"""Events inside the cluster: each once, in order, from a cursor or from now on, and only what one may see."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from helix_ray.cluster.api import Cluster
from helix_ray.cluster.errors import ClusterUnavailable
from helix_ray.core.errors import Refused

WAIT_S = 60.0


def double(number: int) -> int:
    return 2 * number


def names(events: Any, count: int) -> list[tuple[str, str]]:
    return [(event["event"], event["subject"]) for event in itertools.islice(events, count)]


def test_what_a_task_does_is_told_in_order(cluster: Cluster) -> None:
    """From the call on; the cursor goes on behind what was read, and 0 is the beginning."""
    cluster.submit(double, 1).result(WAIT_S)
    events = cluster.events("task.*")
    handle = cluster.submit(double, 2)
    assert handle.result(WAIT_S) == 4
    expected = [(f"task.{what}", handle.id) for what in ("created", "started", "completed")]
    assert names(events, 2) == expected[:2]
    assert names(cluster.events("task.*", after=events.cursor), 1) == expected[2:]
    assert names(events, 1) == expected[2:]
    assert names(cluster.events(["task.created", "task.completed"], after=0), 4)[2:] == expected[::2]


def test_filters_choose_among_tasks(cluster: Cluster) -> None:
    """By type, labels, project and status after the event."""
    cursor = cluster.events().cursor
    wanted = cluster.submit(double, 1, labels={"zone": "a", "kind": "x"}, type="testing")
    cluster.submit(double, 1, labels={"zone": "b"})
    for chosen in (
        {"labels": {"zone": "a"}},
        {"type": "testing"},
        {"type": ["testing"], "status": "pending"},
    ):
        assert names(cluster.events("task.created", after=cursor, **chosen), 1) == [
            ("task.created", wanted.id)
        ]


def test_it_waits_for_what_has_not_happened_and_ends_when_it_is_closed(cluster: Cluster) -> None:
    """What is read on one thread happens on another one."""
    events = cluster.events("task.created")
    thread = threading.Thread(target=cluster.submit, args=(double, 1))
    thread.start()
    assert next(events)["event"] == "task.created"
    thread.join()
    events.close()
    assert list(events) == []


def test_what_is_wrong_is_refused_at_once(cluster: Cluster) -> None:
    """An unknown name with those that there are, and a cursor that the journal has not reached."""
    with pytest.raises(Refused, match="Unknown value in events"):
        cluster.events("task.finished")
    with pytest.raises(Refused, match="GONE") as refused:
        cluster.events(after=10**9)
    assert refused.value.rejected.details["earliest"] == 0


def test_a_control_plane_that_is_away_loses_nothing(
    connect: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The iterator raises, and goes on where it was."""
    cluster = connect()
    events = cluster.events("task.created")
    handle = cluster.submit(double, 1)
    real = cluster._plane.events

    async def away(*arguments: Any, **named: Any) -> Any:
        from helix_ray.core.errors import ErrorCode, Rejected

        raise Refused(Rejected(ErrorCode.SERVICE_UNAVAILABLE, "away"))

    monkeypatch.setattr(cluster._plane, "events", away)
    with pytest.raises(ClusterUnavailable):
        next(events)
    monkeypatch.setattr(cluster._plane, "events", real)
    assert next(events)["subject"] == handle.id
