"""Reads of sensitive data stand in the audit, by policy, through each door."""

from __future__ import annotations

from typing import cast

from helix_ray.cluster.api import Cluster
from helix_ray.config import Settings
from helix_ray.core.events import DataRead
from helix_ray.plane.control import Plane
from helix_ray.testing import memory_plane
from tests.http.api_server import PASSWORD, serving_api
from tests.http.test_same_act import JOB, InJob


def test_the_same_read_through_each_door() -> None:
    """By REST and by the Python API of a Ray job: who, from where, and which thing; lists and what is not
    there are no reads, and what was gathered is recorded when the server ends."""
    settings = Settings(audit_reads="tasks")
    plane = memory_plane(settings, PASSWORD)
    with serving_api(settings, plane=plane) as api:
        client = api.client()
        task_id = api.submit(client)
        for _ in range(3):
            assert client.get(f"/tasks/{task_id}").status_code == 200
        assert client.get("/tasks").status_code == 200
        assert client.get("/tasks/task-none").status_code == 404
        assert client.get("/users").status_code == 200
        cluster = Cluster(cast(Plane, InJob(plane)), JOB)
        assert cluster.handle(task_id).status() == "pending"
        cluster.close()
    reads = [fact for fact in plane.engine.facts(0, 1 << 20).facts if isinstance(fact.event, DataRead)]
    of_job, of_client = sorted(reads, key=lambda fact: fact.actor)
    assert (of_job.actor, of_job.event) == (f"job:{JOB}", DataRead("tasks", 1, [task_id]))
    assert of_client.event == DataRead("tasks", 3, [task_id])
    assert of_client.actor == plane.engine.state.users_by_name["admin"]
    assert of_client.origin.address == "127.0.0.1"
    assert of_client.origin.credential in plane.engine.state.sessions
    assert of_client.origin.user_agent.startswith("python-httpx")
    assert of_client.request_id.startswith("req-")
