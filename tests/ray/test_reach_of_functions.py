"""What a function that is named over REST can reach, if the operator allows one that does what its arguments
say: everything that the server's user can, whatever `HELIX_ISOLATION` is. SECURITY.md says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helix_ray.core.access import Principal
from helix_ray.core.decide.submit import task_ids
from helix_ray.core.errors import Rejected
from helix_ray.core.orders import CreateUser, Order, Receipt, RemoveUser, SubmitTasks
from helix_ray.wire.ids import new_seed
from tests.ray.conftest import LiveCluster, command

READ, SIGNAL, CONNECT = "linecache:getlines", "os:kill", "socket:create_connection"


@pytest.fixture
def developer(cluster: LiveCluster) -> Iterator[Principal]:
    answer = cluster.execute(CreateUser("cay", "argon", ("developer",)))
    assert isinstance(answer, Receipt)
    yield Principal(answer.data["id"], "cay", ("developer",))
    cluster.execute(RemoveUser("cay"))


def outcome(cluster: LiveCluster, by: Principal, spec: dict[str, Any]) -> dict[str, Any]:
    """Submit a task as the route does for a user, and return how it ended."""
    order = Order(SubmitTasks((spec,)), by, "req-test", new_seed())
    answer = cluster.run(lambda plane: plane.execute(order))
    assert isinstance(answer, Receipt), answer
    assert not answer.data["rejected"], answer
    (task_id,) = task_ids(order.seed, 1)
    return cluster.outcomes([task_id])[task_id]


def named(function: str, *args: Any) -> dict[str, Any]:
    return {
        "title": function,
        "type": "building",
        "run": {"kind": "function", "function": function, "args": list(args)},
    }


def test_an_allowed_function_reaches_what_the_server_reaches(
    cluster: LiveCluster, developer: Principal
) -> None:
    """Keys, the memory map and the environment of the master, its process, and Ray's ports. A command of the
    same user gets to none of the files."""
    key = next(cluster.settings.data_dir.glob("*.key"))
    master = cluster.master_pid()
    for secret in (key, Path(f"/proc/{master}/maps"), Path(f"/proc/{master}/environ")):
        read = outcome(cluster, developer, named(READ, str(secret)))
        assert read["status"] == "completed", read
        # A long one is kept in the object store.
        assert read["result"].get("value") or read["result"].get("bytes"), (secret, read)
        assert outcome(cluster, developer, command(f"cat {secret}"))["status"] == "failed", secret
    assert outcome(cluster, developer, named(SIGNAL, master, 0))["status"] == "completed"
    host, port = cluster.ray_cluster.address.split(":")
    connected = outcome(cluster, developer, named(CONNECT, [host, int(port)]))
    # It is connected: what cannot be shown as JSON is the socket.
    assert connected["error"]["reason"] == "not_serialisable", connected


def test_a_function_that_is_not_on_the_list_reaches_nothing(
    cluster: LiveCluster, developer: Principal
) -> None:
    """Its neighbours in an allowed module neither, nor another name for it."""
    for function in ("linecache:getline", "os:system", "posix:kill", "helix_ray.samples:os"):
        order = Order(SubmitTasks((named(function, "/"),)), developer, "req-test", new_seed())
        answer = cluster.run(lambda plane, order=order: plane.execute(order))
        if function.startswith("helix_ray.samples:"):
            # The module is allowed: what it merely imports is refused where it would run.
            (task_id,) = task_ids(order.seed, 1)
            ended = cluster.outcomes([task_id])[task_id]
            assert ended["error"]["reason"] in {"not_allowed", "bad_spec"}, ended
        else:
            assert isinstance(answer, Rejected) or answer.data["rejected"], (function, answer)
