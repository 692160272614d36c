"""The enrolled devices, by whose user and by their scopes."""

from __future__ import annotations

from collections.abc import Iterable

from helix_ray.core.follows import Scope, shard_of
from helix_ray.core.questions import DeviceBoard
from helix_ray.core.views.sync import BoardDevice, BoardView


class EnrolledDevices:
    """The devices of one shard of several."""

    def __init__(self, shard: int = 0, shards: int = 1) -> None:
        self._shard, self._shards = shard, shards
        self.devices: dict[str, BoardDevice] = {}
        # The text of each device's scope.
        self._texts: dict[str, str] = {}
        self._of_user: dict[str, set[str]] = {}
        self._having: dict[str, set[str]] = {}
        # Whether all were read, and what they follow was.
        self.known = False

    def take(self, question: DeviceBoard, view: BoardView) -> dict[str, str]:
        """Take what the master has answered: devices that were asked for and are not in it are gone. Return
        the texts of the scopes that devices had and do not have any more, by device."""
        asked = set(self.devices) if question.device_ids is None else set(question.device_ids)
        for user in question.users:
            asked |= self._of_user.get(user, set())
        had = {device_id: self._texts[device_id] for device_id in asked if device_id in self._texts}
        for device_id in had:
            self._drop(device_id)
        for device in view["devices"]:
            if shard_of(device["id"], self._shards) == self._shard:
                self._drop(device["id"])
                self._add(device)
        return {device_id: text for device_id, text in had.items() if self._texts.get(device_id) != text}

    def text_of(self, device_id: str) -> str | None:
        """Return the text of a device's scope; None for an unknown device."""
        return self._texts.get(device_id)

    def has(self, text: str) -> bool:
        """Say whether a device has the scope with this text."""
        return text in self._having

    def having(self, text: str) -> set[str]:
        """Return the devices that have the scope with this text."""
        return self._having.get(text, set())

    def scope(self, text: str) -> Scope:
        """Return the scope with this text, which a device has."""
        return self.devices[next(iter(self._having[text]))]["scope"]

    def of(self, user: str) -> Iterable[BoardDevice]:
        """Return the devices of a user."""
        return [self.devices[device_id] for device_id in sorted(self._of_user.get(user, ()))]

    def _add(self, device: BoardDevice) -> None:
        text = device["scope"].text()
        self.devices[device["id"]] = device
        self._texts[device["id"]] = text
        self._of_user.setdefault(device["user"], set()).add(device["id"])
        self._having.setdefault(text, set()).add(device["id"])

    def _drop(self, device_id: str) -> None:
        device = self.devices.pop(device_id, None)
        if device is not None:
            _discard(self._of_user, device["user"], device_id)
            _discard(self._having, self._texts.pop(device_id), device_id)


def _discard(table: dict[str, set[str]], name: str, device_id: str) -> None:
    table[name].discard(device_id)
    if not table[name]:
        del table[name]
