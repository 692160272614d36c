"""helix device: get a code, enrol with it, list, rename, revoke."""

from __future__ import annotations

import json

import httpx

from tests.http.running_node import Helix


def test_a_device_is_enrolled_listed_renamed_and_revoked(signed_in: Helix, url: str) -> None:
    """The code is alone on standard output; a beginning of the id is enough."""
    made = signed_in("device", "code")
    assert made.code == 0, made.err
    body = {"code": made.out.strip(), "name": "watch", "type": "watch"}
    device_id = httpx.post(f"{url}/api/v1/devices", json=body, timeout=60).json()["device_id"]
    assert "watch" in signed_in("device", "list").out
    assert signed_in("device", "rename", device_id[:-4], "wrist").code == 0
    (listed,) = json.loads(signed_in("device", "list", "--json").out)["devices"]
    assert (listed["id"], listed["name"], listed["type"]) == (device_id, "wrist", "watch")
    assert signed_in("device", "revoke", device_id).code == 0
    assert json.loads(signed_in("device", "list", "--json").out)["devices"] == []
