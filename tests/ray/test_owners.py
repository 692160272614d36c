"""What functions of two users do through the Python API is done for their users, on a real cluster."""

from __future__ import annotations

import contextlib
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import cloudpickle
import pytest

from helix_ray.core.access import SYSTEM, Principal, inside
from helix_ray.core.decide.submit import task_ids
from helix_ray.core.errors import ErrorCode, Rejected
from helix_ray.core.orders import CreateUser, Order, Receipt, RemoveUser, SetQuota, SubmitTasks
from helix_ray.core.questions import GetTask
from helix_ray.wire.ids import new_seed
from tests.ray.conftest import LiveCluster
from tests.ray.test_function_processes import called

DEPTH = 2


@pytest.fixture
def users(cluster: LiveCluster) -> Iterator[list[Principal]]:
    """Two developers."""
    made = []
    for name in ("ann", "ben"):
        answer = cluster.execute(CreateUser(name, "argon", ("developer",)))
        assert isinstance(answer, Receipt), answer
        made.append(Principal(answer.data["id"], name, ("developer",)))
    yield made
    for user in made:
        cluster.execute(SetQuota(user.id, {}))
        cluster.execute(RemoveUser(user.name))


def nested(levels: int) -> list[tuple[str, int]]:
    """Return the task and the process of each level, the outermost first."""
    import os

    import helix_ray as hx
    from helix_ray.execution.progress import current

    me = current()
    assert me is not None
    below: list[tuple[str, int]] = []
    if levels:
        with hx.connect() as cluster:
            handle = cluster.submit(nested, levels - 1, cpu=0.5)
            below = handle.result()
            owners = {cluster.handle(task["id"]).view()["owner"] for task in cluster.tasks()}
            assert owners == {handle.view()["owner"]}
    return [(me.task_id, os.getpid()), *below]


def greedy(count: int) -> list[str]:
    """Submit tasks that wait for this one; return the id of each, or why it was refused."""
    import helix_ray as hx
    from helix_ray.cluster import Refused
    from helix_ray.execution.progress import current

    me = current()
    assert me is not None
    said = []
    with hx.connect() as cluster:
        for number in range(count):
            try:
                said.append(cluster.submit(abs, number, depends_on=[me.task_id]).id)
            except Refused as refused:
                said.append(refused.rejected.code.value)
    return said


def started(cluster: LiveCluster, user: Principal, spec: dict[str, Any]) -> str:
    """Submit a task that belongs to a user, as the route does for a function on the allow-list."""
    seed = new_seed()
    order = Order(SubmitTasks((spec,)), inside(user.id), "req-test", seed)
    answer = cluster.run(lambda plane: plane.execute(order))
    assert isinstance(answer, Receipt), answer
    return task_ids(seed, 1)[0]


def values(cluster: LiveCluster, ids: list[str]) -> list[Any]:
    outcomes = cluster.outcomes(ids)
    errors = [outcome["error"] for outcome in outcomes.values() if outcome["status"] != "completed"]
    assert errors == []
    return [cloudpickle.loads(b64decode(outcomes[task_id]["result"]["pickled"])) for task_id in ids]


def test_nested_tasks_belong_to_the_user_of_the_first_one(
    cluster: LiveCluster, users: list[Principal]
) -> None:
    """At any depth; they are not found by the other user, run in processes of their user, and count against
    the quota of their user."""
    before = cluster.execute(SetQuota(users[0].id, {}))
    assert isinstance(before, Receipt)
    spec = called(nested, DEPTH, resources={"cpu": 0.5})
    found = dict(zip(users, values(cluster, [started(cluster, user, spec) for user in users]), strict=True))
    for user, other in (users, reversed(users)):
        assert len(found[user]) == DEPTH + 1
        for task_id, _ in found[user]:
            assert cluster.ask(GetTask(task_id), user)["owner"] == user.id
            unseen = cluster.run(lambda plane, id=task_id, by=other: plane.query(GetTask(id), by))
            assert isinstance(unseen, Rejected)
            assert unseen.code is ErrorCode.NOT_FOUND
    processes = [{pid for _, pid in found[user]} for user in users]
    assert processes[0].isdisjoint(processes[1])
    facts = cluster.run(lambda plane: plane.events(before.seq, 5000, SYSTEM)).facts
    origins = {fact.origin.credential.partition("#")[0] for fact in facts if fact.actor == users[0].id}
    assert {task_id for task_id, _ in found[users[0]][:-1]} <= origins
    cluster.execute(SetQuota(users[1].id, {"queued": 2}))
    (said,) = values(cluster, [started(cluster, users[1], called(greedy, 2))])
    assert (said[0][:5], said[1]) == ("task-", "RATE_LIMIT_EXCEEDED")


def past_the_api(owner: str) -> list[str]:
    """Have a task submitted as another owner's; return its owner, and whose a task of a Ray task is."""
    import asyncio

    import ray

    import helix_ray as hx
    from actors.gateway import RayControlPlane

    async def as_another() -> str:
        seed = new_seed()
        async with contextlib.aclosing(RayControlPlane()) as plane:
            order = Order(SubmitTasks((called(abs, 1),)), inside(owner), "req-test", seed)
            assert isinstance(await plane.execute(order), Receipt)
            view = await plane.query(GetTask(task_ids(seed, 1)[0]), SYSTEM)
            assert not isinstance(view, Rejected)
            return str(view["owner"])

    def of_a_ray_task() -> str:
        with hx.connect() as cluster:
            return str(cluster.submit(abs, 1).view()["owner"])

    below: Any = ray.remote(num_cpus=0)(of_a_ray_task)
    return [asyncio.run(as_another()), ray.get(below.remote())]


def test_code_past_the_python_api_is_not_held_to_its_owner(
    cluster: LiveCluster, users: list[Principal]
) -> None:
    """SECURITY.md says so: it runs as the cluster's own user, so the control plane believes which owner it
    names, and what Ray runs for it acts as a Ray job."""
    (found,) = values(cluster, [started(cluster, users[0], called(past_the_api, users[1].id))])
    assert found[0] == users[1].id
    assert found[1].startswith("job:")
