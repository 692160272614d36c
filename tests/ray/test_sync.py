"""Devices on a real cluster: the actor that holds them comes with the first, and survives being killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import ray

from actors import names
from helix_ray.core.access import SYSTEM, Principal
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import CreateUser, EnrolDevice, IssueDeviceCode, PushMutations, RevokeDevice
from helix_ray.core.questions import PullChanges, SyncStatus
from helix_ray.security.passwords import hash_password
from tests.ray.conftest import LiveCluster
from tests.ray.signals import until

NAME = names.sync_devices(0)


def pid() -> int | None:
    """Return the process id of the ready actor; None without one."""
    with contextlib.suppress(ray.exceptions.RayError, ValueError):
        said = ray.get(names.find(NAME).health.remote(), timeout=5)
        return int(said["pid"]) if said["ready"] else None
    return None


def pull(cluster: LiveCluster, by: Principal, cursor: str | None, wait_s: float = 0.0) -> Any:
    """Pull one page as a device; a service that starts is asked again."""
    found: list[Any] = []

    def answered() -> bool:
        question = PullChanges(str(by.token), cursor, 500)
        answer = cluster.run(lambda plane: plane.query(question, by, wait_s))
        found.append(answer)
        return not isinstance(answer, Rejected) or answer.code is not ErrorCode.SERVICE_UNAVAILABLE

    until(answered)
    return found[-1]


def note(cluster: LiveCluster, by: Principal, number: int) -> None:
    """Push a note."""
    mutation = {
        "id": number, "op": "put", "kind": "notes", "key": f"n{number}", "fields": {"x": number}, "stamp": 1
    }  # fmt: skip
    answer = cluster.execute(PushMutations((mutation,)), by)  # type: ignore[arg-type]
    assert not isinstance(answer, Rejected), answer


def test_devices_on_a_cluster(cluster: LiveCluster) -> None:
    """Without a device there is no actor, and the status is empty; the first device starts it. A device has
    what was acknowledged before it asked; after kill -9 of the actor it goes on from its cursor; a long poll
    ends with the change; a revoked device has nothing more."""
    with pytest.raises(ValueError, match=NAME):
        names.find(NAME)
    assert cluster.ask(SyncStatus()) == {"devices": []}
    made: Any = cluster.execute(CreateUser("sync-anna", hash_password("password-1"), ("developer",)))
    anna = Principal(made.data["id"], "sync-anna", ("developer",))
    cluster.execute(IssueDeviceCode("code"), anna)
    enrolled: Any = cluster.execute(EnrolDevice("code", "token", "shown", "phone", "phone"))
    device = Principal(anna.id, anna.name, ("device",), token=enrolled.data["id"])
    for number in (1, 2, 3):
        note(cluster, device, number)
        page = pull(cluster, device, None)
        assert [json.loads(each["row"])["x"] for each in page["changes"]] == list(range(1, number + 1))
        assert page["last_mutation"] == number
    assert Path(cluster.settings.data_dir, "sync-0.sqlite").exists()

    first = pid()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    note(cluster, device, 4)
    page = pull(cluster, device, page["cursor"])
    assert not isinstance(page, Rejected), page
    assert [each["key"] for each in page["changes"]] == ["n4"]
    until(lambda: pid() not in (None, first))

    async def waited(plane: Any) -> Any:
        waiting = asyncio.create_task(
            plane.query(PullChanges(str(device.token), page["cursor"], 500), device, 25.0)
        )
        await asyncio.to_thread(note, cluster, device, 5)
        return await waiting

    assert [each["key"] for each in cluster.run(waited)["changes"]] == ["n5"]
    (shown,) = cluster.ask(SyncStatus(), SYSTEM)["devices"]
    assert (shown["device_id"], shown["device_type"]) == (device.token, "phone")
    assert shown["last_sync"] is not None
    cluster.execute(RevokeDevice(str(device.token)), anna)
    refused = pull(cluster, device, None)
    assert isinstance(refused, Rejected)
    assert refused.code is ErrorCode.NOT_FOUND
