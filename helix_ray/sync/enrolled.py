"""The enrolled devices, by whose user and by their scopes."""

from __future__ import annotations

from collections.abc import Iterable

from helix_ray.core.follows import Scope, shard_of
from helix_ray.core.questions import DeviceBoard
from helix_ray.core.views.sync import BoardDevice, BoardView


class EnrolledDevices:
    """Devices of a shard; `mine` says which belong to it."""

    def __init__(self, shard: int = 0, shards: int = 1) -> None:
        self._shard, self._shards = shard, shards
        self.devices: dict[str, BoardDevice] = {}
        self._of_user: dict[str, set[str]] = {}
        self._having: dict[str, set[str]] = {}
        # Whether it was read at all.
        self.known = False

    def take(self, question: DeviceBoard, view: BoardView) -> None:
        """Take what the master has answered: devices that were asked for and are not in it are gone."""
        asked = set(self.devices) if question.device_ids is None else set(question.device_ids)
        for user in question.users:
            asked |= self._of_user.get(user, set())
        for device_id in asked:
            self._drop(device_id)
        for device in view["devices"]:
            if shard_of(device["id"], self._shards) == self._shard:
                self._drop(device["id"])
                self._add(device)
        self.known = True

    def scopes(self) -> dict[str, Scope]:
        """Return the scopes of all devices, by their texts."""
        return {text: self.devices[next(iter(ids))]["scope"] for text, ids in self._having.items()}

    def of(self, user: str) -> Iterable[BoardDevice]:
        """Return the devices of a user."""
        return [self.devices[device_id] for device_id in sorted(self._of_user.get(user, ()))]

    def _add(self, device: BoardDevice) -> None:
        self.devices[device["id"]] = device
        self._of_user.setdefault(device["user"], set()).add(device["id"])
        self._having.setdefault(device["scope"].text(), set()).add(device["id"])

    def _drop(self, device_id: str) -> None:
        device = self.devices.pop(device_id, None)
        if device is not None:
            _discard(self._of_user, device["user"], device_id)
            _discard(self._having, device["scope"].text(), device_id)


def _discard(table: dict[str, set[str]], name: str, device_id: str) -> None:
    table[name].discard(device_id)
    if not table[name]:
        del table[name]
