"""Administrators over HTTP: they remove each other at the same time, and the last one stays."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import httpx
import pytest

from helix_ray.security.tokens import KeyRing
from tests.http.api_server import Api, error_of, serving_api

# `make chaos` has 400.
ROUNDS = int(os.environ.get("REMOVAL_ROUNDS", "10"))
USER = {"username": "too-late", "password": "long enough", "roles": ["viewer"]}


def test_two_administrators_remove_each_other_at_the_same_time() -> None:
    """Over two replicas that both know both: exactly one 204, and the other one is out, every time."""
    keys = KeyRing.fresh()
    with (
        serving_api(keys=keys) as one,
        serving_api(keys=keys, plane=one.plane) as two,
        ThreadPoolExecutor(2) as pool,
    ):
        for number in range(ROUNDS):
            names = f"left-{number}", f"right-{number}"
            clients = one.add(names[0], "admin"), _there(one, two, names[1])
            for client in clients:
                assert client.get("/auth/me").status_code == 200
            barrier = Barrier(2)

            def remove(client: httpx.Client, name: str, barrier: Barrier = barrier) -> int:
                barrier.wait()
                return client.delete(f"/users/{name}").status_code

            statuses = [*pool.map(remove, clients, reversed(names))]
            assert sorted(statuses) == [204, 401], statuses
            gone = clients[statuses.index(401)]
            assert gone.post("/users", json=USER).status_code == 401


def _there(one: Api, two: Api, name: str) -> httpx.Client:
    """Return a client of a user who is added to one, signed in at the other."""
    one.add(name, "admin")
    return two.client(name)


def test_the_last_administrator_is_neither_removed_nor_given_other_roles(
    api: Api, admin: httpx.Client
) -> None:
    """409 until there is another one."""
    error_of(admin.put("/users/admin/roles", json={"roles": ["viewer"]}), 409, "CONFLICT")
    second = api.add("second", "admin")
    answer = admin.put("/users/ADMIN/roles", json={"roles": ["viewer"]})
    assert (answer.status_code, answer.json()["roles"]) == (200, ["viewer"])
    error_of(admin.get("/users"), 403, "FORBIDDEN")
    error_of(second.delete("/users/second"), 409, "CONFLICT")
    assert second.put("/users/Admin/roles", json={"roles": ["admin"]}).status_code == 200


@pytest.mark.parametrize("name", ["Admin", "ADMIN", "\uff41dmin"])
def test_a_name_is_one_in_any_case(api: Api, admin: httpx.Client, name: str) -> None:
    """It logs in under any spelling, and is not taken twice."""
    assert api.client(name).get("/auth/me").json()["username"] == "admin"
    if name.isascii():
        body = {"username": name, "password": "long enough", "roles": ["viewer"]}
        error_of(admin.post("/users", json=body), 409, "CONFLICT")
