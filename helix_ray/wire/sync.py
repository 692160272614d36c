"""Synced devices in JSON."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

import orjson
from pydantic import BaseModel, Field, JsonValue, with_config
from typing_extensions import TypedDict

from helix_ray.core.sync_questions import CURSOR_CHARS_MAX
from helix_ray.core.views.sync import ChangesView, ChangeView, SyncedDevice, SyncStatusView
from helix_ray.wire.times import iso, iso_or_none
from helix_ray.wire.values import CLOSED, STRICT

LIMIT_DEFAULT = 500
LIMIT_MAX = 1_000
# Below the time after which proxies give up on a request that is silent.
WAIT_S_MAX = 25.0


class ChangesQuery(BaseModel):
    """The query of changes."""

    model_config = {**STRICT, "strict": False}

    cursor: Annotated[str, Field(min_length=1, max_length=CURSOR_CHARS_MAX)] | None = Field(
        None, description="The `cursor` of the page before; a first pull has none."
    )
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = Field(
        LIMIT_DEFAULT, description="How many changes at most."
    )
    wait_s: Annotated[float, Field(ge=0, le=WAIT_S_MAX)] = Field(
        0.0, description="How many seconds to wait for the first change."
    )


@with_config(CLOSED)
class ChangeOut(TypedDict):
    """One thing that is in what the device follows (`put`, with its row), or is not any more (`delete`)."""

    op: Literal["put", "delete"]
    kind: str
    key: str
    version: int
    row: dict[str, JsonValue] | None


@with_config(CLOSED)
class ChangesOut(TypedDict):
    """A page of changes, and the cursor after them.

    `first`: the page belongs to a first pull, whose rows replace all that the device had. `checksum` and
    `rows` are those of all that the device has after the page; null while there is more.
    """

    changes: list[ChangeOut]
    cursor: str
    has_more: bool
    first: bool
    checksum: str | None
    rows: int | None
    last_mutation: int
    server_time: str


@with_config(CLOSED)
class SyncedDeviceOut(TypedDict):
    """A device; `last_sync` is when it last had everything, null before that."""

    device_id: str
    device_type: str
    last_sync: str | None
    status: Literal["synced", "behind", "offline"]
    # Only where the last thing that it sent was refused.
    reason: NotRequired[str]


@with_config(CLOSED)
class SyncStatusOut(TypedDict):
    """Whether devices are synced, how often they should ask at least (seconds), and how they are doing."""

    sync_enabled: bool
    last_sync: str | None
    sync_interval: int
    synced_devices: list[SyncedDeviceOut]


def changes_out(view: ChangesView) -> dict[str, object]:
    """Return a page for its JSON; rows are JSON already."""
    return {
        **view,
        "changes": [_change(change) for change in view["changes"]],
        "server_time": iso(view["server_time"]),
    }


def _change(change: ChangeView) -> dict[str, object]:
    row = change["row"]
    return {**change, "row": None if row is None else orjson.Fragment(row)}


def status_out(view: SyncStatusView, enabled: bool, interval_s: int) -> dict[str, object]:
    """Return the status; `last_sync` is that of the device that synced last."""
    times = [device["last_sync"] for device in view["devices"] if device["last_sync"] is not None]
    return {
        "sync_enabled": enabled,
        "last_sync": iso_or_none(max(times, default=None)),
        "sync_interval": interval_s,
        "synced_devices": [_device(device) for device in view["devices"]],
    }


def _device(device: SyncedDevice) -> dict[str, object]:
    shown: dict[str, object] = {
        "device_id": device["device_id"],
        "device_type": device["device_type"],
        "last_sync": iso_or_none(device["last_sync"]),
        "status": device["status"],
    }
    return shown if device["refused"] is None else {**shown, "reason": device["refused"]}
