"""When each device last had everything, and how it is doing."""

from __future__ import annotations

from helix_ray.sync.change_log import Seen

# A device that has not asked for this many intervals is offline: one that was missed may have been late.
INTERVALS_MISSED_MAX = 3


class Presence:
    """Memory of devices' pulls, and which of it is not in the file yet."""

    def __init__(self, seen: dict[str, Seen], interval_s: float) -> None:
        self._seen = seen
        self._interval_s = interval_s
        self._asked: dict[str, float] = {}
        self._waiting: dict[str, int] = {}
        self._unsaved: set[str] = set()

    def asked(self, device_id: str, now: float) -> None:
        """Note that a device has asked."""
        self._asked[device_id] = now

    def waits(self, device_id: str, count: int) -> None:
        """Note that a device has begun (1) or ended (-1) to wait for news."""
        self._waiting[device_id] = self._waiting.get(device_id, 0) + count
        if not self._waiting[device_id]:
            del self._waiting[device_id]

    def caught_up(self, device_id: str, now: float, position: int) -> None:
        """Note that a device has been sent everything up to a position."""
        self._seen[device_id] = Seen(now, position)
        self._unsaved.add(device_id)

    def forget(self, device_id: str) -> None:
        """Forget a device that is gone."""
        self._seen.pop(device_id, None)
        self._asked.pop(device_id, None)
        self._unsaved.add(device_id)

    def last_sync(self, device_id: str) -> float | None:
        """Return when a device last had everything; None: never."""
        seen = self._seen.get(device_id)
        return None if seen is None else seen.last_sync

    def status(self, device_id: str, last: int, now: float) -> str:
        """Return how a device is doing, whose scope last changed at a position.

        offline   it has not asked for three intervals, or never
        behind    it asks, and has not been sent all there is
        synced    it asks, and has been sent all there is
        """
        asked = self._asked.get(device_id, self.last_sync(device_id) or 0.0)
        if device_id not in self._waiting and now - asked > INTERVALS_MISSED_MAX * self._interval_s:
            return "offline"
        seen = self._seen.get(device_id)
        return "synced" if seen is not None and seen.position >= last else "behind"

    def unsaved(self) -> tuple[list[tuple[str, Seen]], list[str]]:
        """Return what is to be written to the file, and what to be removed from it; they count as saved."""
        names, self._unsaved = self._unsaved, set()
        kept = [(name, self._seen[name]) for name in names if name in self._seen]
        return kept, [name for name in names if name not in self._seen]
