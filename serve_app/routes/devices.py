"""Synced devices: a user gets a one-time code, and a device exchanges it for a credential of its own.

The credential is a bearer token with which the device may sync and nothing else. It ends when the device is
revoked, on every replica within a second.

Idempotency-Key: with a key the credential is derived from the code, the key and the server's secret, so a
repeated enrolment gets the same answer within ten minutes; without one a code is used up by its first use.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from helix_ray.core.access import SYSTEM
from helix_ray.core.orders import ChangeDevice, EnrolDevice, IssueDeviceCode, Order, RevokeDevice
from helix_ray.core.questions import GetDevice, ListDevices
from helix_ray.security.api_tokens import derive_api_token, hash_api_token, make_api_token, shown_of
from helix_ray.security.device_codes import hash_code, make_code
from helix_ray.wire import devices as shapes
from helix_ray.wire.ids import fingerprint, new_seed
from helix_ray.wire.times import iso
from serve_app.answers import json_answer, no_content
from serve_app.bodies import read
from serve_app.deps import Caller, SignedIn, key_of, origin_of, services_of
from serve_app.openapi import public, verb
from serve_app.problems import request_id_of

router = APIRouter(prefix="/devices", tags=["devices"])


@router.post("/codes", **verb("IssueDeviceCode", answers=shapes.DeviceCodeOut, status=201))
async def issue_code(caller: SignedIn) -> Response:
    """Get a one-time code for a device, valid for ten minutes; only this answer shows it."""
    await read(caller.request, optional=True)
    code = make_code()
    # Without the client's key: a repeated request gets another code.
    order = caller.order(IssueDeviceCode(hash_code(caller.services.secrets[0], code)))
    receipt = await caller.services.execute(replace(order, key=None, fingerprint=""))
    answer: shapes.DeviceCodeOut = {"code": code, "expires_at": iso(receipt.data["until"])}
    return json_answer(answer, 201, receipt)


@router.post("", **public(body=shapes.DeviceIn, answers=shapes.DeviceEnrolledOut, status=201))
async def enrol_device(request: Request) -> Response:
    """Enrol a device with a one-time code, without a login; only this answer shows its credential."""
    services = services_of(request)
    key = key_of(request)
    sent = (await read(request)).validated(shapes.DEVICE, "device")
    secret = services.secrets[0]
    code_hash = hash_code(secret, sent["code"])
    token = make_api_token() if key is None else derive_api_token(secret, code_hash, key)
    kind = sent.get("type", "other")
    body = EnrolDevice(code_hash, hash_api_token(token), shown_of(token), sent["name"], kind)
    order = Order(body, SYSTEM, request_id_of(request.scope), new_seed(), origin=origin_of(request))
    if key is not None:
        # Keys stand in the headers of facts, where hashes of codes must not: so this is the hash of a hash.
        hashed = fingerprint(code_hash.encode())
        content = fingerprint(sent["name"].encode(), kind.encode())
        order = replace(order, key=f"~device:{hashed}:{key}", fingerprint=content)
    receipt = await services.execute(order)
    answer: shapes.DeviceEnrolledOut = {
        "device_id": receipt.data["id"],
        "credential": token,
        "user_id": receipt.data["user_id"],
        "expires_at": iso(receipt.data["expires_at"]),
        "server_time": iso(time.time()),
    }
    return json_answer(answer, 201, receipt)


@router.get("", **verb("ListDevices", answers=shapes.EnrolledDevicesOut, may_miss=True))
async def list_devices(caller: SignedIn, query: Annotated[shapes.EnrolledDevicesQuery, Query()]) -> Response:
    """List one's own devices; administrators list all, or those of `user`."""
    answer = await caller.query(ListDevices(query.user))
    return json_answer({"devices": [shapes.device_out(each) for each in answer["devices"]]})


@router.get("/{device_id}", **verb("GetDevice", answers=shapes.EnrolledDeviceOut))
async def get_device(device_id: str, caller: SignedIn) -> Response:
    """Return a device: one's own; for a device itself."""
    return json_answer(shapes.device_out(await caller.query(GetDevice(device_id))))


@router.patch(
    "/{device_id}", **verb("ChangeDevice", body=shapes.DeviceChangeIn, answers=shapes.EnrolledDeviceOut)
)
async def rename_device(device_id: str, caller: SignedIn) -> Response:
    """Rename a device."""
    sent = (await read(caller.request)).validated(shapes.DEVICE_CHANGE, "device")
    return await _changed(ChangeDevice(device_id, name=sent["name"]), caller)


@router.put(
    "/{device_id}/follows", **verb("ChangeDevice", body=shapes.FollowsIn, answers=shapes.EnrolledDeviceOut)
)
async def set_follows(device_id: str, caller: SignedIn) -> Response:
    """Set what a device follows: tasks by project, label and owner, and documents of its user."""
    sent = (await read(caller.request)).validated(shapes.FOLLOWS, "follows")
    return await _changed(ChangeDevice(device_id, follows=shapes.follows_of(sent)), caller)


async def _changed(body: ChangeDevice, caller: Caller) -> Response:
    receipt = await caller.execute(body)
    return json_answer(shapes.device_out(await caller.query(GetDevice(body.device_id))), 200, receipt)


@router.delete("/{device_id}", **verb("RevokeDevice", status=204))
async def revoke_device(device_id: str, caller: SignedIn) -> Response:
    """Revoke a device, on every replica within a second; what it has synced stays its user's."""
    receipt = await caller.execute(RevokeDevice(device_id))
    caller.services.sessions.forget()
    return no_content(receipt)
