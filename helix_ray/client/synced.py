"""The client's calls about synced devices, for their users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from helix_ray.client.session import ClientSession

if TYPE_CHECKING:
    from helix_ray.wire.devices import (
        DeviceCodeOut,
        DocumentOut,
        EnrolledDeviceOut,
        FollowsIn,
        ResolutionIn,
        SyncConflictOut,
    )


class SyncedDeviceCalls:
    """The client's methods for synced devices; answers are the dicts of docs/api.md. A device itself uses
    helix_ray.devices."""

    _session: ClientSession

    def device_code(self) -> DeviceCodeOut:
        """Get a one-time code with which a device is enrolled within ten minutes."""
        code: DeviceCodeOut = self._session.call("POST", "/devices/codes")
        return code

    def devices(self, user: str | None = None) -> list[EnrolledDeviceOut]:
        """Return one's own devices; for administrators, those of all users or of one."""
        devices: list[EnrolledDeviceOut] = self._session.call("GET", "/devices", user=user)["devices"]
        return devices

    def device(self, device_id: str) -> EnrolledDeviceOut:
        """Return one device."""
        device: EnrolledDeviceOut = self._session.call("GET", f"/devices/{device_id}")
        return device

    def rename_device(self, device_id: str, name: str) -> EnrolledDeviceOut:
        """Rename a device."""
        device: EnrolledDeviceOut = self._session.call("PATCH", f"/devices/{device_id}", {"name": name})
        return device

    def set_follows(self, device_id: str, follows: FollowsIn) -> EnrolledDeviceOut:
        """Set what a device follows: `{"tasks": [{"project", "label", "owner"}], "documents": [...]}`."""
        device: EnrolledDeviceOut = self._session.call("PUT", f"/devices/{device_id}/follows", follows)
        return device

    def revoke_device(self, device_id: str) -> None:
        """Revoke a device; its credential is refused within a second."""
        self._session.call("DELETE", f"/devices/{device_id}")

    def documents(self, kind: str | None = None) -> list[DocumentOut]:
        """Return one's settings and notes, which one's devices share."""
        found: list[DocumentOut] = self._session.call("GET", "/harmony/sync/documents", kind=kind)[
            "documents"
        ]
        return found

    def conflicts(self) -> list[SyncConflictOut]:
        """Return what could not be merged, and is not decided."""
        found: list[SyncConflictOut] = self._session.call("GET", "/harmony/sync/conflicts")["conflicts"]
        return found

    def resolve_conflict(
        self, conflict_id: str, keep: str = "current", fields: Mapping[str, Any] | None = None
    ) -> None:
        """Decide about a conflict: `keep` is current, listed, or fields with `fields`."""
        # The server checks it.
        body: ResolutionIn = {"keep": keep}  # type: ignore[typeddict-item]
        if fields is not None:
            body["fields"] = {**fields}
        self._session.call("POST", f"/harmony/sync/conflicts/{conflict_id}", body)
