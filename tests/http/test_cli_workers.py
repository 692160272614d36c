"""helix worker rm and Client.remove_worker: a worker is forgotten, and what cannot be is said."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from helix_ray.client import Client
from helix_ray.client.errors import Conflict, Forbidden, NotFound
from tests.http.api_server import PASSWORD
from tests.http.running_node import NODE, Helix

HELLO = {"hostname": "outside", "capabilities": ["design"], "worker_id": "outside"}

# The first administrator's is too common for anybody else.
OTHER_PASSWORD = "another password"


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    """The administrator's client."""
    with Client(url) as one:
        one.login("admin", PASSWORD)
        yield one


@pytest.fixture
def hello(url: str) -> Iterator[httpx.Client]:
    """A client of the REST API that has registered a worker from outside."""
    with httpx.Client(base_url=f"{url}/api/v1", timeout=30) as http:
        login = http.post("/auth/login", json={"username": "admin", "password": PASSWORD})
        http.headers["Authorization"] = f"Bearer {login.json()['token']}"
        assert http.post("/workers/register", json=HELLO).status_code == 200
        yield http


def test_the_command_forgets_a_worker(signed_in: Helix, hello: httpx.Client) -> None:
    """It says so, the worker is not listed and hears so, and a second time it is not found."""
    removed = signed_in("worker", "rm", "outside")
    assert (removed.code, removed.out, removed.err) == (0, "", "removed outside\n")
    assert [worker["id"] for worker in signed_in("worker", "list", "--json").json["workers"]] == [NODE]
    beat = {"worker_id": "outside", "status": "idle", "current_task": None}
    assert hello.post("/workers/heartbeat", json=beat).status_code == 404
    assert signed_in("worker", "rm", "outside").code == 4


def test_a_node_that_is_up_is_kept(signed_in: Helix, client: Client) -> None:
    """A conflict that says to drain it, by the command and by the client; it goes on."""
    kept = signed_in("worker", "rm", NODE)
    assert kept.code == 5
    assert "drain" in kept.err.lower()
    with pytest.raises(Conflict):
        client.remove_worker(NODE)
    assert client.worker(NODE)["status"] != "lost"


def test_the_client_forgets_a_worker_once(client: Client, hello: httpx.Client, url: str) -> None:
    """NotFound the second time, and Forbidden for who is no administrator."""
    body = {"username": "dev", "password": OTHER_PASSWORD, "roles": ["developer"]}
    assert hello.post("/users", json=body).status_code == 201
    with Client(url) as other:
        other.login("dev", OTHER_PASSWORD)
        with pytest.raises(Forbidden):
            other.remove_worker("outside")
    client.remove_worker("outside")
    with pytest.raises(NotFound):
        client.remove_worker("outside")
