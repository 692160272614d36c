"""Devices of a running API: enrolled as the routes do it, by orders."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from helix_ray.core.access import Principal
from helix_ray.core.orders import EnrolDevice, IssueDeviceCode
from helix_ray.core.questions import GetUser
from helix_ray.security.api_tokens import hash_api_token, make_api_token, shown_of
from tests.http.api_server import Api


@dataclass
class Enrolled:
    """A device: its id, its credential, whose it is, and a client that uses it."""

    id: str
    credential: str
    user: Principal
    client: httpx.Client


def enrol(api: Api, username: str, name: str = "phone", type_: str = "phone") -> Enrolled:
    """Enrol a device for a user who exists."""
    found = api.plane.ask(GetUser(username=username))
    assert isinstance(found, dict), found
    user = Principal(found["id"], username, tuple(found["roles"]))
    credential = make_api_token()
    api.plane.give(IssueDeviceCode(f"code of {credential}"), user)
    token_hash, shown = hash_api_token(credential), shown_of(credential)
    made = api.plane.give(EnrolDevice(f"code of {credential}", token_hash, shown, name, type_))
    client = api.anonymous()
    client.headers["Authorization"] = f"Bearer {credential}"
    return Enrolled(made.data["id"], credential, user, client)
